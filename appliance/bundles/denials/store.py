"""Rows of denied models in appliance.db: the newest signed deny list of each publisher.

A publisher speaks for its own models alone, so a digest may be denied by several. Not here: what
follows for a model in the library (`admission`), and its quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import orm

from appliance.bundles.manifest import Denied
from appliance.database import Base, Database


class DeniedRow(Base):
    """One denied model; `sha256` (hex) is that of its weights."""

    __tablename__ = "denied"

    sha256: orm.Mapped[str] = orm.mapped_column(sa.String(64), primary_key=True)
    publisher: orm.Mapped[str] = orm.mapped_column(sa.String(40), primary_key=True)
    model: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    version: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text)
    created: orm.Mapped[float]


@dataclass(frozen=True)
class DeniedInfo:
    """A denied model, by which publisher, and since when it is known here."""

    sha256: str
    publisher: str
    model: str
    version: str
    reason: str
    created: float


def denied_models(database: Database) -> list[DeniedInfo]:
    """Return every denial, newest first."""
    with database.reading() as session:
        rows = session.scalars(sa.select(DeniedRow).order_by(DeniedRow.created.desc()))
        names = DeniedInfo.__annotations__
        return [DeniedInfo(**{name: getattr(row, name) for name in names}) for row in rows]


def replace(session: orm.Session, publisher: str, denied: Sequence[Denied], now: float) -> None:
    """Make `denied` the publisher's list, within the caller's transaction."""
    query = sa.select(DeniedRow).where(DeniedRow.publisher == publisher)
    known = {row.sha256: row for row in session.scalars(query)}
    wanted = {item.sha256: item for item in denied}
    for digest, row in known.items():
        if digest not in wanted:
            session.delete(row)
    for digest, item in wanted.items():
        created = known[digest].created if digest in known else now
        session.merge(DeniedRow(**vars(item), publisher=publisher, created=created))
