"""A second model beside the one that answers by default: the same rules, asked by its name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.bundles.inventory import ModelInfo
from appliance.canonical import sha256
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.errors import ConflictError, ForbiddenError, VerificationError
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.imports import Imports
from appliance.operations.questions import Question
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.fresh_state import fresh_state
from tests.unit.operations.activated import APPROVER, CLINICIAN
from tests.unit.operations.asked import eventually
from tests.unit.operations.conftest import actor

MODELS = (("zeta", "1.0"), ("alpha", "1.0"), ("alpha", "2.0"))


@pytest.fixture(scope="module")
def made() -> Iterator[Config]:
    """A state folder with three approved models; the one whose name sorts last is active."""
    folder = Path(tempfile.mkdtemp(prefix="two-"))
    config = load(
        folder / "state", file=folder / "none", environment={"APPLIANCE_ENGINE__THREADS": "1"}
    )
    fresh_state(config, console_actor())
    appliance = assemble(config)
    verbs = operations_for(appliance)
    forge = BundleForge(folder / "desk")
    for seed, (name, version) in enumerate(MODELS):
        forge.add_model(name, version, seed=seed)
    bundle = forge.good(expires=datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1))
    root = (bundle / "metadata/1.root.json").read_bytes()
    verbs.trusting.add(console_actor(), "tests", root, sha256(root).hex())
    Imports(appliance, None).import_bundle(actor(Role.STEWARD, "steward"), [bundle])
    for name, version in MODELS:
        mark_evaluated(appliance, appliance.library.by_name(name, version))
        verbs.models.approve(APPROVER, name, version)
    verbs.activation.activate(APPROVER, "zeta")
    appliance.close()
    yield config
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Ward:
    """The parts and verbs over a copy of that state."""

    parts: Appliance
    verbs: Operations

    def named(self) -> dict[str, str]:
        """Return what `active.json` names, and in which place."""
        path = self.parts.library.folder / "active.json"
        found = json.loads(path.read_bytes()) if path.exists() else {}
        return {place: f"{item['name']} {item['version']}" for place, item in found.items()}

    def record(self, action: str) -> list[dict[str, Any]]:
        return list(self.parts.ledger.search(Query(action=action)).entries)

    def beside(self, version: str = "1.0") -> ModelInfo:
        return self.verbs.activation.activate(APPROVER, "alpha", version, beside=True)

    def answered(self, **wish: Any) -> str:
        """Ask a question and return the name of the model that answered it."""
        run = self.verbs.asking.ask(CLINICIAN, Question.of("hello", **wish))
        assert eventually(lambda: run.snapshot().ended)
        assert run.snapshot().state == "complete"
        return run.model.name


@pytest.fixture
def ward(made: Config, tmp_path: Path) -> Iterator[Ward]:
    config = replace(made, state=tmp_path / "state")
    shutil.copytree(made.state, config.state)
    parts = assemble(config)
    yield Ward(parts, operations_for(parts))
    parts.close()


@pytest.fixture
def running(ward: Ward) -> Iterator[Ward]:
    """The same with its engine."""
    state = str(ward.parts.config.state)
    command = [sys.executable, "-m", "appliance.cli.main", "--state", state]
    engine = subprocess.Popen([*command, "serve", "engine"], start_new_session=True)
    assert eventually(lambda: ward.parts.engine.status().state == "ready")
    yield ward
    ward.verbs.asking.shutdown()
    engine.terminate()
    engine.wait(20)


def test_both_answer_by_name_and_the_first_without_one(running: Ward) -> None:
    """Each question goes to the model that it names; the default is not the first by alphabet."""
    running.beside()
    assert running.named() == {"model": "zeta 1.0", "beside": "alpha 1.0"}
    assert running.answered() == "zeta"
    assert running.answered(model="alpha") == "alpha"
    assert running.answered(model="zeta") == "zeta"
    offered = running.verbs.asking.models_for(CLINICIAN)
    assert [facts.name for facts in offered] == ["zeta", "alpha"]


def test_each_is_started_again_by_itself(running: Ward) -> None:
    """A model that ends takes nothing from the one beside it, and both are noted as loaded."""
    second = running.beside()
    running.verbs.activation.note_loading()
    running.verbs.activation.note_loading()
    loads = running.record("model.load")
    assert sorted(entry["model"]["name"] for entry in loads) == ["alpha", "zeta"]
    running.parts.engine.stop(second.digest)
    assert running.answered() == "zeta"
    assert eventually(lambda: running.parts.engine.status(second.digest).state == "ready")
    assert running.answered(model="alpha") == "alpha"


def test_a_released_model_finishes_and_answers_no_more(running: Ward) -> None:
    """The default goes on as if nothing had been; the record says which one was let go."""
    second = running.beside()
    assert running.answered(model="alpha") == "alpha"
    assert running.verbs.activation.release(APPROVER, "alpha").state == "approved"
    assert running.named() == {"model": "zeta 1.0"}
    with pytest.raises(ForbiddenError):
        running.answered(model="alpha")
    assert running.answered() == "zeta"
    newest = running.record("model.release")[0]
    assert newest["content"] == {"beside": True, "digest": second.digest}


def test_the_record_says_that_it_answers_beside(ward: Ward) -> None:
    """Intent and outcome, as of any activation; the default's say nothing of it."""
    second = ward.beside()
    outcome, intent, *_, before = ward.record("model.activate")
    assert intent["content"] == {"beside": True}
    assert outcome["content"] == {"beside": True, "digest": second.digest}
    assert "beside" not in (before["content"] or {})


def test_only_who_may_activate_does_so_beside(ward: Ward) -> None:
    """Beside is no way around the permission, and the refusal is recorded."""
    activation = ward.verbs.activation
    for attempt in (
        lambda: activation.activate(CLINICIAN, "alpha", beside=True),
        lambda: activation.rollback(CLINICIAN, beside=True),
        lambda: activation.release(CLINICIAN, "alpha"),
    ):
        with pytest.raises(ForbiddenError):
            attempt()
    assert ward.record("model.release")[0]["outcome"] == "refused"


def test_each_place_goes_back_by_itself(ward: Ward) -> None:
    """One step back beside does not touch the default, and the other way round."""
    activation = ward.verbs.activation
    ward.beside("1.0")
    assert activation.previous(APPROVER, beside=True) is None
    ward.beside("2.0")
    before = activation.previous(APPROVER, beside=True)
    assert before is not None
    assert (before.name, before.version) == ("alpha", "1.0")
    assert activation.previous(APPROVER) is None
    activation.rollback(APPROVER, beside=True)
    assert ward.named() == {"model": "zeta 1.0", "beside": "alpha 1.0"}
    with pytest.raises(ConflictError, match="no other model"):
        activation.rollback(APPROVER)


def test_the_second_can_become_the_default(ward: Ward) -> None:
    """It takes over the first place, and the second one is free; one step back undoes it."""
    activation = ward.verbs.activation
    ward.beside()
    activation.activate(APPROVER, "alpha", "1.0")
    assert ward.named() == {"model": "alpha 1.0"}
    activation.rollback(APPROVER)
    assert ward.named() == {"model": "zeta 1.0"}


def test_two_models_of_one_name_never_answer_at_once(ward: Ward) -> None:
    """Who asks by name has to know who answers; nor may the default stand in both places."""
    activation = ward.verbs.activation
    ward.beside("1.0")
    with pytest.raises(ConflictError, match="cannot be told apart"):
        activation.activate(APPROVER, "alpha", "2.0")
    with pytest.raises(ConflictError, match="by default already"):
        activation.activate(APPROVER, "zeta", beside=True)
    assert ward.named() == {"model": "zeta 1.0", "beside": "alpha 1.0"}


def test_beside_nothing_is_nowhere(ward: Ward) -> None:
    """Without a default, the first model is activated as such."""
    ward.parts.library.quarantine(ward.parts.library.by_name("zeta").id, "found bad")
    with pytest.raises(ConflictError, match="answers by default"):
        ward.beside()
    assert ward.named() == {}


def test_a_quarantine_of_the_default_leaves_the_other(ward: Ward) -> None:
    """It answers by default then, and another one can take the first place."""
    ward.beside()
    ward.parts.library.quarantine(ward.parts.library.by_name("zeta").id, "found bad")
    assert ward.named() == {"model": "alpha 1.0"}
    assert [facts.name for facts in ward.verbs.asking.models_for(CLINICIAN)] == ["alpha"]


def test_altered_weights_are_quarantined_and_not_activated_beside(ward: Ward) -> None:
    """They are hashed again for this place too; the default answers on."""
    path = ward.parts.library.path_of(ward.parts.library.by_name("alpha", "1.0").digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError):
        ward.beside()
    assert ward.parts.library.by_name("alpha", "1.0").state == "quarantined"
    assert ward.named() == {"model": "zeta 1.0"}


def test_pins_and_retirement_know_the_second_place(ward: Ward) -> None:
    """A pinned model is neither replaced nor released there, and an active one not retired."""
    activation, models = ward.verbs.activation, ward.verbs.models
    ward.beside("1.0")
    with pytest.raises(ConflictError, match="answers at present"):
        models.retire(APPROVER, "alpha", "1.0", "no longer wanted")
    models.pin(APPROVER, "alpha", "1.0", "validated for the ward")
    for attempt in (lambda: ward.beside("2.0"), lambda: activation.release(APPROVER, "alpha")):
        with pytest.raises(ConflictError, match="pinned"):
            attempt()
    models.unpin(APPROVER, "alpha")
    activation.release(APPROVER, "alpha")
    with pytest.raises(ConflictError, match="no model alpha answers beside"):
        activation.release(APPROVER, "alpha")


def test_a_withdrawn_publisher_takes_both_out_of_use(ward: Ward) -> None:
    """Nothing of it answers from that moment on, in either place."""
    ward.beside()
    revoked = ward.verbs.trusting.revoke(console_actor(), "tests", "its key was stolen")
    assert {model.name for model in revoked.models} == {"zeta", "alpha"}
    assert ward.named() == {}
    assert ward.verbs.asking.models_for(CLINICIAN) == []
