"""When the retention schedule last ran, and how far the clock may be believed."""
