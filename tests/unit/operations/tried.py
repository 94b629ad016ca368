"""A hospital that tries models: its publisher, its people, and what runs on its machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.query import Query
from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.bundles.inventory import ModelInfo
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from tests.simulators.bundle_forge import BundleForge

STEWARD = Actor("usr_steward", "steward", Role.STEWARD, "password")
APPROVER = Actor("usr_approver", "approver", Role.APPROVER, "password")
CLINICIAN = Actor("usr_nurse", "nurse", Role.CLINICIAN, "password")
# The tiny model writes nonsense and never ends by itself: one prompt that it meets, one not.
TINY = (
    {"id": "long", "prompt": "How are you?", "max_tokens": 30, "required": True,
     "expect": {"min_characters": 20}, "why": "it writes"},
    {"id": "polite", "prompt": "How are you?", "max_tokens": 30,
     "expect": {"contains": ["thank you"]}, "why": "it thanks"},
)  # fmt: skip


@dataclass
class Hospital:
    """A state folder, and a publisher that it trusts."""

    appliance: Appliance
    forge: BundleForge

    def bring_in(self, *models: str) -> None:
        """Import a bundle of everything on the publisher's desk."""
        version = len(list(self.forge.desk.glob("stick-*"))) + 1
        expires = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1)
        bundle = self.forge.good(f"stick-{version}", version=version, expires=expires)
        library = self.appliance.library
        library.import_bundle([bundle], self.appliance.clock.now(), STEWARD.user)

    def add(self, name: str, *, seed: int, prompts: object = TINY) -> ModelInfo:
        """Import one more tiny model."""
        source = self.forge.add_model(name, seed=seed)
        source.prompts.write_text("\n".join(map(json.dumps, prompts)))  # type: ignore[call-overload]
        self.bring_in()
        return self.appliance.library.by_name(name)

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        """Return what the record says, oldest first."""
        return list(reversed(self.appliance.ledger.search(Query(**filters)).entries))

    def runs(self, model: ModelInfo) -> tuple[EvaluationInfo, ...]:
        return self.appliance.evaluations.of_model(model.id)


def model_processes(state: Path) -> list[int]:
    """Return the process groups of models that this process tries out."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(state) in words and "model" in words:
                found.append(int(folder.name))
    return found


def killing(state: Path) -> Callable[[int, int], None]:
    """Return a progress that kills the model's process once the first answer is there."""

    def step(done: int, total: int) -> None:
        if done == 1:
            for pid in model_processes(state):
                os.kill(pid, signal.SIGKILL)

    return step
