"""A whole state folder with a tiny real model, its engine in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.canonical import sha256
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.errors import ConflictError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.imports import Imports
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.fresh_state import fresh_state

PATIENCE_S = 60


def make_state(folder: Path) -> Config:
    """Make a state folder with an active tiny model; imported by one, approved by another."""
    config = load(
        folder / "state", file=folder / "none", environment={"APPLIANCE_ENGINE__THREADS": "1"}
    )
    fresh_state(config, console_actor())
    appliance = assemble(config)
    verbs = operations_for(appliance)
    expires = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1)
    forge = BundleForge(folder / "desk")
    bundle = forge.good(expires=expires)
    root = (bundle / "metadata/1.root.json").read_bytes()
    verbs.trusting.add(console_actor(), "tests", root, sha256(root).hex())
    Imports(appliance, None).import_bundle(actor(Role.STEWARD, "steward"), [bundle])
    mark_evaluated(appliance, appliance.library.by_name("tiny"))
    verbs.models.approve(actor(Role.APPROVER, "approver"), "tiny")
    verbs.activation.activate(actor(Role.APPROVER, "approver"), "tiny")
    appliance.close()
    return config


def actor(role: Role, name: str) -> Actor:
    """Return somebody who has proved who they are."""
    return Actor(
        user=f"usr_{name}", name=name, role=role, method="password", credential=None,
        source="127.0.0.1",
    )  # fmt: skip


@pytest.fixture(scope="session")
def engine_state() -> Iterator[Config]:
    """A state folder whose engine runs; shared, so tests must not change its models."""
    folder = Path(tempfile.mkdtemp(prefix="ops-"))
    config = make_state(folder)
    command = [sys.executable, "-m", "appliance.cli.main", "--state", str(config.state)]
    engine = subprocess.Popen([*command, "serve", "engine"], start_new_session=True)
    deadline = time.monotonic() + PATIENCE_S
    appliance = assemble(config)
    while appliance.engine.status().state != "ready":
        assert time.monotonic() < deadline, "the engine did not become ready"
        time.sleep(0.1)
    appliance.close()
    yield config
    engine.terminate()
    engine.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def appliance(engine_state: Config) -> Iterator[Appliance]:
    """The parts over that state, with the record opened in this process."""
    parts = assemble(engine_state)
    yield parts
    with suppress(ConflictError):
        parts.close()


@pytest.fixture
def operations(appliance: Appliance) -> Operations:
    """Every verb over those parts."""
    return operations_for(appliance)


@pytest.fixture
def clinician(appliance: Appliance) -> Actor:
    """A fresh clinician of this test alone, with an account."""
    name = f"nurse{time.monotonic_ns()}"
    user = appliance.people.add(name, Role.CLINICIAN, "$argon2id$not-used")
    return Actor(
        user=user.id, name=name, role=Role.CLINICIAN, method="password", credential=None,
        source="127.0.0.1",
    )  # fmt: skip


@pytest.fixture
def entries(appliance: Appliance) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that reads entries by filter, oldest first."""

    def read(**filters: Any) -> list[dict[str, Any]]:
        return list(reversed(appliance.ledger.search(Query(**filters)).entries))

    return read
