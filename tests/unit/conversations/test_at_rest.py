"""Conversations on disk: what a crash leaves, and what somebody with the files finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.conversations.store import UNREADABLE, Conversations
from appliance.conversations.values import ModelUsed, Turn
from appliance.database import Database
from appliance.errors import ConflictError, VerificationError
from appliance.sealing import KeyWrapper
from tests.unit.conversations.conftest import Site

MODEL = ModelUsed("demo", "1.0", "ab" * 32)
ADA, BEN = "usr_ada", "usr_ben"


def begin(store: Conversations, prompt: str = "what is new?", user: str = ADA) -> tuple[str, Turn]:
    """Return the id of a new conversation of `user` and its first turn."""
    return store.begin(user, "a title", "chat", prompt, MODEL)


def change(database: Database, statement: str, **values: object) -> None:
    """Do what somebody with the file could do."""
    with database.session() as session:
        session.execute(sa.text(statement), values)


# --- after a crash


def test_a_pending_answer_is_unfinished(site: Site) -> None:
    """With all that its outcome in the record needs."""
    conversation, turn = begin(site.store)
    (found,) = site.store.unfinished()
    assert (found.answer_id, found.conversation_id, found.user_id) == (
        turn.answer_id,
        conversation,
        ADA,
    )
    assert ModelUsed(found.model_name, found.model_version, found.model_digest) == MODEL
    assert (found.origin, found.created) == ("chat", site.clock.now())


def test_an_ended_answer_without_outcome_is_unfinished(store: Conversations) -> None:
    """Until an entry of the record is noted, it is not done."""
    _, turn = begin(store)
    store.finish(turn.answer_id, state="complete", text="x")
    assert [found.answer_id for found in store.unfinished()] == [turn.answer_id]
    store.set_outcome(turn.answer_id, 2)
    assert store.unfinished() == []


def test_closing_a_pending_answer_fails_it(store: Conversations) -> None:
    """Its text stays empty, and the seal of that is what the record gets."""
    _, turn = begin(store)
    closed = store.close_unfinished(turn.answer_id, "interrupted")
    answer = store.message(turn.answer_id, ADA)
    assert closed.state == answer.state == "failed"
    assert (answer.text, answer.error_code) == ("", "interrupted")


def test_closing_an_ended_answer_changes_nothing(store: Conversations) -> None:
    """It returns the same seal that `finish` did, so that the record tells the truth late."""
    _, turn = begin(store)
    sealed = store.finish(turn.answer_id, state="stopped", text="Some text")
    closed = store.close_unfinished(turn.answer_id, "interrupted")
    assert (closed.state, closed.sealed) == ("stopped", sealed)
    assert store.message(turn.answer_id, ADA).error_code is None


def test_an_abandoned_answer_needs_no_outcome(store: Conversations) -> None:
    """Its intent was never recorded, so nothing was asked of a model."""
    _, turn = begin(store)
    store.abandon(turn.answer_id, "record_unavailable")
    assert store.unfinished() == []
    answer = store.message(turn.answer_id, ADA)
    assert (answer.state, answer.error_code) == ("failed", "record_unavailable")


def test_an_ended_answer_cannot_be_abandoned(store: Conversations) -> None:
    """Nothing that was answered can be taken off the list of what the record must hold."""
    _, turn = begin(store)
    store.finish(turn.answer_id, state="complete", text="x")
    with pytest.raises(ConflictError):
        store.abandon(turn.answer_id, "x")


# --- sealed


def files_with(folder: Path, marker: str) -> list[str]:
    spellings = (marker.encode(), marker.encode("utf-16-le"), marker.encode().hex().encode())
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(spelling in path.read_bytes() for spelling in spellings)
    ]


def test_no_text_lies_in_any_file(site: Site) -> None:
    """Prompt, answer, old and new title: searched for in databases, -wal and -shm files."""
    store = site.store
    conversation, turn = store.begin(ADA, "Xylotitle", "chat", "Xyloprompt", MODEL)
    store.finish(turn.answer_id, state="complete", text="Xyloanswer")
    store.rename(conversation, ADA, "Xylorename")
    assert store.list(ADA, search="xyloprompt")
    assert {path.name for path in site.state.iterdir()} >= {"appliance.db-wal", "keys.db-wal"}
    assert files_with(site.state, "demo"), "the search finds what does lie there"
    assert files_with(site.state, "Xylo") == []
    site.main.close()
    site.keys.close()
    assert files_with(site.state, "Xylo") == []


def test_each_conversation_has_a_key_of_its_own(site: Site) -> None:
    """Destroying one key leaves the others readable."""
    first, _ = begin(site.store)
    second, _ = begin(site.store, "still here")
    with site.main.connect() as connection:
        query = sa.text("SELECT key_id FROM conversations WHERE id = :id")
        key_id = connection.execute(query, {"id": first}).scalar_one()
    change(site.keys, "DELETE FROM content_keys WHERE key_id = :id", id=key_id)
    with pytest.raises(VerificationError, match="gone"):
        site.store.messages(first, ADA)
    assert site.store.messages(second, ADA)[0].text == "still here"


def test_a_lost_key_leaves_the_list_readable(site: Site) -> None:
    """One damaged conversation does not hide the others; it is shown as what it is."""
    begin(site.store)
    change(site.keys, "DELETE FROM content_keys")
    begin(site.store)
    titles = [item.title for item in site.store.list(ADA)]
    assert sorted(titles) == sorted(["a title", UNREADABLE])
    assert len(site.store.list(ADA, search="what is new")) == 1


def test_the_wrapped_key_does_not_open_without_the_key_file(site: Site) -> None:
    """Both database files together show nothing."""
    conversation, _ = begin(site.store)
    thief = Conversations(site.main, site.keys, KeyWrapper(bytes(32)), site.clock)
    with pytest.raises(VerificationError):
        thief.messages(conversation, ADA)


def test_a_text_cannot_be_moved_to_another_row(site: Site) -> None:
    """Question and answer swapped by hand do not open."""
    conversation, turn = begin(site.store)
    change(
        site.main,
        "UPDATE messages SET sealed = (SELECT sealed FROM messages WHERE id = :a) WHERE id = :b",
        a=turn.question_id,
        b=turn.answer_id,
    )
    with pytest.raises(VerificationError, match="altered"):
        site.store.messages(conversation, ADA)


def test_a_conversation_cannot_be_given_to_someone_else_unread(site: Site) -> None:
    """A title moved under another conversation's row does not open there."""
    first, _ = begin(site.store)
    second, _ = begin(site.store)
    change(
        site.main,
        "UPDATE conversations SET (sealed_title, key_id) = "
        "(SELECT sealed_title, key_id FROM conversations WHERE id = :a) WHERE id = :b",
        a=first,
        b=second,
    )
    with pytest.raises(VerificationError):
        site.store.get(second, ADA)


def test_opened_text_is_not_shown_by_accident(store: Conversations) -> None:
    """A message that ends up in a log line takes no text along."""
    conversation, _ = begin(store, "private words")
    shown = repr(store.messages(conversation, ADA)) + repr(store.get(conversation, ADA))
    assert "private words" not in shown
    assert "a title" not in shown


def test_a_busy_program_makes_keys_together_and_each_is_on_the_disk_before_its_use(
    site: Site,
) -> None:
    """Thirty conversations have thirty keys, all in the file; a quiet program makes none spare."""
    store = site.store
    for number in range(30):
        conversation, _ = begin(store, f"text {number}")
        with site.main.reading() as session:
            used = set(session.scalars(sa.text("SELECT key_id FROM conversations")))
        with site.keys.reading() as session:
            there = set(session.scalars(sa.text("SELECT key_id FROM content_keys")))
        assert used <= there
        assert len(there) == number + 1 or number >= 8
        assert store.messages(conversation, ADA)[0].text == f"text {number}"
    assert len(used) == 30
