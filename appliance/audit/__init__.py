"""The ledger: an append-only, hash-chained record of who asked what of which model, and when."""
