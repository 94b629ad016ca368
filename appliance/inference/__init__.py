"""Talking to models: one protocol, several engines behind it."""
