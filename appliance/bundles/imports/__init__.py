"""Imports as they go on: their steps, and the journal of what became of each."""
