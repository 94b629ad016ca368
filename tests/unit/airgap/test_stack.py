"""The table of who may know whom."""

from __future__ import annotations

import pytest

from appliance.airgap.stack import Role, strangers
from appliance.config.checks import AIRGAP_ROLES


@pytest.mark.parametrize(
    ("role", "unknown"),
    [
        (Role.EDGE, {"engine", "ledger", "ollama", "llama-server"}),
        (Role.GATEWAY, {"engine", "ledger"}),  # it speaks to both through sockets alone
        (Role.LEDGER, {"edge", "gateway", "engine", "ollama", "llama-server"}),
        (Role.ENGINE, {"edge", "gateway", "ledger", "ollama", "llama-server"}),
        (Role.OLLAMA, {"edge", "ledger", "engine"}),
        (Role.LLAMA_SERVER, {"edge", "ledger", "engine"}),
        (Role.HOST, set()),
    ],
)
def test_whom_each_must_not_know(role: Role, unknown: set[str]) -> None:
    """Everybody who shares no network with it."""
    assert set(strangers(role)) == unknown


def test_the_setting_knows_every_role_of_a_stack() -> None:
    """A new role must be one that can be set, but for programs of others, which read no setting."""
    assert set(AIRGAP_ROLES) == {"", *Role} - {Role.MACHINE, Role.OLLAMA, Role.LLAMA_SERVER}
