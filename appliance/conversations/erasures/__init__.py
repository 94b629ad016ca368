"""Erasures: which conversations lost their key, when and on what basis."""
