"""Turns in appliance.db: a question, the place of its answer, and how the answer ended.

Every question passes here, so it is written in few statements that are prepared once. What only
repeats the record (which entry holds an outcome) is not waited for on the disk: lost in a power
cut, it is looked up in the record again. Everything else is durable on return.

Not here: reading what was said, titles, and whose a conversation is (`conversations/store.py`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from appliance.clock import Clock, new_id
from appliance.conversations import rows
from appliance.conversations.keys.store import KeyRing
from appliance.conversations.messages import store as messages
from appliance.conversations.messages.store import MessageRow
from appliance.conversations.rows import ConversationRow
from appliance.conversations.values import (
    COMPLETE,
    ENDINGS,
    FAILED,
    ORIGINS,
    PENDING,
    ClosedAnswer,
    ModelUsed,
    Turn,
    UnfinishedAnswer,
    fitting_title,
)
from appliance.database import Base, Database
from appliance.errors import BadInputError, ConflictError, NotFoundError
from appliance.prepared import Prepared
from appliance.sealing import ContentKey, Sealed

_conversation = Base.metadata.tables[ConversationRow.__tablename__]
_message = Base.metadata.tables[MessageRow.__tablename__]
_NOTHING = dict.fromkeys(column.name for column in _message.columns)

BEGIN = Prepared(sa.insert(_conversation))
ADD = Prepared(sa.insert(_message))
CONVERSATION = Prepared(
    sa.select(
        _conversation.c.user_id, _conversation.c.key_id, _conversation.c.subject,
        _conversation.c.erased_by,
    ).where(_conversation.c.id == sa.bindparam("of"))
)  # fmt: skip
LAST = Prepared(
    sa.select(sa.func.coalesce(sa.func.max(_message.c.position), -1).label("position")).where(
        _message.c.conversation_id == sa.bindparam("of")
    )
)
_used = sa.update(_conversation).where(_conversation.c.id == sa.bindparam("of"))
USED = Prepared(_used.values(updated=sa.bindparam("now")))
ABOUT = Prepared(_used.values(subject=sa.bindparam("who")))
ANSWER = Prepared(
    sa.select(_message.c.state, _message.c.conversation_id, _conversation.c.key_id)
    .join_from(_message, _conversation)
    .where(_message.c.id == sa.bindparam("of"))
)
_answer = sa.update(_message).where(_message.c.id == sa.bindparam("of"))
OUTCOME = Prepared(_answer.values(outcome_seq=sa.bindparam("seq")))
ENDING = (
    "sealed", "state", "error_code", "prompt_tokens", "answer_tokens", "latency_ms", "finished",
    "finish_reason", "dropped_turns",
)  # fmt: skip
END = Prepared(
    _answer.values(
        {
            **{name: sa.bindparam(f"new_{name}") for name in ENDING},
            "intent_seq": sa.bindparam("seq"),
        }
    )
)


class Turns:
    """Writes every turn, and tells which have no outcome."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def begin(
        self,
        user_id: str,
        title: str,
        origin: str,
        prompt: str,
        used: ModelUsed,
        subject: str | None = None,
    ) -> tuple[str, Turn]:
        """Begin a conversation with its first question, in one transaction; return its id too.

        `subject` is the pseudonym of whom it is about; ConflictError when that was erased.
        """
        if origin not in ORIGINS:
            raise BadInputError(f"a conversation cannot come from {origin}")
        conversation_id, now, key = new_id("cnv"), self._clock.now(), self._keys.new()
        row = {
            "id": conversation_id,
            "user_id": user_id,
            "sealed_title": key.seal(fitting_title(title), rows.title_place(conversation_id)).data,
            "key_id": key.key_id,
            "origin": origin,
            "archived": False,
            "created": now,
            "updated": now,
            "subject": subject,
            "erased_by": None,
        }
        turn, pair = _turn(key, conversation_id, prompt, used, now, subject)
        with self._database.writing() as connection:
            rows.check_subject(connection, subject)
            BEGIN.run(connection, row)
            _add(connection, pair, 0)
        return conversation_id, turn

    def begin_turn(
        self,
        conversation_id: str,
        user_id: str,
        prompt: str,
        used: ModelUsed,
        subject: str | None = None,
    ) -> Turn:
        """Store a question and keep a place for its answer, in one transaction.

        A conversation is about one patient at most: the first pseudonym given stays. Raises
        ConflictError for another one, and for a conversation that was erased.
        """
        now, of = self._clock.now(), {"of": conversation_id}
        with self._database.writing() as connection:
            found = CONVERSATION.one(connection, of)
            if found is None or found.user_id != user_id:
                raise NotFoundError("there is no such conversation")
            rows.check_usable(found.erased_by)
            about = rows.agreed_subject(connection, found.subject, subject)
            key = self._keys.get(found.key_id)
            turn, pair = _turn(key, conversation_id, prompt, used, now, about)
            last = LAST.one(connection, of)
            _add(connection, pair, last.position + 1)
            USED.run(connection, {**of, "now": now})
            if about != found.subject:
                ABOUT.run(connection, {**of, "who": about})
        return turn

    def set_outcome(self, answer_id: str, seq: int) -> None:
        """Note which entry of the record holds the outcome of an answer."""
        with self._database.writing(durable=False) as connection:
            if OUTCOME.run(connection, {"of": answer_id, "seq": seq}) == 0:
                raise NotFoundError("there is no such message")

    def finish(
        self,
        answer_id: str,
        *,
        state: str,
        text: str,
        error_code: str | None = None,
        prompt_tokens: int | None = None,
        answer_tokens: int | None = None,
        latency_ms: int | None = None,
        finish_reason: str | None = None,
        dropped_turns: int = 0,
        intent_seq: int | None = None,
    ) -> Sealed:
        """Store how an answer ended; raise ConflictError if it has ended before.

        So of a Stop and the last token that arrive together, one alone decides. `intent_seq`
        says which entry of the record holds its intent, where that is known.
        """
        if state not in ENDINGS:
            raise BadInputError(f"an answer cannot end as {state}")
        now = self._clock.now()
        with self._database.writing() as connection:
            conversation_id, key_id = _pending(connection, answer_id)
            sealed = self._keys.get(key_id).seal(text, messages.place(answer_id))
            ending = (
                sealed.data, state, error_code, prompt_tokens, answer_tokens, latency_ms, now,
                finish_reason, dropped_turns,
            )  # fmt: skip
            new = {f"new_{name}": value for name, value in zip(ENDING, ending, strict=True)}
            END.run(connection, {"of": answer_id, "seq": intent_seq, **new})
            USED.run(connection, {"of": conversation_id, "now": now})
        return sealed

    # --- what a crash or a full disk left open

    def abandon(self, answer_id: str, error_code: str) -> None:
        """End an answer whose intent could not be recorded: nothing was asked of a model."""
        with self._database.session() as session:
            row = messages.existing(session, answer_id)
            if row.state != FAILED:
                messages.fail(messages.pending(session, answer_id), error_code, self._clock.now())
            row.abandoned = True

    def unfinished(self) -> list[UnfinishedAnswer]:
        """Return every answer with no outcome in the record, oldest first, but for abandoned ones.

        After a crash: those it cut off, and those that had ended but were not yet recorded.
        """
        query = (
            sa.select(MessageRow, ConversationRow)
            .join(ConversationRow, ConversationRow.id == MessageRow.conversation_id)
            .where(
                MessageRow.role == "assistant",
                MessageRow.outcome_seq.is_(None),
                MessageRow.abandoned.is_(False),
            )
            .order_by(MessageRow.created, MessageRow.id)
        )
        with self._database.reading() as session:
            return [
                messages.unfinished(row, owner.user_id, owner.origin, owner.subject)
                for row, owner in session.execute(query)
            ]

    def close_unfinished(
        self, answer_id: str, error_code: str, intent_seq: int | None = None
    ) -> ClosedAnswer:
        """End a pending answer as failed; one that had ended keeps its state and text.

        `intent_seq` as in `finish`: what cut the answer off may have kept it from being noted.
        """
        with self._database.session() as session:
            row = messages.existing(session, answer_id)
            if intent_seq is not None:
                row.intent_seq = intent_seq
            if row.state == PENDING:
                messages.fail(row, error_code, self._clock.now())
            key_id = session.get_one(ConversationRow, row.conversation_id).key_id
        key = self._keys.get(key_id)
        return ClosedAnswer(row.state, Sealed(row.sealed, key.key_id, key.commitment))


def _turn(
    key: ContentKey,
    conversation_id: str,
    prompt: str,
    used: ModelUsed,
    now: float,
    subject: str | None,
) -> tuple[Turn, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return a turn and its two rows; the question is complete as soon as it is asked."""
    question_id, answer_id = new_id("msg"), new_id("msg")
    asked = key.seal(prompt, messages.place(question_id))
    kept = key.seal("", messages.place(answer_id))
    shared = {
        **_NOTHING, "conversation_id": conversation_id, "created": now, "abandoned": False,
    }  # fmt: skip
    question = {
        **shared, "id": question_id, "role": "user", "sealed": asked.data, "state": COMPLETE,
        "finished": now,
    }  # fmt: skip
    answer = {
        **shared, "id": answer_id, "role": "assistant", "sealed": kept.data, "state": PENDING,
        "model_name": used.name, "model_version": used.version, "model_digest": used.digest,
    }  # fmt: skip
    return Turn(question_id, answer_id, asked, subject), (question, answer)


def _add(
    connection: sqlite3.Connection, pair: tuple[Mapping[str, Any], Mapping[str, Any]], position: int
) -> None:
    question, answer = pair
    ADD.run_many(
        connection, [{**question, "position": position}, {**answer, "position": position + 1}]
    )


def _pending(connection: sqlite3.Connection, answer_id: str) -> tuple[str, str]:
    """Return conversation and key of an answer that has not ended; raise ConflictError else."""
    found = ANSWER.one(connection, {"of": answer_id})
    if found is None:
        raise NotFoundError("there is no such message")
    if found.state != PENDING:
        raise ConflictError(f"the answer has ended before, as {found.state}; it stays as it was")
    return found.conversation_id, found.key_id
