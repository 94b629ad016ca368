"""Model cards: a TOML text, signed with the weights, that tells people what a model is for.

Required are `name`, `version` and `licence`, which must be those of the signed description;
`demo = true` marks a model that is no use for care. Everything else is for people to read.
Pure. Not here: how a card is shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.bundles.manifest import MAX_CARD_BYTES, VerifiedModel
from appliance.bundles.refusals import UnsafeModelError

# Python's TOML reader takes time with the square of a dotted key's length (44 s for a whole card
# of one), and pages and exports walk through the values: both are bounded, generously.
MAX_DOTS_IN_LINE = 512
MAX_DEPTH = 16
MAX_SAID = 64


@dataclass(frozen=True)
class Card:
    """A parsed card: the text as it was signed, and what the appliance itself relies on."""

    text: str
    name: str
    version: str
    licence: str
    demo: bool
    values: Mapping[str, Any]


def parse(data: bytes) -> Card:
    """Return the card; raise UnsafeModelError when it is no TOML or lacks a required value."""
    if len(data) > MAX_CARD_BYTES:
        raise UnsafeModelError(f"the model card is larger than {MAX_CARD_BYTES} bytes")
    if max(line.count(b".") for line in data.split(b"\n")) > MAX_DOTS_IN_LINE:
        raise UnsafeModelError(f"a line of the model card has more than {MAX_DOTS_IN_LINE} dots")
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsafeModelError(f"the model card is not TOML: {error}") from error
    if _is_deep(values):
        raise UnsafeModelError(f"the model card is nested more than {MAX_DEPTH} deep")
    required = {key: values.get(key) for key in ("name", "version", "licence")}
    for key, value in required.items():
        if not isinstance(value, str) or not value:
            raise UnsafeModelError(f"the model card states no {key}")
    demo = values.get("demo", False)
    if not isinstance(demo, bool):
        raise UnsafeModelError("the model card's `demo` is neither true nor false")
    return Card(text=text, demo=demo, values=values, **{k: str(v) for k, v in required.items()})


def _is_deep(values: object) -> bool:
    """Go through the values level by level, without recursion."""
    level = [values]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
    return bool(level)


def _children(item: object) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def check(card: Card, model: VerifiedModel) -> None:
    """Raise UnsafeModelError unless the card is about the model that was signed."""
    for key in ("name", "version", "licence"):
        stated, signed = getattr(card, key), getattr(model, key)
        if stated != signed:
            raise UnsafeModelError(f"the model card says {key} {stated!r}, signed was {signed!r}")
    check_architecture(card, model.architecture)


def check_architecture(card: Card, found: str) -> None:
    """Raise UnsafeModelError when the card states another architecture than the weights have."""
    stated = card.values.get("architecture", found)
    if stated != found:
        raise UnsafeModelError(
            f"the model card says architecture {str(stated)[:MAX_SAID]!r}, the weights {found!r}"
        )
