"""Vectors as an OpenAI-compatible server sends them, checked and brought to length 1.

Pure. Guarantee: as many vectors as texts, in the order of the texts, all of one dimension, made
of finite numbers; or EngineUnavailableError. Not here: which model made them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Embeddings
from appliance.inference.pieces import count_of

ODD = "the engine's embeddings make no sense"


def embeddings_in(body: Mapping[str, Any], count: int) -> Embeddings:
    """Return the vectors in a body; `count` texts were sent."""
    try:
        items = sorted(body["data"], key=lambda item: int(item.get("index", 0)))
        vectors = [item["embedding"] for item in items]
        usage = body.get("usage") or {}
        tokens = usage.get("prompt_tokens", 0)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise EngineUnavailableError(ODD) from error
    return embeddings(vectors, tokens, count)


def embeddings(vectors: Sequence[Any], tokens: object, count: int) -> Embeddings:
    """Return the vectors at length 1; raise EngineUnavailableError unless there are `count`."""
    if len(vectors) != count:
        raise EngineUnavailableError("the engine left out an embedding")
    try:
        found = tuple(map(_unit, vectors))
    except (TypeError, ValueError, OverflowError) as error:
        raise EngineUnavailableError(ODD) from error
    if len({len(vector) for vector in found}) > 1:
        raise EngineUnavailableError("the engine's embeddings have several dimensions")
    return Embeddings(found, count_of(tokens))


def _unit(vector: Any) -> tuple[float, ...]:
    numbers = tuple(map(float, vector))
    length = math.hypot(*numbers)
    if not numbers or not math.isfinite(length) or length == 0:
        raise ValueError("no direction")
    return tuple(number / length for number in numbers)
