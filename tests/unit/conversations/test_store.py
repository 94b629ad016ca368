"""Conversations: sealed, readable by their author alone, each answer ends once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.canonical import sha256
from appliance.conversations.store import UNREADABLE, Conversations
from appliance.conversations.values import Turn
from appliance.database import Database
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError
from appliance.sealing import KeyWrapper
from tests.unit.conversations.conftest import Site

MODEL = ("demo", "1.0", "ab" * 32)
ADA, BEN = "usr_ada", "usr_ben"


def begin(store: Conversations, prompt: str = "what is new?", user: str = ADA) -> tuple[str, Turn]:
    """Return the id of a new conversation of `user` and its first turn."""
    conversation = store.create(user, "a title", "chat")
    return conversation.id, store.begin_turn(conversation.id, user, prompt, *MODEL)


def change(database: Database, statement: str, **values: object) -> None:
    """Do what somebody with the file could do."""
    with database.session() as session:
        session.execute(sa.text(statement), values)


# --- titles and lists


def test_a_conversation_keeps_what_it_was_made_with(site: Site) -> None:
    """Its title comes back opened."""
    made = site.store.create(ADA, "Discharge of room 4", "chat")
    assert site.store.get(made.id, ADA) == made
    assert (made.title, made.origin, made.archived) == ("Discharge of room 4", "chat", False)
    assert made.created == made.updated == site.clock.now()


def test_an_origin_must_be_known(store: Conversations) -> None:
    """Lists and the record tell pages, programs and terminals apart."""
    with pytest.raises(BadInputError):
        store.create(ADA, "x", "elsewhere")


def test_a_title_can_be_changed(store: Conversations) -> None:
    """The new one replaces the old one."""
    made = store.create(ADA, "old", "chat")
    store.rename(made.id, ADA, "new")
    assert store.get(made.id, ADA).title == "new"


def test_the_list_has_the_latest_use_first(site: Site) -> None:
    """A new question brings its conversation to the top."""
    first, _ = begin(site.store)
    site.clock.advance(1)
    second, _ = begin(site.store)
    assert [item.id for item in site.store.list(ADA)] == [second, first]
    site.clock.advance(1)
    site.store.begin_turn(first, ADA, "again", *MODEL)
    assert [item.id for item in site.store.list(ADA)] == [first, second]


def test_archived_ones_are_listed_apart(store: Conversations) -> None:
    """Archiving hides, restoring shows again, nothing is lost."""
    made = store.create(ADA, "x", "chat")
    store.set_archived(made.id, ADA, True)
    assert store.list(ADA) == []
    assert [item.id for item in store.list(ADA, archived=True)] == [made.id]
    store.set_archived(made.id, ADA, False)
    assert [item.id for item in store.list(ADA)] == [made.id]


@pytest.mark.parametrize("search", ["TITLE", "straSSe", "FERRITIN", "  ferritin "])
def test_search_looks_into_titles_and_texts(store: Conversations, search: str) -> None:
    """In whatever case, in questions and answers."""
    wanted, turn = begin(store, "Wohnt in der Hauptstraße")
    store.finish(turn.answer_id, state="complete", text="Check the ferritin level.")
    store.create(BEN, "a title with ferritin and Strasse", "chat")
    assert [item.id for item in store.list(ADA, search=search)] == [wanted]


def test_search_finds_nothing_else(store: Conversations) -> None:
    """A word that stands nowhere gives an empty list."""
    begin(store)
    assert store.list(ADA, search="bilirubin") == []


# --- only the author


def test_nobody_else_can_name_a_conversation(store: Conversations) -> None:
    """To all others it does not exist, whatever they try."""
    conversation, turn = begin(store)
    attempts = [
        lambda: store.get(conversation, BEN),
        lambda: store.messages(conversation, BEN),
        lambda: store.message(turn.question_id, BEN),
        lambda: store.rename(conversation, BEN, "mine"),
        lambda: store.set_archived(conversation, BEN, True),
        lambda: store.begin_turn(conversation, BEN, "and?", *MODEL),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()
    assert store.list(BEN) == []
    assert len(store.messages(conversation, ADA)) == 2


def test_someone_elses_and_missing_look_alike(store: Conversations) -> None:
    """The answer does not tell whether an id exists."""
    conversation, _ = begin(store)
    said = []
    for wanted in (conversation, "cnv_none"):
        with pytest.raises(NotFoundError) as caught:
            store.get(wanted, BEN)
        said.append((caught.value.message, caught.value.hint))
    assert said[0] == said[1]


# --- turns


def test_a_turn_is_a_question_and_a_place_for_its_answer(store: Conversations) -> None:
    """The question is complete, the answer pending and empty, in this order."""
    conversation, turn = begin(store, "what is new?")
    question, answer = store.messages(conversation, ADA)
    assert (question.id, question.role, question.text) == (turn.question_id, "user", "what is new?")
    assert (question.state, question.model, question.intent_seq) == ("complete", None, None)
    assert (answer.id, answer.role, answer.text) == (turn.answer_id, "assistant", "")
    assert answer.state == "pending"
    assert answer.model is not None
    assert (answer.model.name, answer.model.version, answer.model.digest) == MODEL


def test_the_sealed_question_is_what_is_stored(site: Site) -> None:
    """The record's digest is that of the bytes in the database."""
    _, turn = begin(site.store)
    with site.main.connect() as connection:
        query = sa.text("SELECT sealed FROM messages WHERE id = :id")
        stored = connection.execute(query, {"id": turn.question_id}).scalar_one()
    assert turn.sealed_question.for_record()["sha256"] == sha256(stored).hex()


def test_an_answer_keeps_text_and_figures(site: Site) -> None:
    """What was finished is what is read, and its seal is that of the stored bytes."""
    conversation, turn = begin(site.store)
    site.store.set_intent(turn.answer_id, 7)
    site.clock.advance(2)
    site.store.finish(
        turn.answer_id, state="stopped", text="Some text", prompt_tokens=5, answer_tokens=2,
        latency_ms=2000,
    )  # fmt: skip
    site.store.set_outcome(turn.answer_id, 8)
    answer = site.store.message(turn.answer_id, ADA)
    assert (answer.text, answer.state, answer.error_code) == ("Some text", "stopped", None)
    assert (answer.prompt_tokens, answer.answer_tokens, answer.latency_ms) == (5, 2, 2000)
    assert (answer.intent_seq, answer.outcome_seq) == (7, 8)
    assert answer.finished == site.store.get(conversation, ADA).updated == site.clock.now()


def test_an_answer_ends_once(store: Conversations) -> None:
    """A second ending is refused and changes nothing."""
    _, turn = begin(store)
    store.finish(turn.answer_id, state="complete", text="first")
    with pytest.raises(ConflictError, match="as complete"):
        store.finish(turn.answer_id, state="stopped", text="second")
    assert store.message(turn.answer_id, ADA).text == "first"


def test_of_two_endings_at_once_one_counts(store: Conversations) -> None:
    """Stop and the last token arrive together: one of them decides, the other is told."""
    _, turn = begin(store)
    outcomes: list[str] = []

    def end(state: str) -> None:
        try:
            store.finish(turn.answer_id, state=state, text=state)
            outcomes.append(state)
        except ConflictError:
            outcomes.append("late")

    threads = [threading.Thread(target=end, args=(state,)) for state in ("complete", "stopped") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if outcome != "late"]
    assert len(outcomes) == 8
    assert won == [store.message(turn.answer_id, ADA).state]


def test_an_ending_must_be_known(store: Conversations) -> None:
    """An answer cannot go back to pending."""
    _, turn = begin(store)
    with pytest.raises(BadInputError):
        store.finish(turn.answer_id, state="pending", text="")


def test_a_question_cannot_be_finished(store: Conversations) -> None:
    """What a person asked stays as it was asked."""
    _, turn = begin(store)
    with pytest.raises(ConflictError):
        store.finish(turn.question_id, state="complete", text="other words")


def test_turns_at_once_keep_their_order(store: Conversations) -> None:
    """Two windows on one conversation: each answer stands behind its question."""
    conversation, _ = begin(store)
    threads = [
        threading.Thread(target=store.begin_turn, args=(conversation, ADA, str(number), *MODEL))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    roles = [message.role for message in store.messages(conversation, ADA)]
    assert roles == ["user", "assistant"] * 9


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "x" * 1_000_000,
        "emoji \U0001f489",
        "\u0634\u0641\u0627\u0621",
        "nul \x00 bell \x07",
        "\x80",
    ],
)
def test_any_text_comes_back_as_it_was(store: Conversations, prompt: str) -> None:
    """Long lines, emoji, right-to-left text, control characters."""
    _, turn = begin(store, prompt)
    assert store.message(turn.question_id, ADA).text == prompt


def test_half_a_character_is_refused(store: Conversations) -> None:
    """JSON can carry half a surrogate pair; nothing of that turn is stored."""
    conversation = store.create(ADA, "x", "api").id
    with pytest.raises(BadInputError, match="not valid Unicode"):
        store.begin_turn(conversation, ADA, "\ud800", *MODEL)
    assert store.messages(conversation, ADA) == []


# --- after a crash


def test_a_pending_answer_is_unfinished(site: Site) -> None:
    """With all that its outcome in the record needs."""
    conversation, turn = begin(site.store)
    site.store.set_intent(turn.answer_id, 41)
    (found,) = site.store.unfinished()
    assert (found.answer_id, found.conversation_id, found.user_id) == (
        turn.answer_id,
        conversation,
        ADA,
    )
    assert (found.model_name, found.model_version, found.model_digest) == MODEL
    assert (found.intent_seq, found.origin, found.created) == (41, "chat", site.clock.now())


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
    made = store.create(ADA, "Xylotitle", "chat")
    turn = store.begin_turn(made.id, ADA, "Xyloprompt", *MODEL)
    store.finish(turn.answer_id, state="complete", text="Xyloanswer")
    store.rename(made.id, ADA, "Xylorename")
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
    first, second = site.store.create(ADA, "one", "chat"), site.store.create(ADA, "two", "chat")
    change(
        site.main,
        "UPDATE conversations SET (sealed_title, key_id) = "
        "(SELECT sealed_title, key_id FROM conversations WHERE id = :a) WHERE id = :b",
        a=first.id,
        b=second.id,
    )
    with pytest.raises(VerificationError):
        site.store.get(second.id, ADA)


def test_opened_text_is_not_shown_by_accident(store: Conversations) -> None:
    """A message that ends up in a log line takes no text along."""
    conversation, _ = begin(store, "private words")
    shown = repr(store.messages(conversation, ADA)) + repr(store.get(conversation, ADA))
    assert "private words" not in shown
    assert "a title" not in shown
