"""Decides, before a byte is written, which file goes onto which medium. Pure.

Media are filled in the order given, a file whole on one of them; what does not fit is said at
once and not after an hour of copying. Not here: reading sizes, copying.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.bundles.building import part_count
from appliance.bundles.manifest import SIDE_FILES, weights_name
from appliance.errors import BadInputError

# Room for metadata on each medium, and for the bill of materials and the signature of a model.
METADATA_BYTES = 1_048_576
MADE_BYTES = 65_536


@dataclass(frozen=True)
class Sizes:
    """What a model brings: the name of its folder, its own name, and lengths in bytes."""

    folder: str
    model: str
    weights: int
    side: int


def spread(
    models: Sequence[Sizes], capacities: Sequence[int], part_bytes: int
) -> Mapping[str, int]:
    """Return for every file, `folder/name`, the number of its medium, counted from 0.

    `capacities` are bytes. Raises BadInputError that says how much more room is needed.
    """
    left = [capacity - METADATA_BYTES for capacity in capacities]
    places: dict[str, int] = {}
    at = 0
    for names, size in _pieces(models, part_bytes):
        while at < len(left) and left[at] < size:
            at += 1
        if at == len(left):
            raise BadInputError(
                f"the bundle needs {_needed(models, len(capacities)):,} bytes and its largest "
                f"piece {_largest(models, part_bytes):,}, but the media have "
                f"{sum(capacities):,} in all",
                hint="nothing was written; add a medium with another --out, or make smaller parts "
                "with --part-size",
            )
        left[at] -= size
        places.update(dict.fromkeys(names, at))
    return places


def _pieces(models: Sequence[Sizes], part_bytes: int) -> list[tuple[list[str], int]]:
    """Return what stays together, and its length: the small files of a model, then each part."""
    found: list[tuple[list[str], int]] = []
    for model in models:
        small = [f"{model.folder}/{name}" for name in SIDE_FILES.values()]
        found.append((small, model.side + MADE_BYTES))
        parts = part_count(model.weights, part_bytes)
        for number in range(parts):
            name = f"{model.folder}/{weights_name(model.model, number + 1, parts)}"
            found.append(([name], min(part_bytes, model.weights - number * part_bytes)))
    return found


def _needed(models: Sequence[Sizes], media: int) -> int:
    return media * METADATA_BYTES + sum(item.weights + item.side + MADE_BYTES for item in models)


def _largest(models: Sequence[Sizes], part_bytes: int) -> int:
    return max(min(part_bytes, item.weights) for item in models)
