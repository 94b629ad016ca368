"""Models that their publishers deny by name."""
