"""Conversations at rest: every text and title sealed under its conversation's own key.

appliance.db holds ciphertext and facts, keys.db the wrapped keys. Only the author of a
conversation can name it; to all others it does not exist. Each text is bound to its row, so
that rows cannot be swapped. Search opens texts in memory and leaves no index behind.

Not here: whether a question may be asked (policy), and that it is recorded first (operations).
"""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.clock import Clock, new_id
from appliance.conversations.keys.store import KeyRing
from appliance.conversations.messages import store as messages
from appliance.conversations.messages.store import MessageRow
from appliance.conversations.values import (
    ENDINGS,
    ORIGINS,
    PENDING,
    ClosedAnswer,
    ConversationInfo,
    MessageInfo,
    ModelUsed,
    Turn,
    UnfinishedAnswer,
    fitting_title,
)
from appliance.database import Base, Database
from appliance.errors import BadInputError, NotFoundError, VerificationError
from appliance.sealing import ContentKey, KeyWrapper, Sealed

__all__ = [
    "ClosedAnswer",
    "ConversationInfo",
    "Conversations",
    "MessageInfo",
    "ModelUsed",
    "Turn",
    "UnfinishedAnswer",
]

# Shown where a title does not open; the conversation itself then says what is wrong with it.
UNREADABLE = "(this title cannot be opened)"


class ConversationRow(Base):
    __tablename__ = "conversations"
    __table_args__ = (sa.Index("ix_conversations_user_id_updated", "user_id", "updated"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    # No foreign key: accounts belong to another package, and none is ever deleted.
    user_id: Mapped[str]
    sealed_title: Mapped[bytes]
    key_id: Mapped[str]
    origin: Mapped[str]
    archived: Mapped[bool]
    created: Mapped[float]
    updated: Mapped[float]


class Conversations:
    """Every conversation, for its author."""

    def __init__(
        self, database: Database, keys_database: Database, wrapper: KeyWrapper, clock: Clock
    ) -> None:
        self._database = database
        self._keys = KeyRing(keys_database, wrapper, clock)
        self._clock = clock

    def check_key(self) -> None:
        """Raise VerificationError when the key file is not the one that belongs to these keys."""
        self._keys.check()

    def create(self, user_id: str, title: str, origin: str) -> ConversationInfo:
        """Begin a conversation under a key of its own; the key is durable before its first use."""
        if origin not in ORIGINS:
            raise BadInputError(f"a conversation cannot come from {origin}")
        conversation_id, now = new_id("cnv"), self._clock.now()
        key = self._keys.new()
        row = ConversationRow(
            id=conversation_id,
            user_id=user_id,
            sealed_title=key.seal(fitting_title(title), _title_place(conversation_id)).data,
            key_id=key.key_id,
            origin=origin,
            archived=False,
            created=now,
            updated=now,
        )
        with self._database.session() as session:
            session.add(row)
        return _opened(row, key)

    def get(self, conversation_id: str, user_id: str) -> ConversationInfo:
        """Return it; raise NotFoundError also when it is someone else's."""
        with self._database.reading() as session:
            row = _owned(session, conversation_id, user_id)
        return _opened(row, self._keys.get(row.key_id))

    def rename(self, conversation_id: str, user_id: str, title: str) -> None:
        """Replace the title."""
        with self._database.session() as session:
            row = _owned(session, conversation_id, user_id)
            key = self._keys.get(row.key_id)
            row.sealed_title = key.seal(fitting_title(title), _title_place(row.id)).data

    def set_archived(self, conversation_id: str, user_id: str, archived: bool) -> None:
        """Put it aside, or bring it back; nothing is deleted."""
        with self._database.session() as session:
            _owned(session, conversation_id, user_id).archived = archived

    def messages(self, conversation_id: str, user_id: str) -> list[MessageInfo]:
        """Return its messages in order, opened."""
        with self._database.reading() as session:
            key_id = _owned(session, conversation_id, user_id).key_id
            rows = messages.of(session, conversation_id)
        key = self._keys.get(key_id)
        return [messages.opened(row, key) for row in rows]

    def message(self, message_id: str, user_id: str) -> MessageInfo:
        """Return one message, opened; NotFoundError also when it is someone else's."""
        with self._database.reading() as session:
            row = messages.existing(session, message_id)
            key_id = _owned(session, row.conversation_id, user_id).key_id
        return messages.opened(row, self._keys.get(key_id))

    def begin_turn(
        self,
        conversation_id: str,
        user_id: str,
        prompt: str,
        model_name: str,
        model_version: str,
        model_digest: str,
    ) -> Turn:
        """Store a question and keep a place for its answer, in one transaction."""
        question_id, answer_id, now = new_id("msg"), new_id("msg"), self._clock.now()
        with self._database.session() as session:
            conversation = _owned(session, conversation_id, user_id)
            conversation.updated = now
            key = self._keys.get(conversation.key_id)
            asked = key.seal(prompt, messages.place(question_id))
            kept = key.seal("", messages.place(answer_id))
            used = ModelUsed(model_name, model_version, model_digest)
            rows = (
                messages.question(question_id, conversation_id, asked, now),
                messages.answer(answer_id, conversation_id, kept, now, used),
            )
            messages.append(session, conversation_id, rows)
        return Turn(question_id, answer_id, asked)

    def discard_empty(self, conversation_id: str) -> None:
        """Remove a conversation in which nothing was ever asked; does nothing to any other."""
        with self._database.session() as session:
            row = session.get(ConversationRow, conversation_id)
            if row is not None and not messages.of(session, conversation_id):
                session.delete(row)

    def set_intent(self, answer_id: str, seq: int) -> None:
        """Note which entry of the record holds the intent of an answer."""
        with self._database.session() as session:
            messages.existing(session, answer_id).intent_seq = seq

    def set_outcome(self, answer_id: str, seq: int) -> None:
        """Note which entry of the record holds the outcome of an answer."""
        with self._database.session() as session:
            messages.existing(session, answer_id).outcome_seq = seq

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
    ) -> Sealed:
        """Store how an answer ended; raise ConflictError if it has ended before.

        So of a Stop and the last token that arrive together, one alone decides.
        """
        if state not in ENDINGS:
            raise BadInputError(f"an answer cannot end as {state}")
        now = self._clock.now()
        with self._database.session() as session:
            row = messages.pending(session, answer_id)
            conversation = session.get_one(ConversationRow, row.conversation_id)
            conversation.updated = now
            sealed = self._keys.get(conversation.key_id).seal(text, messages.place(answer_id))
            row.sealed, row.state, row.error_code = sealed.data, state, error_code
            row.prompt_tokens, row.answer_tokens = prompt_tokens, answer_tokens
            row.latency_ms, row.finished = latency_ms, now
            row.finish_reason, row.dropped_turns = finish_reason, dropped_turns
        return sealed

    def abandon(self, answer_id: str, error_code: str) -> None:
        """End an answer whose intent could not be recorded: nothing was asked of a model."""
        with self._database.session() as session:
            row = messages.existing(session, answer_id)
            if row.state != "failed":
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
                messages.unfinished(row, owner.user_id, owner.origin)
                for row, owner in session.execute(query)
            ]

    def close_unfinished(self, answer_id: str, error_code: str) -> ClosedAnswer:
        """End a pending answer as failed; one that had ended keeps its state and text."""
        with self._database.session() as session:
            row = messages.existing(session, answer_id)
            if row.state == PENDING:
                messages.fail(row, error_code, self._clock.now())
            key_id = session.get_one(ConversationRow, row.conversation_id).key_id
        key = self._keys.get(key_id)
        return ClosedAnswer(row.state, Sealed(row.sealed, key.key_id, key.commitment))

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(
        self, user_id: str, *, archived: bool = False, search: str = ""
    ) -> list[ConversationInfo]:
        """Return the user's conversations, latest use first.

        `search` keeps those where a title or text contains it, in whatever case.
        """
        wanted = search.strip().casefold()
        query = (
            sa.select(ConversationRow)
            .where(ConversationRow.user_id == user_id, ConversationRow.archived == archived)
            .order_by(ConversationRow.updated.desc(), ConversationRow.id)
        )
        with self._database.reading() as session:
            rows = session.scalars(query).all()
        keys = self._keys.those_that_open({row.key_id for row in rows})
        return [
            _listed(row, key)
            for row, key in ((row, keys.get(row.key_id)) for row in rows)
            if not wanted or (key is not None and self._contains(row, key, wanted))
        ]

    def _contains(self, row: ConversationRow, key: ContentKey, wanted: str) -> bool:
        if wanted in _listed(row, key).title.casefold():
            return True
        with self._database.reading() as session:
            rows = messages.of(session, row.id)
        for message in rows:
            # What does not open cannot be found; reading the conversation says so aloud.
            with contextlib.suppress(VerificationError):
                if wanted in key.open(message.sealed, messages.place(message.id)).casefold():
                    return True
        return False


def _title_place(conversation_id: str) -> str:
    return f"{conversation_id}:title"


def _owned(session: Session, conversation_id: str, user_id: str) -> ConversationRow:
    row = session.get(ConversationRow, conversation_id)
    if row is None or row.user_id != user_id:
        raise NotFoundError("there is no such conversation")
    return row


def _conversation(row: ConversationRow, title: str) -> ConversationInfo:
    return ConversationInfo(
        id=row.id,
        user_id=row.user_id,
        title=title,
        origin=row.origin,
        archived=row.archived,
        created=row.created,
        updated=row.updated,
    )


def _opened(row: ConversationRow, key: ContentKey) -> ConversationInfo:
    return _conversation(row, key.open(row.sealed_title, _title_place(row.id)))


def _listed(row: ConversationRow, key: ContentKey | None) -> ConversationInfo:
    # One damaged row must not hide the others from their author.
    with contextlib.suppress(VerificationError):
        if key is not None:
            return _opened(row, key)
    return _conversation(row, UNREADABLE)
