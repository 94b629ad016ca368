"""Roles: each has only what it needs, and nothing is allowed that is not listed."""

from __future__ import annotations

import pytest

from appliance.audit.entry import Agent
from appliance.errors import ForbiddenError
from appliance.identity.permissions import GRANTS, Actor, Permission, may, require
from appliance.identity.roles import ASSIGNABLE, Role

RECORD = {
    Permission.RECORD_READ,
    Permission.RECORD_VERIFY,
    Permission.RECORD_EXPORT,
    Permission.RECORD_PROVE,
    Permission.RECORD_ANCHOR,
    Permission.RECORD_CORRECT,
}


def actor(role: Role) -> Actor:
    return Actor(user="usr_1", name="someone", role=role, method="password")


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_listed(role: Role) -> None:
    """A role without an entry would be a gap, not a denial that somebody chose."""
    assert role in GRANTS


@pytest.mark.parametrize("permission", list(Permission))
def test_every_permission_is_granted_to_somebody(permission: Permission) -> None:
    """A permission that nobody has is a thing that cannot be done at all."""
    assert any(permission in granted for granted in GRANTS.values())


def test_accounts_are_neither_console_nor_system() -> None:
    """The two roles that stand for no account cannot be given to one."""
    assert ASSIGNABLE.isdisjoint({Role.CONSOLE, Role.SYSTEM})


def test_an_administrator_reads_no_content() -> None:
    """Managing accounts gives no way to any conversation."""
    assert not GRANTS[Role.ADMINISTRATOR] & {Permission.ASK, Permission.OWN_CONTENT}


def test_an_administrator_cannot_touch_the_record() -> None:
    """Neither reading nor exporting the record is an administrator's."""
    assert not GRANTS[Role.ADMINISTRATOR] & RECORD


def test_an_auditor_reads_the_record_and_how_models_were_validated() -> None:
    """An auditor has the record, the models' validation records and their own password."""
    models = {Permission.MODELS_LIST, Permission.MODELS_VALIDATION}
    assert GRANTS[Role.AUDITOR] == RECORD | models | {Permission.OWN_PASSWORD}


def test_a_privacy_officer_reads_the_record_and_decides_on_content() -> None:
    """Erasing and holding are theirs alone, beside the console; they take no copy of the record."""
    erase = {Permission.CONTENT_ERASE, Permission.CONTENT_HOLD, Permission.RETENTION}
    assert erase <= GRANTS[Role.PRIVACY_OFFICER]
    assert Permission.RECORD_EXPORT not in GRANTS[Role.PRIVACY_OFFICER]
    for role in Role:
        if role not in {Role.PRIVACY_OFFICER, Role.CONSOLE}:
            assert not erase & GRANTS[role]


def test_importing_and_approving_a_model_need_two_roles() -> None:
    """No account role can both bring a model in and release it."""
    both = {Permission.MODELS_IMPORT, Permission.MODELS_APPROVE}
    assert not [role for role in ASSIGNABLE if both <= GRANTS[role]]


def test_nobody_manages_accounts_and_asks() -> None:
    """Whoever can make accounts cannot ask under one."""
    both = {Permission.USERS_MANAGE, Permission.ASK}
    assert not [role for role in Role if both <= GRANTS[role]]


def test_the_system_is_granted_nothing() -> None:
    """Events that no person caused come with no power to act."""
    assert GRANTS[Role.SYSTEM] == frozenset()


def test_grants_cannot_be_changed_at_run_time() -> None:
    """A line of code that adds a grant fails."""
    with pytest.raises(TypeError):
        GRANTS[Role.CLINICIAN] = frozenset(Permission)  # type: ignore[index]


def test_require_refuses_what_is_not_granted() -> None:
    """The refusal names the role and the permission, so that a person can ask for it."""
    with pytest.raises(ForbiddenError, match=r"clinician.*users\.manage"):
        require(actor(Role.CLINICIAN), Permission.USERS_MANAGE)


@pytest.mark.parametrize("role", list(Role))
def test_require_and_may_agree(role: Role) -> None:
    """What a page shows is what an operation allows."""
    for permission in Permission:
        if may(actor(role), permission):
            require(actor(role), permission)
        else:
            with pytest.raises(ForbiddenError):
                require(actor(role), permission)


def test_the_record_takes_the_agent_fields() -> None:
    """The fields of an actor are those of the record's agent, without the user's name."""
    by_key = Actor("usr_1", "ada", Role.STEWARD, "api_key", "key_9", "10.0.0.7")
    assert Agent(**by_key.agent_fields()) == Agent("usr_1", "steward", "api_key", "key_9")
