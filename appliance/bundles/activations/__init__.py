"""Activations: which model answered when, and which one before it."""
