"""Accounts, sessions and API keys in appliance.db; secrets only as argon2id or SHA-256.

A disabled account has no session and no key from the same transaction on. A lock-out survives a
restart. Not here: who may change accounts (operations), what a password must be (`passwords.py`).
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.clock import Clock, new_id
from appliance.config import Gateway
from appliance.database import Base, Database
from appliance.errors import (
    BadInputError,
    ConflictError,
    NotFoundError,
    NotSignedInError,
    SessionExpiredError,
)
from appliance.identity import sessions
from appliance.identity.accounts import KeyInfo, SessionInfo, User, normal_name, shown_text
from appliance.identity.keys import store as api_keys
from appliance.identity.roles import ASSIGNABLE, Role
from appliance.identity.throttle import Attempts
from appliance.prepared import Prepared

__all__ = ["KeyInfo", "People", "SessionExpiredError", "SessionInfo", "User"]

# Writing on every request would cost an fsync each; so much later may a time be noted.
SESSION_NOTE_S = 10
# A clock corrected by less than this signs nobody out; set back further, a session ends.
CLOCK_STEP_S = 60


class UserRow(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]
    disabled: Mapped[bool]
    must_change_password: Mapped[bool]
    created: Mapped[float]
    failures: Mapped[int]
    locked_until: Mapped[float]


class SessionRow(Base):
    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("users.id"), index=True)
    created: Mapped[float]
    last_seen: Mapped[float]
    expires: Mapped[float]
    source: Mapped[str | None]


_users = Base.metadata.tables[UserRow.__tablename__]
ACCOUNT = Prepared(sa.select(_users).where(_users.c.id == sa.bindparam("of")))


class People(Attempts):
    """Every account, and what people sign in with."""

    def __init__(self, database: Database, clock: Clock, settings: Gateway) -> None:
        super().__init__(clock, settings.lockout_failures, settings.lockout_s)
        self._database = database
        self._clock = clock
        self._settings = settings

    def add(
        self,
        name: str,
        role: Role,
        password_hash: str,
        display_name: str = "",
        must_change: bool = False,
    ) -> User:
        """Make an account; raise ConflictError if the name is taken, in whatever case."""
        if role not in ASSIGNABLE:
            raise BadInputError(f"no account can have the role {role}")
        name = normal_name(name)
        row = UserRow(
            id=new_id("usr"),
            name=name,
            display_name=shown_text(display_name, "the display name") or name,
            role=str(role),
            password_hash=password_hash,
            disabled=False,
            must_change_password=must_change,
            created=self._clock.now(),
            failures=0,
            locked_until=0.0,
        )
        try:
            with self._database.session() as session:
                session.add(row)
        except IntegrityError as error:
            raise ConflictError(f"there is a user {name} already; none was added") from error
        return _user(row)

    def by_name(self, name: str) -> User | None:
        """Return the account of that name in whatever case, or None."""
        try:
            wanted = normal_name(name)
        except BadInputError:
            return None
        with self._database.reading() as session:
            row = session.scalar(sa.select(UserRow).where(UserRow.name == wanted))
            return None if row is None else _user(row)

    def get(self, user_id: str) -> User:
        """Return the account; raise NotFoundError if there is none."""
        with self._database.reading() as session:
            return _user(_existing(session, user_id))

    def set_disabled(self, user_id: str, disabled: bool) -> None:
        """Disable or enable an account; disabling ends its sessions and revokes its keys.

        Enabling brings neither back: what leaked before stays dead.
        """
        with self._database.session() as session:
            _existing(session, user_id).disabled = disabled
            if disabled:
                _drop_sessions(session, user_id)
                api_keys.revoke_all(session, user_id, self._clock.now())

    def set_password(self, user_id: str, password_hash: str, must_change: bool) -> None:
        """Replace the password and end every session.

        A password that must be changed was set by somebody else, so API keys end too.
        """
        with self._database.session() as session:
            row = _existing(session, user_id)
            row.password_hash, row.must_change_password = password_hash, must_change
            row.failures, row.locked_until = 0, 0.0
            _drop_sessions(session, user_id)
            if must_change:
                api_keys.revoke_all(session, user_id, self._clock.now())

    def upgrade_hash(self, user_id: str, password_hash: str) -> None:
        """Keep the same password under newer parameters; nobody is signed out."""
        with self._database.session() as session:
            _existing(session, user_id).password_hash = password_hash

    def unlock(self, user_id: str) -> None:
        """Forget failed attempts and end a lock-out."""
        with self._database.session() as session:
            row = _existing(session, user_id)
            row.failures, row.locked_until = 0, 0.0

    def note_failure(self, user_id: str) -> int | None:
        """Count a wrong password; return for how many seconds it locks, or None."""
        with self._database.session() as session:
            row = _existing(session, user_id)
            row.failures += 1
            if row.failures < self._settings.lockout_failures:
                return None
            row.failures = 0
            row.locked_until = self._clock.now() + self._settings.lockout_s
            return self._settings.lockout_s

    def note_success(self, user_id: str) -> None:
        """Forget failed attempts."""
        self.unlock(user_id)

    def locked_for(self, user: User) -> int:
        """Return for how many seconds the account is locked; 0 when it is not."""
        left = math.ceil(user.locked_until - self._clock.now())
        # Bounded, in case the clock was set back since.
        return min(max(0, left), self._settings.lockout_s)

    def open_session(self, user_id: str, source: str | None) -> str:
        """Return the token of a new session; the token itself is not stored."""
        token, digest = sessions.new_token()
        now = self._clock.now()
        with self._database.session() as session:
            if _existing(session, user_id).disabled:
                raise NotSignedInError("the account is disabled")
            session.execute(sa.delete(SessionRow).where(SessionRow.expires <= now))
            session.add(
                SessionRow(
                    digest=digest,
                    user_id=user_id,
                    created=now,
                    last_seen=now,
                    expires=now + self._settings.session_absolute_s,
                    source=source,
                )
            )
        return token

    def session(self, token: str, *, touch: bool = True) -> SessionInfo:
        """Return the session of a token, and note that it is in use unless `touch` is False.

        Raises NotSignedInError for an unknown token, and SessionExpiredError for one that was
        idle or open for too long; that session is deleted, so it is raised once only.
        """
        now, digest = self._clock.now(), sessions.digest(token)
        with self._database.reading() as reading:
            row, user = _session_of(reading, digest)
            due = touch and abs(now - row.last_seen) >= SESSION_NOTE_S
            if self._alive(row, now) and not due:
                return self._session_info(row, user)
        with self._database.session() as session:
            row, user = _session_of(session, digest)
            if self._alive(row, now):
                if touch:
                    row.last_seen = now
                return self._session_info(row, user)
            session.delete(row)
            user_id = row.user_id
        raise SessionExpiredError("the session has ended by itself", user_id=user_id)

    def close_session(self, token: str) -> None:
        """End a session; a token that is unknown is no error."""
        with self._database.session() as session:
            digest = sessions.digest(token)
            session.execute(sa.delete(SessionRow).where(SessionRow.digest == digest))

    def create_key(self, user_id: str, label: str, days: int) -> tuple[KeyInfo, str]:
        """Return a new API key and, this once, its text."""
        with self._database.session() as session:
            if _existing(session, user_id).disabled:
                raise ConflictError("the account is disabled; no key was made")
            return api_keys.insert(session, user_id, label, days, self._clock.now())

    def keys(self, user_id: str | None = None) -> list[KeyInfo]:
        """Return the keys of one account, or of all, newest first; revoked ones included."""
        with self._database.reading() as session:
            return api_keys.of(session, user_id)

    def revoke_key(self, key_id: str) -> KeyInfo:
        """End a key at once; raise NotFoundError if there is none of that id."""
        with self._database.session() as session:
            return api_keys.revoke(session, key_id, self._clock.now())

    def user_for_key(self, text: str) -> tuple[User, KeyInfo]:
        """Return who owns a key; raise NotSignedInError unless key and account are in force.

        Looked up each time: a key that was revoked a moment ago is worth nothing.
        """
        now = self._clock.now()
        with self._database.looking() as connection:
            key = api_keys.valid(connection, text, now)
            found = ACCOUNT.one(connection, {"of": key.user_id})
        if found is None or found.disabled:
            raise NotSignedInError("the account of the API key is disabled", hint=api_keys.HINT)
        if api_keys.note_is_due(key, now):
            with self._database.writing(durable=False) as connection:
                api_keys.note(connection, key.id, now)
        return _user(found), key

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self) -> list[User]:
        """Return every account by name, disabled ones included."""
        with self._database.reading() as session:
            rows = session.scalars(sa.select(UserRow).order_by(UserRow.name))
            return [_user(row) for row in rows]

    def _alive(self, row: SessionRow, now: float) -> bool:
        return now < min(row.expires, self._idle_until(row)) and now > row.last_seen - CLOCK_STEP_S

    def _idle_until(self, row: SessionRow) -> float:
        return row.last_seen + self._settings.session_idle_s

    def _session_info(self, row: SessionRow, user: UserRow) -> SessionInfo:
        return SessionInfo(
            user=_user(user),
            created=row.created,
            last_seen=row.last_seen,
            idle_until=min(row.expires, self._idle_until(row)),
            expires=row.expires,
            source=row.source,
        )


def _existing(session: Session, user_id: str) -> UserRow:
    row = session.get(UserRow, user_id)
    if row is None:
        raise NotFoundError("there is no such user")
    return row


def _session_of(session: Session, digest: str) -> tuple[SessionRow, UserRow]:
    row = session.get(SessionRow, digest)
    user = None if row is None else session.get(UserRow, row.user_id)
    if row is None or user is None or user.disabled:
        raise NotSignedInError("you are not signed in")
    return row, user


def _drop_sessions(session: Session, user_id: str) -> None:
    session.execute(sa.delete(SessionRow).where(SessionRow.user_id == user_id))


def _user(row: Any) -> User:
    return User(
        id=row.id,
        name=row.name,
        display_name=row.display_name,
        role=Role(row.role),
        password_hash=row.password_hash,
        disabled=row.disabled,
        must_change_password=row.must_change_password,
        created=row.created,
        failures=row.failures,
        locked_until=row.locked_until,
    )
