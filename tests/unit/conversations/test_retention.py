"""Schedules and the clock: what is due, and that a wrong date erases nothing."""

from __future__ import annotations

import pytest

from appliance.conversations.retention import (
    ALL,
    DAY_S,
    MOST_AHEAD_S,
    MOST_FOLLOWED_S,
    MOST_OFF_S,
    PATIENT,
    YEAR_S,
    Schedule,
    Scope,
    TrustedTime,
    stated,
    whole_epochs,
)
from appliance.errors import BadInputError

NOW = 1_800_000_000.0
SCHEDULE = Schedule(content_days=365, api_days=90, metadata_years=6)
TIME = TrustedTime(NOW, "boot-1", 0)


def ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


# --- what is due


def test_each_origin_has_its_own_time() -> None:
    """Programs keep their answers themselves, so theirs go earlier."""
    assert SCHEDULE.due_before("chat", NOW) == NOW - 365 * DAY_S
    assert SCHEDULE.due_before("console", NOW) == NOW - 365 * DAY_S
    assert SCHEDULE.due_before("api", NOW) == NOW - 90 * DAY_S
    assert SCHEDULE.metadata_before(NOW) == NOW - 6 * YEAR_S


def test_zero_means_for_ever() -> None:
    """Nothing is ever due then."""
    never = Schedule(0, 0, 0)
    assert never.due_before("chat", NOW) is None
    assert never.due_before("api", NOW) is None
    assert never.metadata_before(NOW) is None


@pytest.mark.parametrize(
    ("before", "entry", "boundary"),
    [
        (0.0, None, 0),  # nothing is that old
        (1.0, None, 0),  # the first epoch is, but not all of it
        (2.5, None, 512),  # up to the start of the last epoch that opened before
        (9.0, None, 1024),
        (9.0, 600, 512),  # an entry that is needed, and its whole tile
        (9.0, 0, 0),
    ],
)
def test_the_record_is_pruned_by_whole_epochs_and_tiles(
    before: float, entry: int | None, boundary: int
) -> None:
    """Never beyond what is needed, never within a tile."""
    opened = [(0, 0.5), (300, 1.5), (700, 2.0), (1100, 3.0)]
    assert whole_epochs(opened, before, entry) == boundary


def test_an_epoch_of_a_wrong_clock_stops_the_pruning() -> None:
    """A day that says it is later than those after it is not old."""
    assert whole_epochs([(0, 1.0), (512, 99.0), (1024, 2.0)], 5.0, None) == 0


# --- the clock


def test_time_goes_by_with_the_uptime() -> None:
    """A clock that agrees is believed."""
    later, fits = TIME.at(NOW + 5 * DAY_S, "boot-1", ns(5 * DAY_S))
    assert fits
    assert later.trusted == NOW + 5 * DAY_S


@pytest.mark.parametrize("years", [1, 10])
def test_a_clock_set_forward_is_not_believed(years: int) -> None:
    """While the machine runs, its uptime contradicts the date."""
    later, fits = TIME.at(NOW + years * YEAR_S, "boot-1", ns(60))
    assert not fits
    assert later.trusted == NOW + 60


def test_a_clock_that_is_far_ahead_after_a_restart_is_not_believed() -> None:
    """Nothing says how long the machine was off, so a person must."""
    later, fits = TIME.at(NOW + 10 * YEAR_S, "boot-2", ns(60))
    assert not fits
    assert later.trusted == NOW
    _, still = later.at(NOW + 10 * YEAR_S + DAY_S, "boot-2", ns(60 + DAY_S))
    assert not still


def test_a_week_without_power_is_believed() -> None:
    """A restart, a weekend, a holiday."""
    later, fits = TIME.at(NOW + MOST_OFF_S, "boot-2", ns(60))
    assert fits
    assert later.trusted == NOW + MOST_OFF_S


def test_a_clock_set_back_makes_nothing_due() -> None:
    """And set right again it is believed at once."""
    back, fits = TIME.at(NOW - 10 * YEAR_S, "boot-1", ns(60))
    assert fits
    assert back.trusted == NOW + 60
    right, fits = back.at(NOW + 120, "boot-1", ns(120))
    assert fits
    assert right.trusted == NOW + 120


def test_small_jumps_do_not_add_up_fast() -> None:
    """A clock that is set on by a day each day gains an hour a day, not a day."""
    time = TIME
    for day in range(1, 31):
        time, _ = time.at(NOW + 2 * day * DAY_S, "boot-1", ns(day * DAY_S))
    assert time.trusted <= NOW + 30 * DAY_S + 30 * MOST_FOLLOWED_S
    assert MOST_AHEAD_S >= MOST_FOLLOWED_S


# --- words and scopes


@pytest.mark.parametrize("text", ["GDPR Art. 17(1)(a)", "§ 35 BDSG, Fall 2026-113", "case #7/26"])
def test_a_law_and_a_case_can_be_stated(text: str) -> None:
    """Spaces are made one."""
    assert stated(f"  {text} ", "the basis") == text


@pytest.mark.parametrize("text", ["", "x", "y" * 161, "a\x00bc", "<script>", "a\u202ebc"])
def test_other_text_does_not_enter_the_record(text: str) -> None:
    """It would stay there for ever."""
    with pytest.raises(BadInputError):
        stated(text, "the basis")


@pytest.mark.parametrize(("kind", "target"), [("planet", "x"), (ALL, "x"), (PATIENT, "")])
def test_a_scope_names_what_it_needs(kind: str, target: str) -> None:
    """Everything has no name; everything else has one."""
    with pytest.raises(BadInputError):
        Scope(kind, target)
