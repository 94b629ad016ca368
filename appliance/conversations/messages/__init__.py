"""Questions and answers, each sealed and bound to its row."""
