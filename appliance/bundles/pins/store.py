"""Pins in appliance.db: a name that must stay at one version, who said so and why.

At most one pin per name. While it stands, no other version of that name is activated and the
pinned one is not retired; a quarantine goes before any pin.
Not here: that pinning is recorded and who may do it (operations).
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from appliance.database import Base, Database
from appliance.errors import ConflictError, NotFoundError


class PinRow(Base):
    __tablename__ = "pins"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    model: Mapped[str] = mapped_column(sa.String(40))
    version: Mapped[str] = mapped_column(sa.String(64))
    reason: Mapped[str] = mapped_column(sa.Text)
    by: Mapped[str] = mapped_column(sa.String(40))
    created: Mapped[float]


@dataclass(frozen=True)
class PinInfo:
    """A pin: the models called `name` stay at `version`; `model` is that version's id."""

    name: str
    model: str
    version: str
    reason: str
    by: str
    created: float


class Pins:
    """Every pin there is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, pin: PinInfo) -> None:
        """Add a pin; raise ConflictError when the name has one already."""
        try:
            with self._database.session() as session:
                session.add(PinRow(**vars(pin)))
        except IntegrityError as error:
            known = self.get(pin.name)
            version = known.version if known else "another version"
            raise ConflictError(
                f"model {pin.name} is pinned to {version} already, and stays so",
                hint="unpin it first",
            ) from error

    def remove(self, name: str) -> PinInfo:
        """Take the pin off a name and return what it was; raise NotFoundError without one."""
        with self._database.session() as session:
            row = session.get(PinRow, name)
            if row is None:
                raise NotFoundError(f"model {name} is not pinned", hint="nothing was changed")
            session.delete(row)
            return _pin(row)

    def get(self, name: str) -> PinInfo | None:
        """Return the pin on a name, None when there is none."""
        with self._database.reading() as session:
            row = session.get(PinRow, name)
            return None if row is None else _pin(row)

    def require_not_elsewhere(self, name: str, version: str) -> None:
        """Raise ConflictError when the name is pinned to another version than this one."""
        pin = self.get(name)
        if pin is not None and pin.version != version:
            raise ConflictError(
                f"model {name} is pinned to {pin.version} ({pin.reason}); "
                f"{version} was not activated",
                hint=f"if {version} should answer, unpin {name} first",
            )

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self) -> list[PinInfo]:
        """Return every pin, by name."""
        with self._database.reading() as session:
            rows = session.scalars(sa.select(PinRow).order_by(PinRow.name)).all()
        return [_pin(row) for row in rows]


def _pin(row: PinRow) -> PinInfo:
    return PinInfo(
        name=row.name,
        model=row.model,
        version=row.version,
        reason=row.reason,
        by=row.by,
        created=row.created,
    )
