"""Signed model bundles: from a stick to a verified file in the library, and nothing else.

    media  ->  trust, manifest  ->  media (staging)  ->  gguf, inspection  ->  library, store
    reads      verifies (pure)      copies and hashes     looks inside          keeps

`importer.py` is the order of these steps; `publisher.py` is the other end, where bundles are
made. Kept free of imports: the locked-down inspector starts here and must load nothing more.
"""
