"""A model that is answering when its publisher takes it back, with a real engine and gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import httpx
import pytest

from appliance.bundles.manifest import Denied
from tests.simulators.bundle_forge import BundleForge, sha256
from tests.simulators.clinic import CONSOLE, Clinic

WITHIN_S = 60.0


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    site = Clinic()
    yield site
    site.close()


def test_a_denied_model_answers_nobody_from_that_moment_on(clinic: Clinic) -> None:
    """Until the deny list is read the model answers; then it is refused, and its engine is gone."""
    month = datetime.now().astimezone() + timedelta(days=30)
    forge = BundleForge(clinic.folder / "desk-own")
    forge.add_model("own")
    operations, library = clinic.operations, clinic.appliance.library
    operations.trusting.add(CONSOLE, "own", forge.roots[0], sha256(forge.roots[0]))
    operations.imports.import_bundle(CONSOLE, [forge.good(expires=month)])
    model = library.by_name("own")
    operations.models.approve(clinic.actor("approver"), "own", "1.0")
    library.set_active(model.id)
    clinic.start_engine()
    key = clinic.key()
    denied = [Denied(model.digest, "own", "1.0", "it invents doses")]
    advisory = forge.advisory("advisory", version=2, denied=denied, expires=month)
    with clinic.served() as address:
        assert ask(address, key) == 200
        operations.imports.import_bundle(CONSOLE, [advisory])
        assert ask(address, key) == 403
    wait_until_empty(clinic)
    assert not (library.folder / "active.json").exists()


def wait_until_empty(clinic: Clinic) -> None:
    """Wait until the engine has let go of the model; it ends the running answers first."""
    deadline = time.monotonic() + WITHIN_S
    while clinic.appliance.engine.status().digest is not None:
        assert time.monotonic() < deadline, "the engine still holds the model"
        time.sleep(0.02)


def ask(address: str, key: str) -> int:
    """Ask a short question as a clinician's program does; return the status."""
    messages = [{"role": "user", "content": "Who are you?"}]
    answer = httpx.post(
        f"{address}/v1/chat/completions",
        json={"model": "own", "messages": messages, "max_tokens": 4},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        trust_env=False,
    )
    return answer.status_code
