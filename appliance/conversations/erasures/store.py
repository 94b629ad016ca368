"""Erasures in appliance.db: a small job each, so that one that a crash cut off is finished.

`planned`: stated, nothing was done. `marked`: its conversations are closed for good, their keys
go. `done`: the keys are gone and the record says so. `void`: it was refused or never began.
Functions work inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.conversations.retention import PATIENT
from appliance.database import Base
from appliance.errors import NotFoundError
from appliance.prepared import Prepared

ERASE, PURGE, REWRAP = "erase", "purge", "rewrap"
PLANNED, MARKED, DONE, VOID = "planned", "marked", "done", "void"
OPEN = (PLANNED, MARKED)


class ErasureRow(Base):
    __tablename__ = "erasures"
    __table_args__ = (sa.Index("ix_erasures_state", "state"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    scope: Mapped[str]
    target: Mapped[str]
    basis: Mapped[str]
    person: Mapped[str]
    state: Mapped[str]
    created: Mapped[float]
    finished: Mapped[float | None]
    conversations: Mapped[int]
    outcome_seq: Mapped[int | None]


ERASED = Prepared(
    sa.select(ErasureRow.id)
    .where(
        ErasureRow.kind == ERASE,
        ErasureRow.scope == PATIENT,
        ErasureRow.target == sa.bindparam("subject"),
        sa.or_(ErasureRow.state == MARKED, ErasureRow.state == DONE),
    )
    .limit(1)
)


@dataclass(frozen=True)
class Erasure:
    """One erasure as it stands. `scope` and `target` are as in `retention.Scope`."""

    id: str
    kind: str
    scope: str
    target: str
    basis: str
    person: str
    state: str
    created: float
    finished: float | None
    conversations: int
    outcome_seq: int | None


def add(session: Session, erasure: Erasure) -> None:
    """Keep a new erasure."""
    session.add(ErasureRow(**vars(erasure)))


def existing(session: Session, erasure_id: str) -> ErasureRow:
    """Return a row; raise NotFoundError if there is none."""
    row = session.get(ErasureRow, erasure_id)
    if row is None:
        raise NotFoundError(
            "there is no such erasure",
            hint="`appliance audit list --action content.erase` lists them, each with its ers_ id",
        )
    return row


def unfinished(session: Session) -> list[Erasure]:
    """Return what a crash left open, the oldest first."""
    query = sa.select(ErasureRow).where(ErasureRow.state.in_(OPEN)).order_by(ErasureRow.created)
    return [value(row) for row in session.scalars(query)]


def finished(session: Session, limit: int) -> list[Erasure]:
    """Return the erasures and purges that were carried out, the newest first."""
    query = (
        sa.select(ErasureRow)
        .where(ErasureRow.state == DONE, ErasureRow.kind != REWRAP)
        .order_by(ErasureRow.created.desc(), ErasureRow.id)
        .limit(limit)
    )
    return [value(row) for row in session.scalars(query)]


def is_erased(connection: sqlite3.Connection, subject: str) -> bool:
    """Tell whether this pseudonym was erased, so that nothing new may be put under it."""
    return ERASED.one(connection, {"subject": subject}) is not None


def value(row: ErasureRow) -> Erasure:
    """Return the row as a value."""
    return Erasure(
        id=row.id,
        kind=row.kind,
        scope=row.scope,
        target=row.target,
        basis=row.basis,
        person=row.person,
        state=row.state,
        created=row.created,
        finished=row.finished,
        conversations=row.conversations,
        outcome_seq=row.outcome_seq,
    )
