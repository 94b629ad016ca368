"""API keys in appliance.db, each kept as the SHA-256 of its text and never shown again.

Every function works inside the caller's transaction, so that a key and the account it belongs
to change together. Not here: whether the account is in force (`identity/store.py`).
"""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.database import Base
from appliance.errors import BadInputError, NotFoundError, NotSignedInError
from appliance.identity import sessions
from appliance.identity.accounts import KeyInfo, shown_text
from appliance.prepared import Prepared

DAY_S = 86_400
MAX_DAYS = 366
# Noting each use would cost an fsync on every request.
NOTE_S = 60
HINT = "use a valid API key; `appliance key create` makes one"


class KeyRow(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id"), index=True)
    label: Mapped[str]
    created: Mapped[float]
    expires: Mapped[float]
    revoked: Mapped[float | None]
    last_used: Mapped[float | None]


def insert(
    session: Session, user_id: str, label: str, days: int, now: float
) -> tuple[KeyInfo, str]:
    """Return a new key and, this once, its text."""
    if not 1 <= days <= MAX_DAYS:
        raise BadInputError(f"an API key is valid for 1 to {MAX_DAYS} days; none was made")
    text, key_id, digest = sessions.new_api_key()
    row = KeyRow(
        id=key_id,
        digest=digest,
        user_id=user_id,
        label=shown_text(label, "the label"),
        created=now,
        expires=now + days * DAY_S,
        revoked=None,
        last_used=None,
    )
    session.add(row)
    return _key(row), text


def of(session: Session, user_id: str | None) -> list[KeyInfo]:
    """Return the keys of one account, or of all, newest first; revoked ones included."""
    query = sa.select(KeyRow).order_by(KeyRow.created.desc(), KeyRow.id)
    if user_id is not None:
        query = query.where(KeyRow.user_id == user_id)
    return [_key(row) for row in session.scalars(query)]


def revoke(session: Session, key_id: str, now: float) -> KeyInfo:
    """End a key at once; one that was revoked before keeps the time of that."""
    row = session.get(KeyRow, key_id)
    if row is None:
        raise NotFoundError(f"there is no API key {key_id}")
    row.revoked = now if row.revoked is None else row.revoked
    return _key(row)


def revoke_all(session: Session, user_id: str, now: float) -> None:
    """End every key of an account."""
    session.execute(
        sa.update(KeyRow)
        .where(KeyRow.user_id == user_id, KeyRow.revoked.is_(None))
        .values(revoked=now)
    )


_keys = Base.metadata.tables[KeyRow.__tablename__]
KEY = Prepared(sa.select(_keys).where(_keys.c.id == sa.bindparam("of")))
USE = Prepared(
    sa.update(_keys).where(_keys.c.id == sa.bindparam("of")).values(last_used=sa.bindparam("now"))
)


def valid(connection: sqlite3.Connection, text: str, now: float) -> KeyInfo:
    """Return the key that `text` is; raise NotSignedInError unless known and in force."""
    parsed = sessions.parse_api_key(text)
    row = None if parsed is None else KEY.one(connection, {"of": parsed[0]})
    if parsed is None or row is None or not sessions.same(row.digest, parsed[1]):
        raise NotSignedInError("the API key is not known", hint=HINT)
    if row.revoked is not None:
        raise NotSignedInError("the API key was revoked", hint=HINT)
    if now >= row.expires:
        raise NotSignedInError("the API key has expired", hint=HINT)
    return _key(row)


def note_is_due(key: KeyInfo, now: float) -> bool:
    """Tell whether it is time to note again that a key is in use."""
    return key.last_used is None or abs(now - key.last_used) >= NOTE_S


def note(connection: sqlite3.Connection, key_id: str, now: float) -> None:
    """Note that a key was used."""
    USE.run(connection, {"of": key_id, "now": now})


def _key(row: Any) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        user_id=row.user_id,
        label=row.label,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        last_used=row.last_used,
    )
