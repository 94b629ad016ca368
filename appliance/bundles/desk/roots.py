"""Who may sign what: makes and signs the root, version after version. Pure.

A root counts when it carries enough signatures of the people it names for the role "root", and,
after the first, enough of those whom the root before it named too (TUF specification, 5.3.4).
Until then it is pending, and every person's signature is added by itself.
Not here: where roots lie (`desk`), what a hospital makes of them (`trust`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from securesystemslib.signer import (
    Key,
    Signer,
    SSlibKey,
)
from tuf.api.metadata import Metadata, Role, Root

from appliance.bundles import publisher
from appliance.bundles.desk.keys import holder_of
from appliance.errors import BadInputError, ConflictError, NotFoundError

ROLES = ("root", "targets", "snapshot", "timestamp")
SHORTEST_PREFIX = 8
MAX_KEYS = 16


@dataclass(frozen=True)
class Holders:
    """The keys of one role, and how many of them it takes."""

    keys: tuple[SSlibKey, ...]
    threshold: int = 1

    def checked(self, role: str) -> Holders:
        """Return it without repeated keys; raise BadInputError when the role cannot be filled."""
        keys = tuple({key.keyid: key for key in self.keys}.values())
        if not 0 < len(keys) <= MAX_KEYS:
            raise BadInputError(
                f"the role {role} would have {len(keys)} keys, outside 1-{MAX_KEYS}",
                hint="name a key in its place: `publisher revoke --replace`, or `publisher "
                "rotate --add` first",
            )
        if role in ("snapshot", "timestamp") and self.threshold != 1:
            raise BadInputError(
                f"the role {role} takes one signature, that of whoever completes a bundle",
                hint="set a threshold for root or targets",
            )
        if not 0 < self.threshold <= len(keys):
            raise BadInputError(
                f"the role {role} wants {self.threshold} signatures and has {len(keys)} keys",
                hint="name more keys, or a lower threshold",
            )
        return Holders(keys, self.threshold)


@dataclass(frozen=True)
class Missing:
    """How far a piece of metadata is from counting."""

    wanted: int
    signed: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def done(self) -> bool:
        return len(self.signed) >= self.wanted


@dataclass(frozen=True)
class Change:
    """What a successor root is to change; every list holds keys or key ids."""

    roles: tuple[str, ...] = ()
    add: tuple[SSlibKey, ...] = ()
    remove: tuple[str, ...] = ()
    thresholds: Mapping[str, int] = field(default_factory=dict)


def first(holders: Mapping[str, Holders], expires: datetime) -> bytes:
    """Return the first root, unsigned. `holders` names every role."""
    return _root(1, {role: holders[role].checked(role) for role in ROLES}, expires)


def successor(current: bytes, base: bytes, change: Change, expires: datetime) -> bytes:
    """Return the unsigned root that follows `current`: the roles of `base` with a change.

    `base` is `current`, or the pending successor that the new one takes the place of.
    """
    version = parse(current).signed.version + 1
    root = parse(base).signed
    holders = {role: _changed(root, role, change) for role in ROLES}
    for role in ("snapshot", "timestamp"):
        # Where the people of "targets" see to freshness too, they keep doing so.
        if role not in change.roles and set(root.roles[role].keyids) == set(
            root.roles["targets"].keyids
        ):
            holders[role] = Holders(holders["targets"].keys)
    known = {key.keyid for role in ROLES for key in _holders(root, role).keys}
    for keyid in change.remove:
        if keyid not in known:
            raise NotFoundError(f"no role has the key {keyid[:SHORTEST_PREFIX]}")
    return _root(version, {role: holders[role].checked(role) for role in ROLES}, expires)


def sign(pending: bytes, current: bytes | None, signer: Signer) -> bytes:
    """Return a pending root with one more signature; raise unless that key's counts."""
    metadata = parse(pending)
    keyid = signer.public_key.keyid
    counted = set(metadata.signed.roles["root"].keyids)
    if current is not None:
        counted |= set(parse(current).signed.roles["root"].keyids)
    if keyid not in counted:
        raise ConflictError(
            f"the key {keyid[:SHORTEST_PREFIX]} has no part in the root, so nothing was signed",
            hint="`appliance publisher show` lists whose keys have",
        )
    publisher.add_signature(metadata, signer)
    return metadata.to_bytes()


def missing(pending: bytes, current: bytes | None) -> tuple[Missing, ...]:
    """Return how far a pending root is: by its own keys, and by those of the root before it."""
    metadata = parse(pending)
    judges = [metadata.signed, *([parse(current).signed] if current is not None else [])]
    return tuple(verdict(root, "root", metadata) for root in judges)


def verdict(root: Root, role: str, metadata: Metadata[Any]) -> Missing:
    """Return whose valid signatures a piece of metadata has, and whose could still come."""
    result = root.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    return Missing(
        result.threshold,
        tuple(map(describe, result.signed.values())),
        tuple(map(describe, result.unsigned.values())),
    )


def parse(data: bytes) -> Metadata[Root]:
    """Return a root of this desk's own."""
    metadata: Metadata[Root] = Metadata.from_bytes(data)
    if not isinstance(metadata.signed, Root):
        raise BadInputError("the file is no root")
    return metadata


def describe(key: Key) -> str:
    """Return a key as people name it: its holder and the beginning of its id."""
    short = key.keyid[:SHORTEST_PREFIX]
    holder = holder_of(cast("SSlibKey", key))
    return f"{holder} ({short})" if holder else short


def find_key(root: Root, given: str) -> str:
    """Return the id of the one key of a root that `given` names: an id, its beginning, a holder."""
    found = [
        keyid
        for keyid, key in root.keys.items()
        if given == holder_of(cast("SSlibKey", key))
        or (len(given) >= SHORTEST_PREFIX and keyid.startswith(given.lower()))
    ]
    if len(found) != 1:
        problem = "no key" if not found else "more than one key"
        raise NotFoundError(
            f"{problem} of this publisher is named {given!r}",
            hint="`appliance publisher show` lists them; give 8 characters of the id or more",
        )
    return str(found[0])


def roles_of(root: Root, keyid: str) -> tuple[str, ...]:
    """Return the roles that a key has."""
    return tuple(role for role in ROLES if keyid in root.roles[role].keyids)


def _changed(root: Root, role: str, change: Change) -> Holders:
    former = _holders(root, role)
    touched = role in change.roles or not change.roles
    kept = [key for key in former.keys if not (touched and key.keyid in change.remove)]
    added = change.add if role in change.roles else ()
    return Holders((*kept, *added), change.thresholds.get(role, former.threshold))


def _holders(root: Root, role: str) -> Holders:
    found = (cast("SSlibKey", root.keys[keyid]) for keyid in root.roles[role].keyids)
    return Holders(tuple(found), root.roles[role].threshold)


def _root(version: int, holders: Mapping[str, Holders], expires: datetime) -> bytes:
    keys: dict[str, Key] = {key.keyid: key for role in ROLES for key in holders[role].keys}
    roles = {
        role: Role([key.keyid for key in holders[role].keys], holders[role].threshold)
        for role in ROLES
    }
    root = Root(version, expires=expires, keys=keys, roles=roles, consistent_snapshot=True)
    return Metadata(root).to_bytes()
