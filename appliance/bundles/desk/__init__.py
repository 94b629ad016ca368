"""The publisher's desk: keys, roots, drafts and signatures, on a machine that is no appliance.

`keys` and `pkcs11` hold what signs; `roots` says who may sign what; `desk` is the folder that
remembers what was published; `drafts` builds a bundle, `signing` adds signatures until it is one.
Nothing here is trusted by a hospital, which checks everything again.
"""
