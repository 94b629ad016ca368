"""Erasing: nothing is left, the record stays whole, a hold forbids it, a crash changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.audit.actions import Outcome
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.proof import TlogProof
from appliance.cli.actor import console_actor
from appliance.conversations.retention import ALL, CONVERSATION, PATIENT, USER
from appliance.errors import (
    ApplianceError,
    BadInputError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
)
from appliance.identity.roles import Role
from appliance.operations import content as module
from appliance.operations.alone import alone
from appliance.operations.recording import Recorder
from appliance.operations.scopes import Wanted
from tests.unit.operations.dying import BASIS, REFERENCE, killed
from tests.unit.operations.kept import MODEL, PROMPT, House, everything_in, made, opened

OURS = Wanted(PATIENT, REFERENCE)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(made(tmp_path)) as found:
        yield found


def keys_of(house: House) -> dict[str, bytes]:
    with house.appliance.databases[1].connect() as connection:
        query = "SELECT key_id, wrapped FROM content_keys"
        return dict(connection.exec_driver_sql(query).fetchall())  # type: ignore[arg-type]


# --- the promise


def test_after_erasure_nothing_is_left_and_the_record_is_whole(tmp_path: Path) -> None:
    """No text, no reference, no key byte in any file; receipts of other answers still verify."""
    config = made(tmp_path)
    with opened(config) as house:
        ada, officer = house.person("ada"), house.person("olga", Role.PRIVACY_OFFICER)
        house.asked(ada, REFERENCE)
        _, kept = house.asked(ada)
        before = keys_of(house)
        done = house.verbs.content.erase(officer, OURS, BASIS)
        (key_id,) = set(before) - set(keys_of(house))
        entry = house.entries(entity=done.id)[-1]
        assert (entry["action"], entry["outcome"]) == ("content.erase", "success")
        assert entry["agent"]["user"] == officer.user
        assert entry["content"]["keys"] == [key_id]
        assert (entry["content"]["basis"], entry["content"]["conversations"]) == (BASIS, 1)
        proof = TlogProof.parse(house.appliance.ledger.prove(kept))
        assert json.loads(proof.entry)["action"] == "answer.complete"
        assert house.appliance.ledger.verify().entries > kept
    everything = everything_in(config.state)
    assert before[key_id] not in everything
    for trace in (b"Xylo", REFERENCE.encode(), REFERENCE.casefold().encode(), b"4711"):
        assert trace not in everything


def test_an_erasure_is_meant_and_then_done(house: House) -> None:
    """Both entries name the basis and the pseudonym, by which the patient's entries are found."""
    house.asked(house.person("ada"), REFERENCE)
    done = house.verbs.content.erase(console_actor(), OURS, BASIS)
    intent, outcome = house.entries(entity=done.id)
    assert (intent["outcome"], outcome["outcome"]) == ("intent", "success")
    for entry in (intent, outcome):
        assert entry["content"]["basis"] == BASIS
        assert entry["content"]["subject"].startswith("pat_")


@pytest.mark.parametrize("kind", [PATIENT, USER, CONVERSATION])
def test_each_scope_erases_what_it_names(house: House, kind: str) -> None:
    """And leaves what it does not."""
    ada, ben = house.person("ada"), house.person("ben")
    mine, _ = house.asked(ada, REFERENCE)
    theirs, _ = house.asked(ben, "0815")
    text = {PATIENT: REFERENCE, USER: "ada", CONVERSATION: mine}[kind]
    house.verbs.content.erase(console_actor(), Wanted(kind, text), BASIS)
    assert house.erased(ada) == [mine]
    assert house.erased(ben) == []
    assert house.appliance.conversations.messages(theirs, ben.user)[0].text


def test_the_author_sees_which_entry_says_so(house: House) -> None:
    """Opening it is no error, and its history can be listed."""
    ada = house.person("ada")
    conversation, _ = house.asked(ada, REFERENCE)
    done = house.verbs.content.erase(console_actor(), OURS, BASIS)
    found, messages = house.verbs.chats.open(ada, conversation)
    assert found.erased is not None
    assert found.erased.entry == done.outcome_seq
    assert [message.text for message in messages] == ["", ""]
    assert house.verbs.chats.list(ada, search="xylo") == []


# --- refused


@pytest.mark.parametrize("role", [Role.CLINICIAN, Role.STEWARD, Role.ADMINISTRATOR, Role.AUDITOR])
def test_only_a_privacy_officer_or_the_console_may(house: House, role: Role) -> None:
    """Everybody else is refused, recorded, and nothing changes."""
    ada, actor = house.person("ada"), house.person("somebody", role)
    house.asked(ada, REFERENCE)
    verbs = house.verbs
    attempts: list[Callable[[], object]] = [
        lambda: verbs.content.erase(actor, OURS, BASIS),
        lambda: verbs.content.hold(actor, OURS, "case 1"),
        lambda: verbs.content.release(actor, "hld_x", "case 1"),
        lambda: verbs.content.certificate(actor, "ers_x"),
        lambda: verbs.retention.plan(actor),
        lambda: verbs.retention.apply(actor),
        lambda: verbs.rewrapping.rewrap(actor),
        lambda: verbs.content.holds(actor),
        lambda: verbs.content.erasures(actor),
    ]
    for attempt in attempts:
        with pytest.raises(ForbiddenError):
            attempt()
    assert {entry["outcome"] for entry in house.entries(user=actor.user)} == {"refused"}
    assert house.erased(ada) == []


@pytest.mark.parametrize(
    ("wanted", "basis", "error"),
    [
        (Wanted(PATIENT, "unknown"), BASIS, NotFoundError),
        (Wanted(USER, "nobody"), BASIS, NotFoundError),
        (Wanted(CONVERSATION, "Mrs Smith"), BASIS, NotFoundError),
        (Wanted(ALL), BASIS, BadInputError),
        (OURS, "", BadInputError),
        (Wanted(PATIENT, ""), BASIS, BadInputError),
        (OURS, f"request of {REFERENCE.lower()}", BadInputError),
    ],
)
def test_what_cannot_be_erased_is_refused_without_a_trace_of_what_was_typed(
    house: House, wanted: Wanted, basis: str, error: type[ApplianceError]
) -> None:
    """The refusal is recorded by its code alone."""
    ada = house.person("ada")
    house.asked(ada, REFERENCE)
    start = house.appliance.ledger.head().size
    with pytest.raises(error):
        house.verbs.content.erase(console_actor(), wanted, basis)
    (entry,) = house.entries(action="content.erase")
    assert (entry["outcome"], entry["seq"]) == ("refused", start)
    assert entry["content"] == {"code": error.code}
    assert house.erased(ada) == []


def test_a_hold_forbids_it_and_says_which(house: House) -> None:
    """Placed and released for a stated reason; in between nothing goes."""
    ada, officer = house.person("ada"), house.person("olga", Role.PRIVACY_OFFICER)
    house.asked(ada, REFERENCE)
    hold = house.verbs.content.hold(officer, Wanted(USER, "ada"), "litigation 2026-113")
    with pytest.raises(ConflictError, match=hold.id):
        house.verbs.content.erase(officer, OURS, BASIS)
    refused = house.entries(action="content.erase")[-1]
    assert (refused["outcome"], refused["content"]["code"]) == ("refused", "conflict")
    placed = house.entries(action="content.hold")[-1]
    assert placed["content"] == {
        "reason": "litigation 2026-113", "scope": "user", "person": ada.user,
    }  # fmt: skip
    with pytest.raises(BadInputError):
        house.verbs.content.release(officer, hold.id, "")
    house.verbs.content.release(officer, hold.id, "case closed")
    house.verbs.content.erase(officer, OURS, BASIS)
    assert len(house.erased(ada)) == 1


def test_a_hold_for_a_patient_to_come(house: House) -> None:
    """The first question about the patient is held already."""
    house.verbs.content.hold(console_actor(), OURS, "case 1/26")
    ada = house.person("ada")
    house.asked(ada, REFERENCE)
    with pytest.raises(ConflictError):
        house.verbs.content.erase(console_actor(), Wanted(USER, "ada"), BASIS)


# --- the certificate


def test_the_certificate_proves_the_erasure(house: House) -> None:
    """The file verifies against the record's own keys; the page says what the file proves."""
    house.asked(house.person("ada"), REFERENCE)
    done = house.verbs.content.erase(console_actor(), OURS, BASIS)
    found = house.verbs.content.certificate(console_actor(), done.id)
    proof = TlogProof.parse(found.proof)
    epochs = house.appliance.ledger.keys()
    proof.verify(VerifierKey.parse(epochs[-1].key))
    entry = json.loads(proof.entry)
    assert (entry["action"], entry["entity"]) == ("content.erase", done.id)
    for words in (BASIS, "Entry", str(done.outcome_seq), *entry["content"]["keys"]):
        assert words in found.text
    assert REFERENCE not in found.text
    assert house.entries(action="record.prove")[-1]["entity"] == done.id


def test_a_long_list_of_keys_fits_into_an_entry(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a limit the entry holds a digest over all ids instead."""
    monkeypatch.setattr(module, "MOST_NAMED", 1)
    ada = house.person("ada")
    for _ in range(2):
        house.asked(ada)
    done = house.verbs.content.erase(console_actor(), Wanted(USER, "ada"), BASIS)
    facts = house.entries(entity=done.id)[-1]["content"]
    assert facts["keys_destroyed"] == 2
    assert len(facts["keys_sha256"]) == 64
    assert "keys" not in facts
    assert facts["keys_sha256"] in house.verbs.content.certificate(console_actor(), done.id).text


# --- at once, and after a crash


def test_of_two_erasures_at_once_one_acts(house: House) -> None:
    """The other finds nothing left and is refused; the record has one of each."""
    house.asked(house.person("ada"), REFERENCE)
    errors: list[ApplianceError] = []

    def erase() -> None:
        try:
            house.verbs.content.erase(console_actor(), Wanted(USER, "ada"), BASIS)
        except ApplianceError as error:
            errors.append(error)

    threads = [threading.Thread(target=erase) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [entry["outcome"] for entry in house.entries(action="content.erase")]
    assert sorted(outcomes) == ["intent", "intent", "refused", "success"]
    assert [type(error) for error in errors] == [NotFoundError]


def test_the_caretaker_leaves_a_running_erasure_alone(house: House) -> None:
    """What another process has begun is that one's to finish."""
    house.asked(house.person("ada"), REFERENCE)
    custody = house.appliance.conversations.custody
    subject = house.appliance.conversations.subjects.ensure(REFERENCE)
    custody.plan("erase", module.Scope(PATIENT, subject), BASIS, "usr_officer")
    with alone(house.appliance):
        assert house.verbs.content.resume() == 0
    assert house.verbs.content.resume() == 1


def test_an_answer_under_way_gets_its_outcome_without_a_text(house: House) -> None:
    """The caretaker records that it failed; its request does not stay open."""
    ada, store = house.person("ada"), house.appliance.conversations
    _, turn = store.begin(ada.user, "Xylotitle", "chat", PROMPT, MODEL)
    note = Recorder(house.appliance.ledger).note
    note(ada, "answer.request", Outcome.INTENT, entity=turn.answer_id)
    house.verbs.content.erase(console_actor(), Wanted(USER, "ada"), BASIS)
    assert house.verbs.asking.reconcile() == 1
    end = house.entries(entity=turn.answer_id)[-1]
    assert (end["action"], end["content"]["answer"]) == ("answer.fail", None)
    assert store.unfinished() == []


def test_what_was_closed_loses_its_keys_whatever_the_record_says(house: House) -> None:
    """A conversation that its author cannot open any more does not keep its key."""
    ada = house.person("ada")
    house.asked(ada)
    custody = house.appliance.conversations.custody
    custody.mark(custody.plan("erase", module.Scope(USER, ada.user), BASIS, "usr_officer"))
    assert house.verbs.content.resume() == 1
    assert keys_of(house) == {}
    (entry,) = house.entries(action="content.erase")
    assert entry["content"]["requested_by"] == "usr_officer"


CUSTODY = "appliance.conversations.custody:Custody"
POINTS = [
    ("appliance.operations.content:Content._intend", "after"),
    (f"{CUSTODY}.mark", "before"),
    (f"{CUSTODY}.mark", "after"),
    ("appliance.conversations.keys.scrubbing:scrub", "before"),
    ("appliance.conversations.keys.scrubbing:scrub", "after"),
    (f"{CUSTODY}._blank", "after"),
    (f"{CUSTODY}.destroy", "after"),
    (f"{CUSTODY}.finish", "before"),
]


@pytest.mark.parametrize(("place", "when"), POINTS)
def test_a_killed_erasure_is_finished_at_the_next_start(
    tmp_path: Path, place: str, when: str
) -> None:
    """`kill -9` between any two steps: one outcome, no key left, the author is told."""
    config = made(tmp_path)
    with opened(config) as house:
        house.asked(house.person("ada"), REFERENCE)
        before = keys_of(house)
    killed(config.state, "erase", place, when)
    with opened(config) as house:
        house.verbs.retention.run_due()
        house.verbs.retention.run_due()
        outcomes = [entry["outcome"] for entry in house.entries(action="content.erase")]
        assert outcomes == ["intent", "success"]
        assert house.appliance.conversations.subjects.find(REFERENCE) is None
        ada = house.person("ada")
        (found,) = house.appliance.conversations.list(ada.user)
        assert found.erased is not None
        assert found.erased.entry == house.entries(action="content.erase")[-1]["seq"]
        house.appliance.ledger.verify()
    everything = everything_in(config.state)
    assert not [key for key, wrapped in before.items() if wrapped in everything]
    assert b"Xylo" not in everything


def test_an_erasure_killed_before_its_intent_never_was(tmp_path: Path) -> None:
    """Nothing was recorded, so nothing is done; asking again works."""
    config = made(tmp_path)
    with opened(config) as house:
        house.asked(house.person("ada"), REFERENCE)
    killed(config.state, "erase", f"{CUSTODY}.plan", "after")
    with opened(config) as house:
        house.verbs.retention.run_due()
        assert house.entries(action="content.erase") == []
        assert house.erased(house.person("ada")) == []
        house.verbs.content.erase(console_actor(), OURS, BASIS)
        assert len(house.erased(house.person("ada"))) == 1


REWRAP_POINTS = [
    (f"{CUSTODY}.plan", "after", []),
    ("appliance.operations.rewrapping:KeyWrapper.create_file", "before", ["intent", "failure"]),
    ("appliance.operations.rewrapping:KeyWrapper.create_file", "after", ["intent", "failure"]),
    ("appliance.conversations.keys.scrubbing:scrub", "before", ["intent", "success"]),
    ("appliance.operations.rewrapping:replace_file", "before", ["intent", "success"]),
    ("appliance.sealing:durable.destroy", "before", ["intent", "success"]),
    ("appliance.operations.rewrapping:replace_file", "after", ["intent", "success"]),
    (f"{CUSTODY}.finish", "before", ["intent", "success"]),
]


@pytest.mark.parametrize(("place", "when", "expected"), REWRAP_POINTS)
def test_a_killed_new_key_loses_nothing(
    tmp_path: Path, place: str, when: str, expected: list[str]
) -> None:
    """`kill -9` between any two steps: everything opens, one key file is left, one outcome."""
    config = made(tmp_path)
    with opened(config) as house:
        conversation, _ = house.asked(house.person("ada"), REFERENCE)
    killed(config.state, "rewrap", place, when)
    with opened(config) as house:
        ada, store = house.person("ada"), house.appliance.conversations
        assert store.messages(conversation, ada.user)[0].text
        house.verbs.retention.run_due()
        house.verbs.retention.run_due()
        assert store.messages(conversation, ada.user)[0].text
        assert store.subjects.find(REFERENCE)
        outcomes = [entry["outcome"] for entry in house.entries(action="content.rewrap")]
        assert outcomes == expected
    keys = config.paths.content_key.parent
    assert [path.name for path in keys.iterdir()] == ["content.key"]
    with opened(config) as house:
        assert house.verbs.rewrapping.rewrap(console_actor()).rows == 3
        messages = house.appliance.conversations.messages(conversation, house.person("ada").user)
        assert messages[0].text
