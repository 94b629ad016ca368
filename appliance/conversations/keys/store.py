"""Content keys in keys.db, each wrapped by the key-encryption key and never stored otherwise.

They have a database of their own, so that destroying one can be made certain. For the same
reason nothing is cached: a key that is gone from the file is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from appliance.clock import Clock, new_id
from appliance.database import Database, KeysBase
from appliance.errors import VerificationError
from appliance.sealing import ContentKey, KeyWrapper


class ContentKeyRow(KeysBase):
    __tablename__ = "content_keys"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes]
    created: Mapped[float]


class KeyRing:
    """Makes and finds the keys of conversations."""

    def __init__(self, database: Database, wrapper: KeyWrapper, clock: Clock) -> None:
        self._database = database
        self._wrapper = wrapper
        self._clock = clock

    def new(self) -> ContentKey:
        """Return a fresh key that is durable already: what it seals can be opened again."""
        key, wrapped = self._wrapper.generate(new_id("cky"))
        with self._database.session() as session:
            session.add(
                ContentKeyRow(key_id=key.key_id, wrapped=wrapped, created=self._clock.now())
            )
        return key

    def check(self) -> None:
        """Raise VerificationError unless the newest key opens under this key file.

        With a wrong key file, as after restoring the wrong backup, new conversations would be
        sealed under a key that is lost when the right file comes back.
        """
        with self._database.reading() as session:
            newest = session.scalars(
                sa.select(ContentKeyRow).order_by(ContentKeyRow.created.desc()).limit(1)
            ).first()
        if newest is None:
            return
        try:
            self._wrapper.unwrap(newest.key_id, newest.wrapped)
        except VerificationError as error:
            raise VerificationError(
                "the key file keys/content.key does not belong to these conversations",
                hint="put the right key file back; nothing was opened or changed",
            ) from error

    def get(self, key_id: str) -> ContentKey:
        """Return a key; raise VerificationError if it is gone or was altered."""
        with self._database.reading() as session:
            row = session.get(ContentKeyRow, key_id)
        if row is None:
            raise VerificationError(f"the content key {key_id} is gone, so its text cannot be read")
        return self._wrapper.unwrap(key_id, row.wrapped)

    def those_that_open(self, key_ids: Iterable[str]) -> dict[str, ContentKey]:
        """Return the keys by id, without those that are gone or altered."""
        with self._database.reading() as session:
            rows = [session.get(ContentKeyRow, key_id) for key_id in key_ids]
        found: dict[str, ContentKey] = {}
        for row in rows:
            if row is not None:
                try:
                    found[row.key_id] = self._wrapper.unwrap(row.key_id, row.wrapped)
                except VerificationError:
                    continue
        return found
