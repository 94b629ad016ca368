"""Accounts and API keys: who may be here, and what they prove it with.

Every change leaves an intent and an outcome. No password, key or typed user name is recorded:
people type passwords into the wrong field.
"""

from __future__ import annotations

import threading

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    LockedOutError,
    NotFoundError,
)
from appliance.identity import passwords
from appliance.identity.permissions import GRANTS, Actor, Permission, may
from appliance.identity.roles import ASSIGNABLE, Role
from appliance.identity.store import KeyInfo, User
from appliance.operations.recording import Recorder


class PeopleOperations:
    """What an administrator does with accounts, and each person with their own."""

    def __init__(self, appliance: Appliance) -> None:
        self._people = appliance.people
        self._settings = appliance.config.gateway
        self._recorder = Recorder(appliance.ledger)
        self._disabling = threading.Lock()

    # --- accounts

    def list_users(self, actor: Actor) -> list[User]:
        """Return every account; reading the list is recorded."""
        self._recorder.authorise(actor, Permission.USERS_MANAGE, "user.list")
        users = self._people.list()
        self._recorder.note(actor, "user.list", Outcome.SUCCESS, content={"count": len(users)})
        return users

    def add_user(
        self, actor: Actor, name: str, role: str, display_name: str = ""
    ) -> tuple[User, str]:
        """Make an account; return it with a first password that must be changed at once."""
        with self._recorder.change(
            actor, Permission.USERS_MANAGE, "user.add", role=_role_or_none(role)
        ) as change:
            password = passwords.generate_password()
            user = self._people.add(
                name,
                _assignable(role),
                passwords.hash_password(password),
                display_name,
                must_change=True,
            )
            change.entity = user.id
        return user, password

    def disable_user(self, actor: Actor, name: str) -> None:
        """Shut an account out at once: its sessions and keys stop working."""
        with self._recorder.change(actor, Permission.USERS_MANAGE, "user.disable") as change:
            user = self._named(name)
            change.entity = user.id
            if user.id == actor.user:
                raise ForbiddenError(
                    "you cannot disable your own account", hint="ask another administrator"
                )
            with self._disabling:
                self._keep_one_administrator(user)
                self._people.set_disabled(user.id, True)

    def _keep_one_administrator(self, user: User) -> None:
        """Raise ConflictError when `user` is the last administrator who can still sign in."""
        left = [
            other
            for other in self._people.list()
            if other.role == Role.ADMINISTRATOR and not other.disabled and other.id != user.id
        ]
        if user.role == Role.ADMINISTRATOR and not left:
            raise ConflictError(
                "this is the last administrator", hint="add another administrator first"
            )

    def enable_user(self, actor: Actor, name: str) -> None:
        """Let a disabled account in again."""
        with self._recorder.change(actor, Permission.USERS_MANAGE, "user.enable") as change:
            user = self._named(name)
            change.entity = user.id
            self._people.set_disabled(user.id, False)

    def unlock_user(self, actor: Actor, name: str) -> None:
        """End a lock-out before its time."""
        with self._recorder.change(actor, Permission.USERS_MANAGE, "user.unlock") as change:
            user = self._named(name)
            change.entity = user.id
            self._people.unlock(user.id)

    def reset_password(self, actor: Actor, name: str) -> str:
        """Set and return a first password, to be changed at once; ends the person's sessions."""
        with self._recorder.change(actor, Permission.USERS_MANAGE, "user.reset") as change:
            user = self._named(name)
            change.entity = user.id
            password = passwords.generate_password()
            self._people.set_password(user.id, passwords.hash_password(password), must_change=True)
        return password

    def change_password(self, actor: Actor, old: str, new: str) -> None:
        """Change the actor's own password and end every session; the old one must be right."""
        with self._recorder.change(actor, Permission.OWN_PASSWORD, "password.change", actor.user):
            user = self._people.get(actor.user)
            self._count_guess(user)
            if not passwords.verify_password(user.password_hash, old):
                raise ForbiddenError("the present password is not right", hint="try again")
            self._people.note_success(user.id)
            if old == new:
                raise BadInputError("the new password is the old one", hint="choose another")
            passwords.check_strength(new, user.name)
            self._people.set_password(user.id, passwords.hash_password(new), must_change=False)

    def _count_guess(self, user: User) -> None:
        """Let guesses at an unlocked screen lock the account as they do at the door."""
        seconds = self._people.locked_for(user)
        if seconds > 0:
            raise LockedOutError("too many failed attempts", retry_after=seconds)
        self._people.note_failure(user.id)

    # --- API keys

    def create_key(
        self, actor: Actor, owner: str, label: str, days: int | None = None
    ) -> tuple[KeyInfo, str]:
        """Make a key for the person named `owner`; the returned text is never shown again."""
        days = self._settings.api_key_days if days is None else days
        permission = self._key_permission(actor, owner, Permission.KEYS_CREATE)
        with self._recorder.change(actor, permission, "key.create", days=days) as change:
            user = self._named(owner)
            if Permission.OWN_KEYS not in _grants(user):
                raise BadInputError(f"a {user.role} has no use for an API key")
            if not 1 <= days <= self._settings.api_key_days:
                raise BadInputError(f"a key lives between 1 and {self._settings.api_key_days} days")
            key, secret = self._people.create_key(user.id, label, days)
            change.entity = key.id
            change.facts["owner"] = user.id
        return key, secret

    def revoke_key(self, actor: Actor, key_id: str) -> None:
        """End a key at once; a person may end their own, an administrator anyone's."""
        permission = Permission.KEYS_MANAGE
        owned = {key.id for key in self._people.keys(actor.user)}
        if key_id in owned:
            permission = Permission.OWN_KEYS
        with self._recorder.change(actor, permission, "key.revoke", key_id):
            self._people.revoke_key(key_id)

    def list_keys(self, actor: Actor, owner: str | None = None) -> list[KeyInfo]:
        """Return the keys of `owner`, or of everyone; secrets are not stored, so not shown."""
        permission = self._key_permission(actor, owner, Permission.KEYS_MANAGE)
        self._recorder.authorise(actor, permission, "key.list")
        keys = self._people.keys(None if owner is None else self._named(owner).id)
        self._recorder.note(actor, "key.list", Outcome.SUCCESS, content={"count": len(keys)})
        return keys

    def _key_permission(
        self, actor: Actor, owner: str | None, for_others: Permission
    ) -> Permission:
        """Own keys need less; a key for somebody else is only made at the machine's console."""
        if owner is not None and owner == actor.name and may(actor, Permission.OWN_KEYS):
            return Permission.OWN_KEYS
        return for_others

    def _named(self, name: str) -> User:
        user = self._people.by_name(name)
        if user is None:
            raise NotFoundError("there is no such account")
        return user


def _role_or_none(role: str) -> str | None:
    """Return a role there is; other text that was typed does not enter the record."""
    return role if role in set(Role) else None


def _assignable(role: str) -> Role:
    try:
        found = Role(role)
    except ValueError:
        found = Role.SYSTEM
    if found not in ASSIGNABLE:
        raise BadInputError(
            f"there is no role {role}", hint=f"choose one of {', '.join(sorted(ASSIGNABLE))}"
        )
    return found


def _grants(user: User) -> frozenset[Permission]:
    return GRANTS[Role(user.role)]
