"""What each role may do: everything that is not listed is denied (pure).

A permission names a thing to do, never a page. `require` is the one check that every operation
makes before anything else. Which models a role may use is not here: that is `policy/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypedDict

from appliance.errors import ForbiddenError
from appliance.identity.roles import Role


class Permission(StrEnum):
    """The closed list of things that need leave."""

    ASK = "answer.ask"
    OWN_CONTENT = "content.own"
    OWN_KEYS = "keys.own"
    OWN_PASSWORD = "password.own"  # noqa: S105 - the name of a permission, not a password
    USERS_MANAGE = "users.manage"
    KEYS_MANAGE = "keys.manage"
    KEYS_CREATE = "keys.create"
    MODELS_LIST = "models.list"
    MODELS_IMPORT = "models.import"
    MODELS_APPROVE = "models.approve"
    MODELS_EVALUATE = "models.evaluate"
    MODELS_VALIDATION = "models.validation"
    MODELS_ACTIVATE = "models.activate"
    MODELS_PIN = "models.pin"
    MODELS_RETIRE = "models.retire"
    PUBLISHERS_TRUST = "publishers.trust"
    RECORD_READ = "record.read"
    RECORD_VERIFY = "record.verify"
    RECORD_EXPORT = "record.export"
    RECORD_PROVE = "record.prove"
    RECORD_ANCHOR = "record.anchor"
    RECORD_CORRECT = "record.correct"
    RECEIPTS_OWN = "receipts.own"
    CONTENT_ERASE = "content.erase"
    CONTENT_HOLD = "content.hold"
    RETENTION = "retention.manage"
    METRICS_READ = "metrics.read"
    CERTIFICATES_MANAGE = "certificates.manage"
    AIRGAP_CHECK = "airgap.check"


_RECORD = frozenset(
    {
        Permission.RECORD_READ,
        Permission.RECORD_VERIFY,
        Permission.RECORD_EXPORT,
        Permission.RECORD_PROVE,
        Permission.RECORD_ANCHOR,
        Permission.RECORD_CORRECT,
    }
)
_CONTENT = frozenset({Permission.CONTENT_ERASE, Permission.CONTENT_HOLD, Permission.RETENTION})

GRANTS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.CLINICIAN: frozenset(
            {
                Permission.ASK,
                Permission.OWN_CONTENT,
                Permission.RECEIPTS_OWN,
                Permission.OWN_KEYS,
                Permission.OWN_PASSWORD,
                Permission.MODELS_LIST,
            }
        ),
        # A steward tries out what was imported, so asks like a clinician does.
        Role.STEWARD: frozenset(
            {
                Permission.ASK,
                Permission.OWN_CONTENT,
                Permission.RECEIPTS_OWN,
                Permission.OWN_KEYS,
                Permission.OWN_PASSWORD,
                Permission.MODELS_LIST,
                Permission.MODELS_IMPORT,
                Permission.MODELS_EVALUATE,
                Permission.MODELS_VALIDATION,
            }
        ),
        Role.APPROVER: frozenset(
            {
                Permission.OWN_PASSWORD,
                Permission.MODELS_LIST,
                Permission.MODELS_EVALUATE,
                Permission.MODELS_VALIDATION,
                Permission.MODELS_APPROVE,
                Permission.MODELS_ACTIVATE,
                Permission.MODELS_PIN,
                Permission.MODELS_RETIRE,
            }
        ),
        Role.ADMINISTRATOR: frozenset(
            {
                Permission.OWN_PASSWORD,
                Permission.USERS_MANAGE,
                Permission.KEYS_MANAGE,
                Permission.MODELS_LIST,
                Permission.METRICS_READ,
            }
        ),
        Role.AUDITOR: _RECORD
        | {Permission.OWN_PASSWORD, Permission.MODELS_LIST, Permission.MODELS_VALIDATION},
        # Acts for the people the record is about: reads it for a stated purpose, erases, holds.
        Role.PRIVACY_OFFICER: _CONTENT
        | {
            Permission.OWN_PASSWORD,
            Permission.RECORD_READ,
            Permission.RECORD_VERIFY,
            Permission.RECORD_PROVE,
            Permission.RECORD_CORRECT,
        },
        # Whoever is at the console holds the files anyway; what is done there is recorded.
        Role.CONSOLE: _RECORD
        | _CONTENT
        | {
            Permission.USERS_MANAGE,
            Permission.KEYS_MANAGE,
            # For the person who will use it; an administrator could ask in a clinician's name.
            Permission.KEYS_CREATE,
            Permission.MODELS_LIST,
            Permission.MODELS_IMPORT,
            Permission.MODELS_EVALUATE,
            Permission.MODELS_VALIDATION,
            Permission.MODELS_APPROVE,
            Permission.MODELS_ACTIVATE,
            Permission.MODELS_PIN,
            Permission.MODELS_RETIRE,
            Permission.PUBLISHERS_TRUST,
            Permission.CERTIFICATES_MANAGE,
            Permission.AIRGAP_CHECK,
        },
        Role.SYSTEM: frozenset(),
    }
)


class AgentFields(TypedDict):
    """What the record says of an actor; the keyword arguments of `audit.entry.Agent`."""

    user: str
    role: str
    method: str
    credential: str | None


@dataclass(frozen=True)
class Actor:
    """Who acts, for one request: account id and name, role, and how that was proved.

    `method` is `password`, `api_key`, `console` or `internal`; `credential` names the API key
    (its id, never its secret); `source` is the address the request came from.
    """

    user: str
    name: str
    role: Role
    method: str
    credential: str | None = None
    source: str | None = None

    def agent_fields(self) -> AgentFields:
        """Return what the record says of this actor."""
        return {
            "user": self.user,
            "role": str(self.role),
            "method": self.method,
            "credential": self.credential,
        }


def may(actor: Actor, permission: Permission) -> bool:
    """Return whether the actor's role grants `permission`; for showing or hiding only."""
    return permission in GRANTS.get(actor.role, frozenset())


def require(actor: Actor, permission: Permission) -> None:
    """Return only if the actor may; raise ForbiddenError otherwise."""
    if not may(actor, permission):
        raise ForbiddenError(f"the role {actor.role} does not allow {permission}; nothing was done")
