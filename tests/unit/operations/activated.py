"""A ward with three approved versions of one model, for the tests of activation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.canonical import sha256
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.answer_run import AnswerRun
from appliance.operations.imports import Imports
from appliance.operations.questions import Question
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.fresh_state import fresh_state
from tests.unit.operations.conftest import actor

APPROVER = actor(Role.APPROVER, "approver")
CLINICIAN = actor(Role.CLINICIAN, "nurse")
VERSIONS = ("1.0", "2.0", "3.0")
CONTEXT = 512


def make_state(folder: Path) -> Config:
    """Make a state folder with three approved versions of one model; the first is active."""
    config = load(
        folder / "state", file=folder / "none", environment={"APPLIANCE_ENGINE__THREADS": "1"}
    )
    fresh_state(config, console_actor())
    appliance = assemble(config)
    verbs = operations_for(appliance)
    forge = BundleForge(folder / "desk")
    for seed, version in enumerate(VERSIONS):
        forge.add_model("tiny", version, seed=seed)
    bundle = forge.good(expires=datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1))
    root = (bundle / "metadata/1.root.json").read_bytes()
    verbs.trusting.add(console_actor(), "tests", root, sha256(root).hex())
    Imports(appliance, None).import_bundle(actor(Role.STEWARD, "steward"), [bundle])
    for version in VERSIONS:
        mark_evaluated(appliance, appliance.library.by_name("tiny", version))
        verbs.models.approve(APPROVER, "tiny", version)
    verbs.activation.activate(APPROVER, "tiny", "1.0")
    appliance.close()
    return config


@dataclass
class Ward:
    """The parts and verbs over a state folder."""

    parts: Appliance
    verbs: Operations

    def active(self) -> list[str]:
        return [model.version for model in self.parts.library.models() if model.state == "active"]

    def digest(self, version: str) -> str:
        return self.parts.library.by_name("tiny", version).digest

    def newest(self, action: str) -> dict[str, Any]:
        """Return the newest entry of an action."""
        return dict(self.parts.ledger.search(Query(action=action, limit=1)).entries[0])

    def ask(self, **wish: Any) -> AnswerRun:
        return self.verbs.asking.ask(CLINICIAN, Question.of("hello", **wish))

    def with_engine(self, engine: Any) -> Operations:
        return operations_for(replace(self.parts, engine=engine))
