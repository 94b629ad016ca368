"""What the tests of all clients ask, and what they look for in the answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

MODEL = "demo"
ASKED = "Who made you?"
ANSWER = "I was made by the makers of this appliance"
LONG = "Tell me everything about this appliance"
NOTE = "Woman, 54, chest pain since this morning."


class Triage(BaseModel):
    """How urgent a note is."""

    urgent: bool
    level: Literal[1, 2, 3]


SCHEMA = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}, "level": {"enum": [1, 2, 3]}},
    "required": ["urgent", "level"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "set_triage",
        "description": "Note how urgent a patient's case is.",
        "parameters": SCHEMA,
    },
}


def length(vector: Sequence[float]) -> float:
    """Return the Euclidean length of a vector."""
    return math.sqrt(sum(number * number for number in vector))
