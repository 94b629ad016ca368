"""An air-gapped LLM appliance for hospitals: sealed, recorded, verifiable.

The picture of the packages, and which may import which, is in
docs/explanation/architecture.md; import-linter holds it.
"""
