"""Sealed prompts and answers, readable by their author alone."""
