"""What became of an entry; nothing that is appended later hides the original."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.corrections import ACTION, Correction
from appliance.errors import BadInputError, ForbiddenError, NotFoundError, TamperedError
from appliance.identity.permissions import GRANTS, Permission
from appliance.identity.roles import Role
from appliance.operations import histories
from tests.unit.operations.conftest import actor
from tests.unit.operations.corrected import (
    ANSWER,
    AUDITOR,
    DAY_S,
    ROLES,
    SECOND,
    Site,
    opened,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from opened(tmp_path)


def test_a_history_shows_the_original_first_and_then_who_corrected_it(site: Site) -> None:
    """Oldest first, each with its leaf hash, and the original is proved under a checkpoint."""
    seq = site.answer()
    first = site.correct(seq)
    second = site.correct(seq, Correction("wrong-patient"))
    history = site.verbs.histories.of_entry(AUDITOR, seq)
    assert [step.seq for step in history.steps] == [seq, first, second]
    assert [step.corrects for step in history.steps] == [None, seq, seq]
    assert all(step.holds and len(step.entry["leaf"]) == 64 for step in history.steps)
    assert history.whole
    (proved,) = history.proofs
    assert proved.entry == history.steps[0].entry
    assert proved.size > second


def test_a_correction_can_be_corrected_and_leads_back_to_the_first(site: Site) -> None:
    """Asked for with any of the numbers, the history is the same."""
    seq = site.answer()
    first = site.correct(seq)
    second = site.correct(first, Correction("other"))
    for asked in (seq, first, second):
        history = site.verbs.histories.of_entry(AUDITOR, asked)
        assert [(step.seq, step.corrects) for step in history.steps] == [
            (seq, None), (first, seq), (second, first),
        ]  # fmt: skip


def test_an_entry_about_nothing_has_a_history_too(site: Site) -> None:
    """Its corrections are found by the number that they name."""
    seq, other = site.append("user.list"), site.append("user.list")
    by, _ = site.correct(seq), site.correct(other)
    history = site.verbs.histories.of_entry(AUDITOR, seq)
    assert [step.seq for step in history.steps] == [seq, by]


def test_a_forged_correction_is_called_what_it_is_and_hides_nothing(site: Site) -> None:
    """One that names another leaf hash, a later entry or nonsense stands beside the original."""
    seq = site.answer()
    forged = site.forge(seq, "0" * 64)
    site.forge(10_000, "0" * 64)
    site.append(ACTION, entity=ANSWER, content={"corrects": str(seq), "leaf": 5})
    true = site.correct(seq)
    history = site.verbs.histories.of_entry(AUDITOR, seq)
    assert [(step.seq, step.holds) for step in history.steps] == [
        (seq, True), (forged, False), (true, True),
    ]  # fmt: skip
    assert [proved.seq for proved in history.proofs] == [seq]
    assert [step.seq for step in site.verbs.histories.of_entry(AUDITOR, forged).steps] == [forged]


def test_many_forged_corrections_hide_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, the original comes first, and what is left out is said."""
    monkeypatch.setattr(histories, "PAGES", 2)
    monkeypatch.setattr(histories, "MAX_LIMIT", 5)
    seq = site.answer()
    for _ in range(30):
        site.forge(seq, "0" * 64)
    history = site.verbs.histories.of_entry(AUDITOR, seq)
    assert (history.steps[0].seq, len(history.steps), history.whole) == (seq, 11, False)
    assert [proved.seq for proved in history.proofs] == [seq]


def test_a_thing_has_a_history_from_its_first_entry_on(site: Site) -> None:
    """Everything about an answer, with each correction and a proof of what was corrected."""
    seq = site.answer()
    by = site.correct(seq)
    site.answer(SECOND)
    history = site.verbs.histories.of_entity(AUDITOR, ANSWER)
    assert [step.seq for step in history.steps] == [seq - 1, seq, by - 1, by]
    assert [step.corrects for step in history.steps] == [None, None, None, seq]
    assert [proved.seq for proved in history.proofs] == [seq - 1, seq]
    assert history.whole


def test_what_is_recorded_later_crowds_out_neither_original_nor_correction(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many entries the first ones are shown, and every correction."""
    monkeypatch.setattr(histories, "MOST_ENTRIES", 5)
    monkeypatch.setattr(histories, "MOST_PROOFS", 3)
    seq = site.answer()
    for place in range(8):
        site.forge(place, "0" * 64)
        late = site.append("record.prove", entity=ANSWER, content={"entry": seq})
    by, again = site.correct(seq), site.correct(late)
    history = site.verbs.histories.of_entity(AUDITOR, ANSWER)
    assert history.steps[0].seq == seq - 1
    holds = {step.seq: step.holds for step in history.steps}
    assert holds[by]
    assert again in holds
    assert seq in [proved.seq for proved in history.proofs]
    assert not history.whole


def test_a_correction_that_names_what_was_let_go_does_not_stop_the_reading(site: Site) -> None:
    """A forged one may name any number; the history is told all the same."""
    site.prune()
    seq = site.answer()
    forged = site.forge(3, "0" * 64)
    history = site.verbs.histories.of_entity(AUDITOR, ANSWER)
    assert [step.seq for step in history.steps] == [seq - 1, seq, forged]
    assert history.steps[-1].holds is None
    assert [step.seq for step in site.verbs.histories.of_entry(AUDITOR, forged).steps] == [forged]


def test_each_proof_is_under_the_key_that_signed(site: Site) -> None:
    """After hand-overs the newest key signs, and older entries are proved under it."""
    seq = site.answer()
    before = len(site.appliance.ledger.keys())
    for day in (0, 1, 2):
        if day:
            site.clock.advance(DAY_S)
            site.append("user.list")
        (proved,) = site.verbs.histories.of_entry(AUDITOR, seq).proofs
        keys = site.appliance.ledger.keys()
        assert (proved.epoch, len(keys)) == (keys[-1].number, before + day)
        assert f"+{proved.key_id}+" in keys[-1].key


def test_an_original_that_was_altered_is_named(site: Site) -> None:
    """One changed byte in the file, and the history is refused with the number of the entry."""
    seq = site.answer()
    site.correct(seq)
    site.appliance.ledger.checkpoint()
    altered = site.stored(seq).replace(b'"research"', b'"Research"')
    with sqlite3.connect(site.config.paths.audit_db) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall()
        for (name,) in names:
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE entries SET entry = ? WHERE seq = ?", [altered, seq])
    database.close()
    with pytest.raises(TamperedError) as caught:
        site.verbs.histories.of_entry(AUDITOR, seq)
    assert caught.value.seq == seq
    read = site.entries(action="record.read")[-1]
    assert (read["outcome"], read["content"]["code"]) == ("failure", "record_tampered")


@pytest.mark.parametrize("what", ["entry", "entity"])
def test_reading_a_history_is_recorded(site: Site, what: str) -> None:
    """What was read, why, and which entry was proved; no typed text."""
    seq = site.answer()
    officer = actor(Role.PRIVACY_OFFICER, "officer")
    read, asked = {
        "entry": (site.verbs.histories.of_entry, seq),
        "entity": (site.verbs.histories.of_entity, ANSWER),
    }[what]
    read(officer, asked, "complaint", "K-1")  # type: ignore[operator]
    first, *proofs = site.entries(user=officer.user)
    assert (first["action"], first["purpose"]) == ("record.read", "complaint")
    assert first["content"]["filters"] == {what: asked}
    assert first["content"]["case"] == "K-1"
    assert {(entry["action"], entry["purpose"]) for entry in proofs} == {
        ("record.prove", "complaint")
    }
    assert proofs[0]["entity"] == ANSWER


def test_a_privacy_officer_says_why_before_anything_is_shown(site: Site) -> None:
    """Without a purpose there is no history, and the attempt is recorded."""
    officer = actor(Role.PRIVACY_OFFICER, "officer")
    with pytest.raises(BadInputError):
        site.verbs.histories.of_entry(officer, site.answer())
    (refused,) = site.entries(user=officer.user)
    assert (refused["action"], refused["outcome"]) == ("record.read", "refused")


@pytest.mark.parametrize("role", ROLES)
def test_only_readers_of_the_record_see_a_history(site: Site, role: Role) -> None:
    """Whoever may read and prove; the others are refused, and that is recorded."""
    who, seq = actor(role, "somebody"), site.answer()
    if GRANTS[role] >= {Permission.RECORD_READ, Permission.RECORD_PROVE}:
        assert site.verbs.histories.of_entry(who, seq, "complaint").steps
        return
    with pytest.raises(ForbiddenError):
        site.verbs.histories.of_entry(who, seq, "complaint")
    assert site.entries(user=who.user)[-1]["outcome"] == "refused"


def test_what_was_never_recorded_has_no_history(site: Site) -> None:
    """An unknown id or number is told so; typed text stays out of the record."""
    with pytest.raises(NotFoundError):
        site.verbs.histories.of_entity(AUDITOR, "Mrs Smith")
    with pytest.raises(NotFoundError):
        site.verbs.histories.of_entry(AUDITOR, 10_000)
    assert "Smith" not in json.dumps(site.entries())
