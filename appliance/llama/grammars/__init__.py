"""From a JSON Schema to a grammar that holds an answer to it."""
