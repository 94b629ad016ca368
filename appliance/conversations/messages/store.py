"""Messages in appliance.db: sealed text, and the facts of each answer.

Every function works inside the caller's transaction. A text is bound to the id of its row, so
that two rows cannot be swapped. Not here: whose a message is (`conversations/store.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.conversations.values import (
    FAILED,
    PENDING,
    MessageInfo,
    ModelUsed,
    UnfinishedAnswer,
)
from appliance.database import Base
from appliance.errors import ConflictError, NotFoundError
from appliance.sealing import ContentKey


class MessageRow(Base):
    __tablename__ = "messages"
    __table_args__ = (
        sa.UniqueConstraint("conversation_id", "position", name="uq_messages_position"),
        sa.Index("ix_messages_state", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(sa.ForeignKey("conversations.id"))
    position: Mapped[int]
    role: Mapped[str]
    sealed: Mapped[bytes]
    state: Mapped[str]
    error_code: Mapped[str | None]
    model_name: Mapped[str | None]
    model_version: Mapped[str | None]
    model_digest: Mapped[str | None]
    prompt_tokens: Mapped[int | None]
    answer_tokens: Mapped[int | None]
    latency_ms: Mapped[int | None]
    finish_reason: Mapped[str | None]
    dropped_turns: Mapped[int | None]
    created: Mapped[float]
    finished: Mapped[float | None]
    intent_seq: Mapped[int | None]
    outcome_seq: Mapped[int | None]
    # Its intent could not be recorded, so nothing was asked and no outcome will follow.
    abandoned: Mapped[bool]


def place(message_id: str) -> str:
    """Return what the sealed text of a message is bound to."""
    return f"{message_id}:body"


def existing(session: Session, message_id: str) -> MessageRow:
    """Return a row; raise NotFoundError if there is none."""
    row = session.get(MessageRow, message_id)
    if row is None:
        raise NotFoundError("there is no such message")
    return row


def fail(row: MessageRow, error_code: str, now: float) -> None:
    """End an answer whose text is not known: it stays empty, as it was sealed at the start."""
    row.state, row.error_code, row.finished = FAILED, error_code, now


def pending(session: Session, answer_id: str) -> MessageRow:
    """Return the row of an answer that has not ended; raise ConflictError if it has."""
    row = existing(session, answer_id)
    if row.state != PENDING:
        raise ConflictError(f"the answer has ended before, as {row.state}; it stays as it was")
    return row


def of(session: Session, conversation_id: str) -> Sequence[MessageRow]:
    """Return the rows of a conversation in order."""
    query = sa.select(MessageRow).where(MessageRow.conversation_id == conversation_id)
    return session.scalars(query.order_by(MessageRow.position)).all()


def opened(row: MessageRow, key: ContentKey | None) -> MessageInfo:
    """Return the message with its text, which is empty without a key (it was erased).

    Raises VerificationError if the text does not open.
    """
    return MessageInfo(
        id=row.id,
        conversation_id=row.conversation_id,
        role=row.role,
        text="" if key is None else key.open(row.sealed, place(row.id)),
        state=row.state,
        error_code=row.error_code,
        model=_model(row),
        prompt_tokens=row.prompt_tokens,
        answer_tokens=row.answer_tokens,
        latency_ms=row.latency_ms,
        finish_reason=row.finish_reason,
        dropped_turns=row.dropped_turns or 0,
        created=row.created,
        finished=row.finished,
        intent_seq=row.intent_seq,
        outcome_seq=row.outcome_seq,
    )


def unfinished(
    row: MessageRow, user_id: str, origin: str, subject: str | None = None
) -> UnfinishedAnswer:
    """Return what is known of an answer besides its text."""
    return UnfinishedAnswer(
        answer_id=row.id,
        conversation_id=row.conversation_id,
        user_id=user_id,
        model_name=row.model_name or "",
        model_version=row.model_version or "",
        model_digest=row.model_digest or "",
        origin=origin,
        created=row.created,
        subject=subject,
    )


def _model(row: MessageRow) -> ModelUsed | None:
    if row.model_name is None or row.model_version is None or row.model_digest is None:
        return None
    return ModelUsed(row.model_name, row.model_version, row.model_digest)
