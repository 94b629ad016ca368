"""Fuzzing: of the header reader (`gguf`) and of the whole import (`bundles`). See `make fuzz`.

A small slice of each runs with the tests (`test_slices`).
"""
