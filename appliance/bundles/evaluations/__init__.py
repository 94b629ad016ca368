"""Evaluations: what a model answered to golden prompts on this machine."""
