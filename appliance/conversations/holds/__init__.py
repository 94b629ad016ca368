"""Legal holds: what must not be erased, by whom and why."""
