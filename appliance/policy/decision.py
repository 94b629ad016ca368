"""The one policy function: may a role use a model for a purpose (pure).

The list of models, the pages, the API and the admission to the engine all ask `decide`, so that
none can offer what another refuses, nor run what the list hides. It is deny by default: the last
line of `decide` is the only one that allows.

Not here: what an actor may do besides asking (`identity/permissions.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

ACTIVE = "active"


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model: SHA-256 of its weights in hex, state, who may use it."""

    name: str
    version: str
    digest: str
    state: str
    roles: frozenset[str]
    demo: bool


@dataclass(frozen=True)
class Decision:
    """The answer: `rule` is a stable name that goes into the record, `reason` is for a person."""

    allowed: bool
    rule: str
    reason: str


def decide(
    actor_role: str, model: ModelFacts | None, purpose: str, purposes: tuple[str, ...]
) -> Decision:
    """Return whether `actor_role` may use `model` for `purpose`.

    1. The purpose of use must be one the site allows.
    2. The model must exist and be released for the role.
    3. The model must be active: approved by two people and not withdrawn since.
    """
    if purpose not in purposes:
        return _refuse("purpose-unknown", "this purpose of use is not one that the site allows")
    if model is None:
        return _refuse("model-unknown", "there is no model of that name")
    if actor_role not in model.roles:
        return _refuse("model-not-for-role", f"{model.name} is not released for this role")
    if model.state != ACTIVE:
        return _refuse("model-not-active", f"{model.name} {model.version} is not active")
    return Decision(
        True, "model-active-and-allowed", f"{model.name} is active and released for this role"
    )


def _refuse(rule: str, reason: str) -> Decision:
    return Decision(False, rule, reason)
