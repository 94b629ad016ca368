"""Times as the record writes them, and identifiers."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clock import System, new_id, rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_769_851_800.123, "2026-01-31T09:30:00.123Z"),
        (1_769_851_800.9999, "2026-01-31T09:30:00.999Z"),
    ],
)
def test_times_are_utc_with_three_decimals(seconds: float, text: str) -> None:
    """The same form always, so that text sorts as time does; never rounded into the future."""
    assert rfc3339(seconds) == text


@given(st.floats(0, 4_000_000_000))
def test_a_time_reads_back(seconds: float) -> None:
    """Any RFC 3339 reader gets the moment, to the millisecond."""
    assert abs(datetime.fromisoformat(rfc3339(seconds)).timestamp() - seconds) < 0.0011


def test_identifiers_name_their_kind_and_never_repeat() -> None:
    """96 random bits in hex behind the prefix."""
    made = {new_id("cnv") for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"cnv_[0-9a-f]{24}", one) for one in made)


def test_the_system_clock_moves_on() -> None:
    """Interval time never goes back."""
    clock = System()
    first = clock.monotonic_ns()
    assert clock.monotonic_ns() >= first
    assert clock.now() > 1_700_000_000
