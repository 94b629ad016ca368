"""An entry is never changed; a later one corrects it, and says nothing in words of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.corrections import ACTION, REASONS, Correction
from appliance.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from appliance.identity.permissions import GRANTS, Permission
from appliance.identity.roles import Role
from appliance.operations import corrections
from tests.unit.operations.conftest import actor
from tests.unit.operations.corrected import (
    ANSWER,
    AUDITOR,
    DAY_S,
    ROLES,
    SECOND,
    SUBJECT,
    WRONG,
    Site,
    opened,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from opened(tmp_path)


def test_a_correction_is_a_later_entry_and_the_original_keeps_its_bytes(site: Site) -> None:
    """Intent and outcome name number, leaf hash, reason, purpose and case; nothing is changed."""
    seq = site.answer()
    before = site.stored(seq)
    by = site.correct(seq)
    assert site.stored(seq) == before
    intent, outcome = site.entries(action=ACTION)
    assert [intent["outcome"], outcome["outcome"]] == ["intent", "success"]
    assert outcome["seq"] == by
    assert outcome["entity"] == ANSWER
    assert outcome["type"] == "record"
    assert intent["content"] == outcome["content"] == {
        "corrects": seq, "leaf": site.entries(entity=ANSWER)[1]["leaf"],
        "reason": "wrong-purpose", "purpose": "treatment", "case": "K-17/2026",
        "subject": SUBJECT,
    }  # fmt: skip


def test_a_correction_is_found_with_what_concerns_the_patient(site: Site) -> None:
    """Whoever asks what concerned a patient sees that it was corrected."""
    by = site.correct(site.answer(), Correction("wrong-patient"))
    assert by in [entry["seq"] for entry in site.entries(subject=SUBJECT)]


@pytest.mark.parametrize("reason", REASONS)
def test_purpose_and_case_are_optional(site: Site, reason: str) -> None:
    """Every reason stands by itself, also for an entry about nothing."""
    site.correct(site.append("user.list"), Correction(reason))
    content = site.entries(action=ACTION)[-1]["content"]
    assert set(content) == {"corrects", "leaf", "reason"}


@pytest.mark.parametrize(
    "correction",
    [
        Correction("Mrs Smith"), Correction(""), Correction("other", "Smith"),
        Correction("other", ""), Correction("other", None, "Smith"),
        Correction("other", None, "Mrs 1"), Correction("other", None, ""),
    ],
)  # fmt: skip
def test_no_free_text_reaches_the_record(site: Site, correction: Correction) -> None:
    """Reason and purpose come from lists, a case has a digit; the refusal repeats none of it."""
    seq = site.answer()
    with pytest.raises(BadInputError):
        site.correct(seq, correction)
    (refused,) = site.entries(action=ACTION)
    assert (refused["outcome"], refused["content"]) == ("refused", {"code": "bad_input"})
    assert "Smith" not in json.dumps(site.entries())


@pytest.mark.parametrize("seq", [10_000, 2**53 - 1, 2**53])
def test_an_entry_that_is_not_there_cannot_be_corrected(site: Site, seq: int) -> None:
    """Beyond the end there is nothing to correct; the attempt is recorded."""
    with pytest.raises(NotFoundError):
        site.correct(seq)
    assert site.entries(action=ACTION)[-1]["outcome"] == "refused"


def test_an_entry_that_was_let_go_cannot_be_corrected(site: Site) -> None:
    """Its bytes are gone, so nobody could compare them."""
    site.prune()
    with pytest.raises(NotFoundError):
        site.correct(100)
    assert site.correct(290) > 290


def test_what_verification_reads_cannot_be_corrected(site: Site) -> None:
    """Neither the hand-over of a key nor a pruning can be called wrong."""
    site.clock.advance(DAY_S)
    site.append("user.list")
    epoch = site.entries(action="record.epoch")[-1]["seq"]
    with pytest.raises(ConflictError):
        site.correct(epoch)
    assert site.entries(action=ACTION)[-1]["content"] == {"code": "conflict"}


@pytest.mark.parametrize("role", ROLES)
def test_only_who_may_correct_does(site: Site, role: Role) -> None:
    """Everybody else is refused, and that is recorded."""
    seq, who = site.answer(), actor(role, "somebody")
    if Permission.RECORD_CORRECT in GRANTS[role]:
        assert site.verbs.corrections.correct(who, seq, WRONG).seq == seq
        return
    with pytest.raises(ForbiddenError):
        site.verbs.corrections.correct(who, seq, WRONG)
    (refused,) = site.entries(action=ACTION)
    assert (refused["outcome"], refused["agent"]["user"]) == ("refused", who.user)


# --- marks


def test_corrected_entries_are_marked_with_the_newest_correction(site: Site) -> None:
    """A forged correction marks nothing."""
    seq, other = site.answer(), site.answer(SECOND)
    site.correct(seq)
    newest = site.correct(seq)
    site.forge(other, "0" * 64)
    marks = site.verbs.corrections.marks(AUDITOR, site.entries())
    assert marks == {seq: newest}
    assert site.verbs.corrections.marks(AUDITOR, ()) == {}


def test_marks_are_left_out_where_one_search_cannot_tell(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too much was corrected since, no entry is shown as if nothing corrected it."""
    monkeypatch.setattr(corrections, "MAX_LIMIT", 3)
    seq = site.answer()
    page = site.entries(entity=ANSWER)
    site.correct(seq)
    assert site.verbs.corrections.marks(AUDITOR, page) is not None
    for _ in range(4):
        site.correct(seq)
    assert site.verbs.corrections.marks(AUDITOR, page) is None
    newest = site.entries()[-1:]
    assert site.verbs.corrections.marks(AUDITOR, newest) == {}
