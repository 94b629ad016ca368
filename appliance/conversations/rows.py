"""Conversations in appliance.db: the row, and what its author sees of it once opened.

An erased conversation keeps its row, without texts, so that its author and the record can say
that it was there and when it went.
"""

from __future__ import annotations

import contextlib
import sqlite3

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.conversations.erasures import store as erasures
from appliance.conversations.values import ConversationInfo, Erased
from appliance.database import Base
from appliance.errors import ConflictError, NotFoundError, VerificationError
from appliance.sealing import ContentKey

# Shown where a title does not open; the conversation itself then says what is wrong with it.
UNREADABLE = "(this title cannot be opened)"
ERASED = "Erased chat"


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
    # The pseudonym of whom it is about; one conversation is about one patient at most.
    subject: Mapped[str | None] = mapped_column(index=True)
    # The erasure that closed it for good.
    erased_by: Mapped[str | None] = mapped_column(index=True)


def title_place(conversation_id: str) -> str:
    """Return what the sealed title of a conversation is bound to."""
    return f"{conversation_id}:title"


def owned(session: Session, conversation_id: str, user_id: str) -> ConversationRow:
    """Return the row; raise NotFoundError also when it is someone else's."""
    row = session.get(ConversationRow, conversation_id)
    if row is None or row.user_id != user_id:
        raise NotFoundError("there is no such conversation")
    return row


def usable(session: Session, conversation_id: str, user_id: str) -> ConversationRow:
    """Return the row of a conversation that goes on; ConflictError when it was erased."""
    row = owned(session, conversation_id, user_id)
    check_usable(row.erased_by)
    return row


def erasure_of(session: Session, row: ConversationRow) -> Erased | None:
    """Return when a conversation was erased and which entry says so; None when it was not."""
    if row.erased_by is None:
        return None
    found = erasures.existing(session, row.erased_by)
    when = found.created if found.finished is None else found.finished
    return Erased(when, found.outcome_seq, by_schedule=found.kind == erasures.PURGE)


def described(
    row: ConversationRow, title: str | None, erased: Erased | None = None
) -> ConversationInfo:
    """Return the value of a row under an opened title; None stands for an erased one."""
    return ConversationInfo(
        id=row.id,
        user_id=row.user_id,
        title=ERASED if title is None else title,
        origin=row.origin,
        archived=row.archived,
        created=row.created,
        updated=row.updated,
        subject=row.subject,
        erased=erased,
    )


def opened(row: ConversationRow, key: ContentKey) -> ConversationInfo:
    """Return a conversation that was not erased; VerificationError if its title does not open."""
    return described(row, key.open(row.sealed_title, title_place(row.id)))


def listed(row: ConversationRow, key: ContentKey | None, erased: Erased | None) -> ConversationInfo:
    """Return any conversation; a damaged row must not hide the others from their author."""
    if erased is not None:
        return described(row, None, erased)
    with contextlib.suppress(VerificationError):
        if key is not None:
            return opened(row, key)
    return described(row, UNREADABLE)


def check_usable(erased_by: str | None) -> None:
    """Raise ConflictError for a conversation that an erasure closed."""
    if erased_by is not None:
        raise ConflictError("this conversation was erased", hint="begin a new one")


def check_subject(connection: sqlite3.Connection, subject: str | None) -> None:
    """Raise ConflictError for a pseudonym that was erased between its look-up and now."""
    if subject is not None and erasures.is_erased(connection, subject):
        raise ConflictError("what is kept about this patient is being erased", hint="ask again")


def agreed_subject(
    connection: sqlite3.Connection, known: str | None, subject: str | None
) -> str | None:
    """Return whom a conversation is about from now on; ConflictError when it is somebody else."""
    if subject is None or subject == known:
        return known
    if known is not None:
        raise ConflictError(
            "this conversation is about another patient", hint="begin a new one for each patient"
        )
    check_subject(connection, subject)
    return subject
