"""Saved searches in appliance.db: name and filters sealed, because they may hold a patient's name.

Only the person who saved a search can name it; to all others it does not exist. Each search has a
content key of its own. Not here: where those keys lie (`conversations/keys`), which arrives as
`Keys`, and that saving is recorded (operations).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.clock import Clock, new_id
from appliance.database import Base, Database
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError
from appliance.identity.accounts import shown_text
from appliance.sealing import ContentKey

MAX_NAME = 60
MAX_SEARCHES = 50
# Shown where a search does not open, so that it can still be deleted.
UNREADABLE = "(this search cannot be opened)"


class Keys(Protocol):
    """Where content keys come from."""

    def new(self) -> ContentKey:
        """Return a fresh key that is durable already."""
        ...

    def get(self, key_id: str) -> ContentKey:
        """Return a key; raise VerificationError if it is gone or was altered."""
        ...

    def destroy(self, key_ids: Collection[str]) -> None:
        """Delete keys so that no file holds them; safe to repeat."""
        ...


class SavedSearchRow(Base):
    __tablename__ = "saved_searches"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(index=True)
    sealed: Mapped[bytes]
    key_id: Mapped[str]
    created: Mapped[float]


@dataclass(frozen=True)
class SavedSearch:
    """One search, opened: its filters as they were typed, by name of the filter."""

    id: str
    name: str = field(repr=False)
    filters: Mapping[str, str] = field(repr=False)


class Searches:
    """Every saved search, for the person who saved it."""

    def __init__(self, database: Database, keys: Keys, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def save(self, user_id: str, name: str, filters: Mapping[str, str]) -> SavedSearch:
        """Keep a search; raise ConflictError when the name is taken or there are too many."""
        name = _fitting(name)
        known = self.list(user_id)
        if any(search.name == name for search in known):
            raise ConflictError("you have a search of that name", hint="choose another name")
        if len(known) >= MAX_SEARCHES:
            raise ConflictError(
                f"you have {MAX_SEARCHES} searches, which is the most", hint="delete one first"
            )
        search = SavedSearch(new_id("sch"), name, dict(filters))
        key = self._keys.new()
        text = json.dumps({"name": name, "filters": search.filters}, ensure_ascii=False)
        row = SavedSearchRow(
            id=search.id,
            user_id=user_id,
            sealed=key.seal(text, _place(search.id)).data,
            key_id=key.key_id,
            created=self._clock.now(),
        )
        with self._database.session() as session:
            session.add(row)
        return search

    def delete(self, search_id: str, user_id: str) -> None:
        """Forget a search and destroy its key; NotFoundError also when it is someone else's.

        The key goes first: after a crash in between, the row is listed and can be deleted again.
        """
        with self._database.reading() as session:
            key_id = _owned(session, search_id, user_id).key_id
        self._keys.destroy([key_id])
        with self._database.session() as session:
            session.delete(_owned(session, search_id, user_id))

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self, user_id: str) -> list[SavedSearch]:
        """Return a person's searches by name; one that does not open has no filters."""
        query = sa.select(SavedSearchRow).where(SavedSearchRow.user_id == user_id)
        with self._database.reading() as session:
            rows = session.scalars(query).all()
        return sorted((self._opened(row) for row in rows), key=_by_name)

    def _opened(self, row: SavedSearchRow) -> SavedSearch:
        try:
            value = json.loads(self._keys.get(row.key_id).open(row.sealed, _place(row.id)))
        except VerificationError:
            return SavedSearch(row.id, UNREADABLE, {})
        return SavedSearch(row.id, value["name"], value["filters"])


def _fitting(name: str) -> str:
    shown = " ".join(shown_text(name, "the name of a search").split())
    if not shown or len(shown) > MAX_NAME:
        raise BadInputError(f"the name of a search has 1 to {MAX_NAME} characters")
    return shown


def _owned(session: Session, search_id: str, user_id: str) -> SavedSearchRow:
    row = session.get(SavedSearchRow, search_id)
    if row is None or row.user_id != user_id:
        raise NotFoundError("there is no such search")
    return row


def _place(search_id: str) -> str:
    return f"{search_id}:search"


def _by_name(search: SavedSearch) -> tuple[str, str]:
    return search.name.casefold(), search.id
