"""Searches of the record that a person keeps for the next time."""
