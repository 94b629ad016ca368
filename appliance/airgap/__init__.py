"""Is there a way out? Tries what it knows, looks at what would open one, says what it saw."""
