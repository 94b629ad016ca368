"""Questions and their answers as they come, each in few statements."""
