"""Content keys in keys.db, each wrapped by the key-encryption key and never stored otherwise.

They have a database of their own, so that destroying one can be made certain. For the same
reason nothing is cached: a key that is gone from the file is gone. A busy program makes fresh ones
several at a time, since each has to be on the disk before its first use; what a restart leaves
unused never sealed anything. All rows are wrapped under one key-encryption key, whose id stands in
`wrapping`; it is read with every row, so that a program notices when another one has replaced that
key. No new conversation gets a key that was ever wrapped under a replaced one: whoever took that
one away may hold it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.clock import Clock, new_id
from appliance.conversations.keys import scrubbing
from appliance.database import Database, KeysBase
from appliance.errors import VerificationError
from appliance.prepared import Prepared
from appliance.sealing import HINT_KEY_FILE, WRONG_KEY_FILE, ContentKey, KeyWrapper

ONE = 1
# SQLite takes at most 32,766 values in one statement.
AT_ONCE = 10_000
# After so many one by one, so many are made together, for one wait for the disk.
BUSY_AFTER = 8
FRESH_AT_ONCE = 16


class ContentKeyRow(KeysBase):
    __tablename__ = "content_keys"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes]
    created: Mapped[float]


class SubjectRow(KeysBase):
    """The secret behind one pseudonym; see `subjects/store.py`."""

    __tablename__ = "subjects"

    lookup: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    wrapped: Mapped[bytes]
    created: Mapped[float]


class SecretRow(KeysBase):
    """A secret of the whole site."""

    __tablename__ = "site_secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes]


class WrappingRow(KeysBase):
    """The id of the key-encryption key that every row of this database is wrapped under."""

    __tablename__ = "wrapping"

    one: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str]


_key = KeysBase.metadata.tables[ContentKeyRow.__tablename__]
_wrapping = KeysBase.metadata.tables[WrappingRow.__tablename__]
UNDER = Prepared(sa.select(_wrapping.c.key_id))
CLAIM = Prepared(sa.insert(_wrapping))
ADD = Prepared(sa.insert(_key))
# One moment of both: the row, and what all rows are wrapped under.
WRAPPED = Prepared(
    sa.select(_key.c.wrapped, _wrapping.c.key_id.label("under"))
    .select_from(sa.outerjoin(_key, _wrapping, sa.true()))
    .where(_key.c.key_id == sa.bindparam("of"))
)


class KeyRing:
    """Makes, finds and destroys the keys of conversations."""

    def __init__(self, database: Database, wrapper: KeyWrapper, clock: Clock) -> None:
        self._database = database
        self._wrapper = wrapper
        self._clock = clock
        # With what each was wrapped under; its append and pop are atomic.
        self._fresh: deque[tuple[str, ContentKey]] = deque()
        self._made = 0

    @property
    def database(self) -> Database:
        return self._database

    def new(self) -> ContentKey:
        """Return a fresh key that is durable already: what it seals can be opened again."""
        if self._fresh and (kept := self._kept()) is not None:
            return kept
        with self._database.writing() as connection:
            found, now = UNDER.one(connection, {}), self._clock.now()
            wrapper = self._under(found and found.key_id)
            if found is None:
                CLAIM.run(connection, {"one": ONE, "key_id": wrapper.key_id})
            count = FRESH_AT_ONCE if self._made >= BUSY_AFTER else 1
            made = [wrapper.generate(new_id("cky")) for _ in range(count)]
            rows = [{"key_id": k.key_id, "wrapped": w, "created": now} for k, w in made]
            ADD.run_many(connection, rows)
        first, *others = (key for key, _ in made)
        self._made += count
        self._fresh.extend((wrapper.key_id, key) for key in others)
        return first

    def _kept(self) -> ContentKey | None:
        """Return a key that was made ahead; those made before a replacement are let go."""
        with self._database.looking() as connection:
            found = UNDER.one(connection, {})
        under = self._under(found and found.key_id).key_id
        with contextlib.suppress(IndexError):
            while True:
                wrapped_under, key = self._fresh.popleft()
                if wrapped_under == under:
                    return key
        return None

    def check(self) -> None:
        """Raise VerificationError unless the newest key opens under this key file.

        With a wrong key file, as after restoring the wrong backup, new conversations would be
        sealed under a key that is lost when the right file comes back.
        """
        with self._database.reading() as session:
            wrapper = self.wrapper(session)
            newest = session.scalars(
                sa.select(ContentKeyRow).order_by(ContentKeyRow.created.desc()).limit(1)
            ).first()
            is_known = session.get(WrappingRow, ONE) is not None
        try:
            if newest is not None:
                wrapper.unwrap(newest.key_id, newest.wrapped)
        except VerificationError as error:
            raise VerificationError(WRONG_KEY_FILE, hint=HINT_KEY_FILE) from error
        if not is_known:
            with self._database.session() as session:
                self.wrapper(session, claim=True)

    def get(self, key_id: str) -> ContentKey:
        """Return a key; raise VerificationError if it is gone or was altered."""
        with self._database.looking() as connection:
            row = WRAPPED.one(connection, {"of": key_id})
        if row is None:
            raise VerificationError(f"the content key {key_id} is gone, so its text cannot be read")
        return self._under(row.under).unwrap(key_id, row.wrapped)

    def those_that_open(self, key_ids: Iterable[str]) -> dict[str, ContentKey]:
        """Return the keys by id, without those that are gone or altered."""
        with self._database.reading() as session:
            rows = [session.get(ContentKeyRow, key_id) for key_id in key_ids]
            wrapper = self.wrapper(session) if rows else self._wrapper
        found: dict[str, ContentKey] = {}
        for row in rows:
            if row is not None:
                try:
                    found[row.key_id] = wrapper.unwrap(row.key_id, row.wrapped)
                except VerificationError:
                    continue
        return found

    def wrapper(self, session: Session, *, claim: bool = False) -> KeyWrapper:
        """Return the key that the rows seen in `session` are wrapped under.

        `claim` states it where nothing was ever wrapped; the session must be one that writes.
        """
        row = session.get(WrappingRow, ONE)
        if row is None:
            if claim:
                session.add(WrappingRow(one=ONE, key_id=self._wrapper.key_id))
            return self._wrapper
        return self._under(row.key_id)

    def _under(self, wrapping: str | None) -> KeyWrapper:
        if wrapping is not None and wrapping != self._wrapper.key_id:
            self._wrapper = self._wrapper.named(wrapping)
        return self._wrapper

    # --- destroying

    def destroy(self, key_ids: Collection[str], subject: str | None = None) -> None:
        """Delete keys, and the secret of a subject, so that no file of keys.db holds them.

        Safe to repeat after a crash: what is gone already is searched for all the same. Raises
        UnavailableError to be tried again, VerificationError when bytes could not be removed.
        """
        names = [*key_ids, *([subject] if subject else [])]
        known: list[bytes] = []
        with self._database.session() as session:
            for some in _portions(sorted(key_ids)):
                chosen = ContentKeyRow.key_id.in_(some)
                known += session.scalars(sa.select(ContentKeyRow.wrapped).where(chosen))
                session.execute(sa.delete(ContentKeyRow).where(chosen))
            if subject is not None:
                row = session.scalars(sa.select(SubjectRow).where(SubjectRow.id == subject)).first()
                if row is not None:
                    known += [row.wrapped, row.lookup.encode()]
                    session.delete(row)
        # After a crash the deleted bytes are not known, so every page is written anew.
        complete = len(known) == len(key_ids) + 2 * (subject is not None)
        needles = [name.encode() for name in names] + known
        scrubbing.scrub(self._database.path, needles, rebuild=bool(names) and not complete)

    # --- replacing the key-encryption key

    def wrapped_under(self) -> str:
        """Return the id of the key-encryption key in use."""
        with self._database.reading() as session:
            return self.wrapper(session).key_id

    def rewrap(self, fresh: KeyWrapper) -> int:
        """Wrap every row under `fresh`, in one transaction; return how many there were.

        The old wrapped bytes are in no file of keys.db when this returns.
        """
        old: list[bytes] = []
        with self._database.session() as session:
            wrapper = self.wrapper(session, claim=True)
            session.flush()
            for row, name in _wrapped_rows(session):
                old.append(row.wrapped)
                row.wrapped = fresh.wrap(name, wrapper.unwrap_secret(name, row.wrapped))
            session.get_one(WrappingRow, ONE).key_id = fresh.key_id
        scrubbing.scrub(self._database.path, old)
        return len(old)

    def rebuild(self) -> None:
        """Write keys.db anew, so that no page holds what was deleted or replaced."""
        scrubbing.scrub(self._database.path, [], rebuild=True)

    def count(self) -> int:
        """Return how many secrets are wrapped."""
        with self._database.reading() as session:
            return sum(1 for _ in _wrapped_rows(session))


def _wrapped_rows(
    session: Session,
) -> Iterator[tuple[ContentKeyRow | SubjectRow | SecretRow, str]]:
    for key in session.scalars(sa.select(ContentKeyRow)):
        yield key, key.key_id
    for subject in session.scalars(sa.select(SubjectRow)):
        yield subject, subject.id
    for secret in session.scalars(sa.select(SecretRow)):
        yield secret, secret.name


def _portions(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]
