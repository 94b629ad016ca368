"""With an engine of somebody else, nothing of ours is started for it, and the doctor says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.checks.finding import Patient
from appliance.cli.checks.services import engine
from appliance.cli.supervisor import Supervisor
from appliance.config import Config, load

NOWHERE = "http://127.0.0.1:9"


def configured(folder: Path, kind: str) -> Config:
    given = {"APPLIANCE_ENGINE__KIND": kind}
    if kind != "llama":
        given["APPLIANCE_ENGINE__URL"] = NOWHERE
    return load(folder / "state", file=folder / "none", environment=given)


@pytest.mark.parametrize(
    ("kind", "started"),
    [
        ("llama", ["ledger", "engine", "gateway"]),
        ("openai", ["ledger", "gateway"]),
        ("ollama", ["ledger", "gateway"]),
    ],
)
def test_only_our_own_engine_is_started(tmp_path: Path, kind: str, started: list[str]) -> None:
    """Whoever runs another server starts and restarts it; here are the other parts alone."""
    supervisor = Supervisor(configured(tmp_path, kind), print)
    assert [part.name for part in supervisor._parts] == started


@pytest.mark.parametrize("kind", ["openai", "ollama"])
def test_the_doctor_names_the_server_that_does_not_answer(tmp_path: Path, kind: str) -> None:
    """Where it was looked for, and no advice to start an engine that is not ours."""
    found = engine(Patient(configured(tmp_path, kind)))
    assert found.verdict == "fail"
    assert f"the {kind} server at {NOWHERE} does not answer" in found.found
    assert "appliance run" not in found.next
