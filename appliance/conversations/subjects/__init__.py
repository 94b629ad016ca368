"""Whom questions are about: pseudonyms that an erasure makes unlinkable."""
