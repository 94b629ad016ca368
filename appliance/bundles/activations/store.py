"""Activations in appliance.db: which model took over from which, by whom, and when.

A row is written before its model becomes the active one, so that no activation lacks one; a row
whose activation a crash prevented names a model that is not active, and is passed over.
There are two places, that of the default and the one beside it; each has its own line of models.
Not here: which models are active now (`bundles/store.py` decides that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appliance.database import Base, Database

Kind = Literal["activate", "rollback", "activate-beside", "rollback-beside"]
BESIDE = ("activate-beside", "rollback-beside")


class ActivationRow(Base):
    """One model that took over."""

    __tablename__ = "activations"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    model: Mapped[str] = mapped_column(sa.String(40))
    previous: Mapped[str | None] = mapped_column(sa.String(40))
    kind: Mapped[str] = mapped_column(sa.String(20))
    by: Mapped[str] = mapped_column(sa.String(40))
    at: Mapped[float]


@dataclass(frozen=True)
class ActivationInfo:
    """A model took over from `previous`, null when none was in its place; both are models' ids."""

    id: str
    model: str
    previous: str | None
    kind: str
    by: str
    at: float


class Activations:
    """Every activation there was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, info: ActivationInfo) -> None:
        """Note an activation that is about to happen."""
        with self._database.session() as session:
            session.add(ActivationRow(**vars(info)))

    def remove(self, activation_id: str) -> None:
        """Forget an activation that did not happen."""
        with self._database.session() as session:
            session.execute(sa.delete(ActivationRow).where(ActivationRow.id == activation_id))

    def newest(self, model_id: str | None = None, *, beside: bool = False) -> ActivationInfo | None:
        """Return the newest activation (of that model) in a place, None when there was none."""
        query = sa.select(ActivationRow).order_by(ActivationRow.at.desc(), ActivationRow.id.desc())
        is_beside = ActivationRow.kind.in_(BESIDE)
        query = query.where(is_beside if beside else sa.not_(is_beside))
        if model_id is not None:
            query = query.where(ActivationRow.model == model_id)
        with self._database.reading() as session:
            row = session.scalars(query.limit(1)).one_or_none()
            return None if row is None else _info(row)


def _info(row: ActivationRow) -> ActivationInfo:
    return ActivationInfo(**{name: getattr(row, name) for name in ActivationInfo.__annotations__})
