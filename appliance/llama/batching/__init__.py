"""Many answers at once out of one context."""
