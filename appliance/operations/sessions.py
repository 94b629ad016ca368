"""Proving who one is: passwords at the door, then a session; API keys for programs.

Every attempt is recorded, the failed ones without what was typed. An unknown name, a wrong
password and a disabled account look and take the same.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.errors import ApplianceError, LockedOutError, NotSignedInError
from appliance.identity import passwords
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.identity.store import SessionExpiredError, SessionInfo, User
from appliance.operations.measures import SIGN_INS
from appliance.operations.recording import Recorder
from appliance.operations.refusals import Refusals

WRONG = "name or password is not right"


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: its token (shown to nobody but the browser), the person, the actor."""

    token: str
    user: User
    actor: Actor


class Sessions:
    """Opens, checks and closes sessions; checks API keys."""

    def __init__(self, appliance: Appliance, refusals: Refusals) -> None:
        self._people = appliance.people
        self._recorder = Recorder(appliance.ledger)
        self._refusals = refusals

    def sign_in(self, name: str, password: str, source: str) -> SignedIn:
        """Open a session.

        Raises NotSignedInError (wrong, unknown or disabled: not told apart) or LockedOutError.
        """
        user = self._people.by_name(name)
        self._refuse_locked(source, name, user)
        # Counted before the slow hash, so that guesses sent at once count as well.
        locked = self._count_attempt(name, user)
        known = user is not None and not user.disabled
        right = passwords.verify_password(user.password_hash if user and known else None, password)
        if user is None or not right:
            raise self._failed(user, source, locked)
        actor = _actor(user, "password", None, source)
        with self._recorder.change(actor, None, "session.open", user.id):
            self._people.note_success(user.id)
            if passwords.needs_rehash(user.password_hash):
                self._people.upgrade_hash(user.id, passwords.hash_password(password))
            token = self._people.open_session(user.id, source)
        SIGN_INS.labels("success").inc()
        return SignedIn(token, user, actor)

    def sign_out(self, actor: Actor, token: str) -> None:
        """End the session; its token is worthless afterwards."""
        with self._recorder.change(actor, None, "session.close", actor.user):
            self._people.close_session(token)

    def authenticate(
        self, token: str, source: str, *, touch: bool = True
    ) -> tuple[Actor, SessionInfo]:
        """Return who a session belongs to; `touch` starts its idle time anew.

        Raises NotSignedInError; when the session was known and has expired, that is recorded.
        """
        try:
            session = self._people.session(token, touch=touch)
        except SessionExpiredError as error:
            anyone = anonymous(source)
            self._recorder.note(anyone, "session.expire", Outcome.SUCCESS, entity=error.user_id)
            raise
        return _actor(session.user, "password", None, source), session

    def authenticate_key(self, text: str, source: str) -> Actor:
        """Return whose key this is; raises NotSignedInError, which is recorded.

        Bad keys lock nobody out: 256 random bits cannot be guessed, and a program with an old
        key must not stop a ward that shares its address.
        """
        try:
            user, key = self._people.user_for_key(text)
        except NotSignedInError as error:
            self._refusals.note(anonymous(source), "key.refuse", error)
            raise
        return _actor(user, "api_key", key.id, source)

    def _refuse_locked(self, source: str, name: str = "", user: User | None = None) -> None:
        """Raise LockedOutError; a name nobody has locks like one that exists, so neither tells."""
        seconds = self._people.source_locked_for(source)
        if user is not None:
            seconds = max(seconds, self._people.locked_for(user))
        elif name:
            seconds = max(seconds, self._people.unknown_locked_for(name))
        if seconds > 0:
            error = LockedOutError("too many failed attempts", retry_after=seconds)
            self._refused(error, user, source)
            raise error

    def _count_attempt(self, name: str, user: User | None) -> int | None:
        """Count one attempt; return for how long it locks the account, if it does."""
        if user is None:
            self._people.note_unknown_failure(name)
            return None
        return self._people.note_failure(user.id)

    def _failed(self, user: User | None, source: str, locked: int | None) -> NotSignedInError:
        error = NotSignedInError(WRONG, hint="check both and try again")
        self._people.note_source_failure(source)
        self._refused(error, user, source)
        if user is not None and locked:
            self._recorder.note(
                anonymous(source), "session.lock", Outcome.SUCCESS, entity=user.id,
                content={"seconds": locked},
            )  # fmt: skip
        return error

    def _refused(self, error: ApplianceError, user: User | None, source: str) -> None:
        SIGN_INS.labels("refused").inc()
        with contextlib.suppress(ApplianceError):
            entity = None if user is None else user.id
            self._refusals.note(anonymous(source), "session.refuse", error, entity)


def anonymous(source: str | None) -> Actor:
    """Return the actor that stands for somebody who has not proved who they are."""
    return Actor(
        user="anonymous", name="", role=Role.SYSTEM, method="none", credential=None, source=source
    )


def _actor(user: User, method: str, credential: str | None, source: str) -> Actor:
    return Actor(
        user=user.id, name=user.name, role=Role(user.role), method=method,
        credential=credential, source=source,
    )  # fmt: skip
