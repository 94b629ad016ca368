"""Schedules run by themselves, once a day, recorded; a wrong clock and a hold stop them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.audit.actions import Outcome
from appliance.cli.actor import console_actor
from appliance.conversations.retention import ALL, DAY_S, PATIENT, USER, YEAR_S
from appliance.errors import ConflictError
from appliance.identity.permissions import Actor
from appliance.operations import retention as module
from appliance.operations.alone import alone
from appliance.operations.recording import Recorder, system
from appliance.operations.scopes import Wanted
from tests.unit.operations.kept import House, made, opened


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(made(tmp_path)) as found:
        found.verbs.retention.run_due()
        yield found


@pytest.fixture
def ada(house: House) -> Actor:
    return house.person("ada")


def days(house: House, count: int) -> None:
    """Let days pass while the machine runs, then the schedule."""
    house.clock.advance(count * DAY_S)
    house.verbs.retention.run_due()


def test_content_past_its_time_goes_by_itself(house: House, ada: Actor) -> None:
    """Programs' after 90 days, chats after 365; one entry for each run that destroyed keys."""
    chat, _ = house.asked(ada)
    api, _ = house.asked(ada, origin="api")
    days(house, 91)
    assert house.erased(ada) == [api]
    days(house, 275)
    assert set(house.erased(ada)) == {api, chat}
    purges = [entry for entry in house.entries(action="content.purge") if entry["content"]]
    assert [entry["outcome"] for entry in purges] == ["intent", "success"] * 2
    assert purges[1]["agent"]["user"] == "system:retention"
    assert purges[1]["content"]["basis"] == "schedule content_days=365 api_days=90"
    assert purges[1]["content"]["conversations"] == 1
    found = house.appliance.conversations.get(chat, ada.user).erased
    assert found is not None
    assert found.by_schedule
    assert found.entry == purges[-1]["seq"]


def test_it_runs_once_a_day_and_says_so(house: House, ada: Actor) -> None:
    """However often it is called; each run is recorded with its counts, also without work."""
    house.asked(ada)
    before = len(house.entries(action="retention.apply"))
    for _ in range(10):
        house.clock.advance(60)
        house.verbs.retention.run_due()
    assert len(house.entries(action="retention.apply")) == before
    days(house, 1)
    entry = house.entries(action="retention.apply")[-1]
    assert entry["outcome"] == "success"
    assert entry["content"]["due"] == {"api": 0, "chat": 0, "console": 0}
    assert entry["content"]["entries"] == 0


def test_what_is_held_stays_and_is_counted(house: House, ada: Actor) -> None:
    """Until the hold is released."""
    house.asked(ada, "4711")
    hold = house.verbs.content.hold(console_actor(), Wanted(PATIENT, "4711"), "case 1/26")
    days(house, 367)
    assert house.erased(ada) == []
    assert house.entries(action="retention.apply")[-1]["content"]["held"]["chat"] == 1
    house.verbs.content.release(console_actor(), hold.id, "case 1/26 closed")
    days(house, 1)
    assert len(house.erased(ada)) == 1


# --- the clock


def test_a_clock_set_ten_years_forward_erases_nothing(house: House, ada: Actor) -> None:
    """The schedule waits and records it, until a person confirms the date."""
    house.asked(ada)
    house.clock.set_back(-10 * YEAR_S)
    for _ in range(3):
        house.clock.advance(60)
        assert house.verbs.retention.run_due() is None
    with pytest.raises(ConflictError, match="clock"):
        house.verbs.retention.apply(console_actor())
    assert not house.verbs.retention.plan(console_actor()).fits
    assert house.erased(ada) == []
    refused = [
        entry["agent"]["user"]
        for entry in house.entries(action="retention.apply", outcome="refused")
    ]
    assert len(refused) == 2
    assert refused[0] == "system:retention"
    house.clock.set_back(10 * YEAR_S)
    days(house, 2)
    assert house.entries(action="retention.apply")[-1]["outcome"] == "success"
    assert house.erased(ada) == []


def test_a_clock_that_was_confirmed_is_believed(house: House, ada: Actor) -> None:
    """A machine that was off for two years goes on when a person has looked at the date."""
    house.asked(ada)
    house.clock.set_back(-2 * YEAR_S)
    done = house.verbs.retention.apply(console_actor(), confirm_clock=True)
    assert sum(due.due for due in done.content) == 1
    assert len(house.erased(ada)) == 1
    assert house.entries(action="retention.apply")[-1]["content"]["clock"] == "confirmed"
    days(house, 1)
    assert house.entries(action="retention.apply")[-1]["outcome"] == "success"


def test_a_first_run_under_a_wrong_clock_waits(tmp_path: Path) -> None:
    """Content that seems years old at the very first run is no reason to erase it."""
    with opened(made(tmp_path)) as house:
        ada = house.person("ada")
        house.asked(ada)
        house.clock.set_back(-10 * YEAR_S)
        assert house.verbs.retention.run_due() is None
        assert house.erased(ada) == []


# --- planning and applying


def test_a_plan_says_what_would_be_due_and_changes_nothing(house: House, ada: Actor) -> None:
    """For now, or for a day to come."""
    house.asked(ada)
    assert house.verbs.retention.plan(console_actor()).conversations == 0
    later = house.clock.now() + 366 * DAY_S
    assert house.verbs.retention.plan(console_actor(), later).conversations == 1
    assert house.erased(ada) == []
    assert house.entries(action="retention.plan")[-1]["content"]["due"]["chat"] == 1


def test_many_are_purged_in_portions(
    house: House, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caretaker takes one portion a minute, a person all at once."""
    monkeypatch.setattr(module, "AT_ONCE", 2)
    for _ in range(7):
        house.asked(ada)
    days(house, 365)
    house.clock.advance(DAY_S)
    done = house.verbs.retention.run_due()
    assert done is not None
    assert not done.complete
    assert len(house.erased(ada)) == 2
    house.clock.advance(60)
    house.verbs.retention.run_due()
    assert len(house.erased(ada)) == 4
    applied = house.verbs.retention.apply(console_actor())
    assert sum(due.due for due in applied.content) == 3
    assert len(house.erased(ada)) == 7


def test_the_schedule_waits_for_a_person_who_erases(house: House, ada: Actor) -> None:
    """Two never destroy keys at once."""
    house.asked(ada)
    house.clock.advance(2 * DAY_S)
    with alone(house.appliance):
        assert house.verbs.retention.run_due() is None
    assert house.verbs.retention.run_due() is not None


# --- the record's own prefix


def fill(house: House, count: int) -> None:
    """Add entries that nobody needs."""
    recorder = Recorder(house.appliance.ledger)
    for _ in range(count):
        recorder.note(system("gateway"), "request.refuse", Outcome.REFUSED)


def test_entries_past_their_time_are_pruned_whole(house: House) -> None:
    """Six years later the oldest tiles go, the record is whole, and it says what went."""
    for _ in range(4):
        fill(house, 200)
        house.clock.advance(DAY_S)
        house.verbs.retention.run_due()
    house.clock.advance(6 * YEAR_S)
    done = house.verbs.retention.apply(console_actor())
    pruned = house.appliance.ledger.verify().pruned
    assert pruned > 0
    assert pruned % 256 == 0
    # Hand-overs to the next day's key are kept, so that the rest can be proved.
    assert pruned - 5 <= done.entries <= pruned
    assert min(entry["seq"] for entry in house.entries(action="request.refuse")) >= pruned
    assert house.entries(action="record.prune")[-1]["content"]["before"] == pruned
    assert house.verbs.retention.apply(console_actor()).entries == 0


def test_pruning_that_was_not_noted_does_not_stop_the_schedule(house: House) -> None:
    """A crash came after the record let go and before that was kept: the next run goes on."""
    for _ in range(4):
        fill(house, 200)
        days(house, 1)
    known = house.appliance.conversations.custody.schedule()
    assert known is not None
    house.clock.advance(6 * YEAR_S)
    assert house.verbs.retention.apply(console_actor()).entries > 0
    now = house.appliance.conversations.custody.schedule()
    assert now is not None
    house.appliance.conversations.custody.save_schedule(replace(now, pruned=known.pruned))
    assert house.verbs.retention.apply(console_actor()).entries == 0
    assert house.entries(action="retention.apply")[-1]["outcome"] == "success"


@pytest.mark.parametrize("kind", ["kept", "patient", "user", "all"])
def test_what_is_kept_or_held_keeps_its_entries(tmp_path: Path, kind: str) -> None:
    """A conversation that exists, and each kind of hold, stop the pruning before them."""
    days_kept = "0" if kind == "kept" else "365"
    settings = {"APPLIANCE_RETENTION__CONTENT_DAYS": days_kept}
    with opened(made(tmp_path, **settings)) as house:
        ada = house.person("ada")
        house.asked(ada, "4711")
        wanted = {"patient": Wanted(PATIENT, "4711"), "user": Wanted(USER, "ada")}
        if kind != "kept":
            house.verbs.content.hold(console_actor(), wanted.get(kind, Wanted(ALL)), "case 1")
        for _ in range(3):
            fill(house, 300)
            house.clock.advance(DAY_S)
            house.verbs.retention.run_due()
        house.clock.advance(7 * YEAR_S)
        assert house.verbs.retention.apply(console_actor()).entries == 0
        assert house.appliance.ledger.verify().pruned == 0
