"""Rows of imports in appliance.db: which bundle, how far it came, and why it went no further.

A row is one run; a run that a kill cut off keeps the last step it reached, until the next import
closes it. Not here: what is in staging, and the steps themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy import orm

from appliance.database import Base, Database

COMMITTED: Final = "committed"
REFUSED: Final = "refused"
# Ended without a verdict on the bundle: the medium was pulled, files lack, the disk is full.
WAITING: Final = "waiting"
CONTINUED: Final = "continued"
SUPERSEDED: Final = "superseded"
CLOSED = frozenset({COMMITTED, REFUSED, CONTINUED, SUPERSEDED})


class ImportRow(Base):
    """One run of an import."""

    __tablename__ = "imports"

    id: orm.Mapped[str] = orm.mapped_column(sa.String(40), primary_key=True)
    publisher: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    targets_sha256: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(20))
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text)
    imported_by: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    created: orm.Mapped[float] = orm.mapped_column(index=True)
    changed: orm.Mapped[float]


@dataclass(frozen=True)
class ImportInfo:
    """One run; `state` is a step, or one of the words above, `reason` why it is not committed."""

    id: str
    publisher: str
    targets_sha256: str
    state: str
    reason: str
    imported_by: str
    created: float
    changed: float


class ImportStore:
    """Reads and writes the rows; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, info: ImportInfo) -> None:
        """Add a run; close those that it continues or supersedes."""
        with self._database.session() as session:
            query = sa.select(ImportRow).where(ImportRow.state.not_in(CLOSED))
            for row in session.scalars(query):
                same = row.targets_sha256 == info.targets_sha256
                row.state = CONTINUED if same else SUPERSEDED
                row.reason, row.changed = f"by {info.id}", info.created
            session.add(ImportRow(**vars(info)))

    def note(self, import_id: str, state: str, now: float, reason: str = "") -> None:
        """Note how far a run has come, or how it ended."""
        with self._database.session() as session:
            note(session, import_id, state, now, reason)

    def all(self) -> list[ImportInfo]:
        """Return every run, newest first."""
        with self._database.reading() as session:
            rows = session.scalars(sa.select(ImportRow).order_by(ImportRow.created.desc()))
            names = ImportInfo.__annotations__
            return [ImportInfo(**{name: getattr(row, name) for name in names}) for row in rows]


def note(session: orm.Session, import_id: str, state: str, now: float, reason: str = "") -> None:
    """Note how far a run has come, within the caller's transaction; no such run is no error."""
    row = session.get(ImportRow, import_id)
    if row is not None:
        row.state, row.reason, row.changed = state, reason, now
