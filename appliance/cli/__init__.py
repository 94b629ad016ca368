"""The command line: one module per noun; each command calls one operation and presents it."""
