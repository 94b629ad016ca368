"""Which file goes onto which stick is decided before a byte is written."""

from __future__ import annotations

import pytest

from appliance.bundles.desk.plan import MADE_BYTES, METADATA_BYTES, Sizes, spread
from appliance.errors import BadInputError

PART = 1_000_000
MODEL = Sizes("tiny-1", "tiny", weights=2_500_000, side=1_000)
SMALL = METADATA_BYTES + MADE_BYTES + 1_000


def test_a_model_that_fits_stays_together() -> None:
    """One medium with room takes everything."""
    assert set(spread([MODEL], [SMALL + MODEL.weights], PART).values()) == {0}


def test_parts_go_on_to_the_next_medium() -> None:
    """A part is whole on one medium, and the small files of a model stay together."""
    places = spread([MODEL], [SMALL + 2 * PART, METADATA_BYTES + PART], PART)
    assert {name: at for name, at in places.items() if ".gguf" in name} == {
        "tiny-1/tiny.gguf.001": 0,
        "tiny-1/tiny.gguf.002": 0,
        "tiny-1/tiny.gguf.003": 1,
    }
    assert {at for name, at in places.items() if ".gguf" not in name} == {0}


def test_too_little_room_is_said_beforehand() -> None:
    """The message says how much is needed and what there is."""
    with pytest.raises(BadInputError, match=r"needs [0-9,]+ bytes"):
        spread([MODEL], [SMALL + PART, METADATA_BYTES + PART], PART)


def test_a_part_longer_than_a_medium_is_refused() -> None:
    """However many media there are."""
    with pytest.raises(BadInputError):
        spread([MODEL], [METADATA_BYTES + PART - 1] * 9, PART)
