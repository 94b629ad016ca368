"""Pins: a model's name held at one of its versions."""
