"""API keys: each owned by one person, shown once, expiring, revocable."""
