"""The shape of every operation: authorise, record the intent, do it, record the outcome.

If the intent cannot be recorded, the thing is not done (promise 1). A refusal is recorded too.
Not here: what the things are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.audit.actions import Outcome
from appliance.audit.entry import Agent, Event
from appliance.audit.ledger import Ledger, Receipt
from appliance.bundles.refusals import BundleError
from appliance.errors import (
    ApplianceError,
    BadInputError,
    CertificateError,
    ConflictError,
    ForbiddenError,
    LockedOutError,
    NotFoundError,
    NotSignedInError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.identity.roles import Role

IDENTIFIER = re.compile("[a-z]{3}_[0-9a-f]{24}")
REFUSALS = (
    BadInputError,
    BundleError,
    CertificateError,
    ConflictError,
    ForbiddenError,
    LockedOutError,
    NotFoundError,
    NotSignedInError,
)


def system(part: str) -> Actor:
    """Return the actor that stands for a part of the appliance acting by itself."""
    return Actor(
        user=f"system:{part}", name=part, role=Role.SYSTEM, method="internal",
        credential=None, source=None,
    )  # fmt: skip


def event_of(actor: Actor, action: str, outcome: Outcome, **stated: Any) -> Event:
    """Return what the record will hold of an actor's doing; `stated` are fields of `Event`."""
    agent = Agent(**actor.agent_fields())
    return Event(action=action, outcome=outcome, agent=agent, source=actor.source, **stated)


@dataclass
class Change:
    """What an operation learns while it runs and wants in its outcome."""

    entity: str | None
    facts: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """Writes what operations do into the record, always in the same form."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def note(self, actor: Actor, action: str, outcome: Outcome, **stated: Any) -> Receipt:
        """Append one event and return when it is durable."""
        return self._ledger.append(event_of(actor, action, outcome, **stated))

    def authorise(
        self, actor: Actor, permission: Permission, action: str, entity: str | None = None
    ) -> None:
        """Return if the actor may; otherwise record the refusal and raise ForbiddenError."""
        try:
            require(actor, permission)
        except ForbiddenError as error:
            self.refuse(actor, action, error, entity)
            raise

    def refuse(
        self, actor: Actor, action: str, error: ApplianceError, entity: str | None = None
    ) -> None:
        """Record that `action` was refused, and why, by its code."""
        self.note(
            actor, action, Outcome.REFUSED,
            entity=identifier(entity), content={"code": error.code},
        )  # fmt: skip

    @contextlib.contextmanager
    def change(
        self,
        actor: Actor,
        permission: Permission | None,
        action: str,
        entity: str | None = None,
        **facts: Any,
    ) -> Iterator[Change]:
        """Wrap the doing of `action` in its intent and its outcome.

        `permission` is null only where proving who one is, is itself the action (signing in).
        """
        if permission is not None:
            self.authorise(actor, permission, action, entity)
        known = identifier(entity)
        self.note(actor, action, Outcome.INTENT, entity=known, content=facts or None)
        change = Change(known, dict(facts))
        try:
            yield change
        except BaseException as error:
            self._failed(actor, action, change, error)
            raise
        self.note(
            actor, action, Outcome.SUCCESS, entity=change.entity, content=change.facts or None
        )

    def _failed(self, actor: Actor, action: str, change: Change, error: BaseException) -> None:
        code = error.code if isinstance(error, ApplianceError) else "internal"
        outcome = Outcome.REFUSED if isinstance(error, REFUSALS) else Outcome.FAILURE
        # When the record itself is what failed, the intent without an outcome tells the story.
        with contextlib.suppress(ApplianceError):
            self.note(
                actor, action, outcome, entity=change.entity, content={**change.facts, "code": code}
            )


def identifier(text: str | None) -> str | None:
    """Return an id of ours as it is, and null for any other text: the record is for ever."""
    return text if text is not None and IDENTIFIER.fullmatch(text) else None
