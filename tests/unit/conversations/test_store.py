"""Conversations: sealed, readable by their author alone, each answer ends once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from appliance.canonical import sha256
from appliance.conversations.store import Conversations
from appliance.conversations.values import ModelUsed, Turn
from appliance.errors import BadInputError, ConflictError, NotFoundError
from tests.unit.conversations.conftest import Site

MODEL = ModelUsed("demo", "1.0", "ab" * 32)
ADA, BEN = "usr_ada", "usr_ben"


def begin(store: Conversations, prompt: str = "what is new?", user: str = ADA) -> tuple[str, Turn]:
    """Return the id of a new conversation of `user` and its first turn."""
    return store.begin(user, "a title", "chat", prompt, MODEL)


# --- titles and lists


def test_a_conversation_keeps_what_it_was_made_with(site: Site) -> None:
    """Its title comes back opened."""
    conversation, _ = site.store.begin(ADA, "Discharge of room 4", "chat", "and now?", MODEL)
    made = site.store.get(conversation, ADA)
    assert (made.id, made.user_id) == (conversation, ADA)
    assert (made.title, made.origin, made.archived) == ("Discharge of room 4", "chat", False)
    assert made.created == made.updated == site.clock.now()


def test_an_origin_must_be_known(store: Conversations) -> None:
    """Lists and the record tell pages, programs and terminals apart."""
    with pytest.raises(BadInputError):
        store.begin(ADA, "x", "elsewhere", "and now?", MODEL)


def test_a_title_can_be_changed(store: Conversations) -> None:
    """The new one replaces the old one."""
    conversation, _ = begin(store)
    store.rename(conversation, ADA, "new")
    assert store.get(conversation, ADA).title == "new"


def test_the_list_has_the_latest_use_first(site: Site) -> None:
    """A new question brings its conversation to the top."""
    first, _ = begin(site.store)
    site.clock.advance(1)
    second, _ = begin(site.store)
    assert [item.id for item in site.store.list(ADA)] == [second, first]
    site.clock.advance(1)
    site.store.begin_turn(first, ADA, "again", MODEL)
    assert [item.id for item in site.store.list(ADA)] == [first, second]


def test_archived_ones_are_listed_apart(store: Conversations) -> None:
    """Archiving hides, restoring shows again, nothing is lost."""
    conversation, _ = begin(store)
    store.set_archived(conversation, ADA, True)
    assert store.list(ADA) == []
    assert [item.id for item in store.list(ADA, archived=True)] == [conversation]
    store.set_archived(conversation, ADA, False)
    assert [item.id for item in store.list(ADA)] == [conversation]


@pytest.mark.parametrize("search", ["TITLE", "straSSe", "FERRITIN", "  ferritin "])
def test_search_looks_into_titles_and_texts(store: Conversations, search: str) -> None:
    """In whatever case, in questions and answers."""
    wanted, turn = begin(store, "Wohnt in der Hauptstraße")
    store.finish(turn.answer_id, state="complete", text="Check the ferritin level.")
    store.begin(BEN, "a title with ferritin", "chat", "Hauptstrasse", MODEL)
    assert [item.id for item in store.list(ADA, search=search)] == [wanted]


def test_search_finds_nothing_else(store: Conversations) -> None:
    """A word that stands nowhere gives an empty list."""
    begin(store)
    assert store.list(ADA, search="bilirubin") == []


# --- only the author


def test_nobody_else_can_name_a_conversation(store: Conversations) -> None:
    """To all others it does not exist, whatever they try."""
    conversation, turn = begin(store)
    attempts: list[Callable[[], object]] = [
        lambda: store.get(conversation, BEN),
        lambda: store.messages(conversation, BEN),
        lambda: store.message(turn.question_id, BEN),
        lambda: store.rename(conversation, BEN, "mine"),
        lambda: store.set_archived(conversation, BEN, True),
        lambda: store.begin_turn(conversation, BEN, "and?", MODEL),
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
    assert answer.model == MODEL


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
    site.clock.advance(2)
    site.store.finish(
        turn.answer_id, state="stopped", text="Some text", prompt_tokens=5, answer_tokens=2,
        latency_ms=2000, intent_seq=7,
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
        threading.Thread(target=store.begin_turn, args=(conversation, ADA, str(number), MODEL))
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
    with pytest.raises(BadInputError, match="not valid Unicode"):
        store.begin(ADA, "x", "api", "\ud800", MODEL)
    assert store.list(ADA) == []
    conversation, _ = begin(store)
    with pytest.raises(BadInputError, match="not valid Unicode"):
        store.begin_turn(conversation, ADA, "\ud800", MODEL)
    assert len(store.messages(conversation, ADA)) == 2
