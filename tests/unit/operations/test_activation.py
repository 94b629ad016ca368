"""Which model answers: switched without a gap, one step back, one at a time, recorded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from appliance import durable
from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.bundles.activations.store import ActivationInfo
from appliance.bundles.refusals import RollbackError
from appliance.bundles.store import ModelRow
from appliance.canonical import sha256
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.errors import (
    ApplianceError,
    ConflictError,
    DiskFullError,
    EngineUnavailableError,
    ForbiddenError,
    VerificationError,
)
from appliance.identity.roles import Role
from appliance.inference.engine import Engine, EngineModel, EngineStatus
from appliance.operations import Operations, operations_for
from appliance.operations.answer_run import AnswerRun
from appliance.operations.imports import Imports
from appliance.operations.questions import Question
from appliance.operations.setup import initialise
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.evaluated import mark_evaluated
from tests.unit.operations.asked import END_S, ENDLESS, SHORT, Watched, eventually
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
    initialise(config, console_actor())
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


@pytest.fixture(scope="module")
def made() -> Iterator[Config]:
    """A state folder that nobody changes; tests work on copies of it."""
    folder = Path(tempfile.mkdtemp(prefix="act-"))
    yield make_state(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running(made: Config) -> Iterator[Config]:
    """A copy whose engine runs, for the tests of this module."""
    config = replace(made, state=made.state.with_name("running"))
    shutil.copytree(made.state, config.state)
    command = [sys.executable, "-m", "appliance.cli.main", "--state", str(config.state)]
    engine = subprocess.Popen([*command, "serve", "engine"], start_new_session=True)
    yield config
    engine.terminate()
    engine.wait(20)


@pytest.fixture
def ward(running: Config) -> Iterator[Ward]:
    """That hospital, with version 1.0 active before and after."""
    parts = assemble(running)
    own = Ward(parts, operations_for(parts))
    assert eventually(lambda: parts.engine.status().state == "ready")
    yield own
    own.verbs.activation.activate(APPROVER, "tiny", "1.0")
    for seat in parts.engine.status().seats:
        if seat.role != "active":
            parts.engine.stop(seat.digest)  # makes room at once for the next test's candidate
    own.verbs.asking.shutdown()
    parts.close()


@pytest.fixture
def still(made: Config, tmp_path: Path) -> Iterator[Ward]:
    """A copy of one test's own, without an engine."""
    config = replace(made, state=tmp_path / "state")
    shutil.copytree(made.state, config.state)
    parts = assemble(config)
    yield Ward(parts, operations_for(parts))
    parts.close()


def test_answers_go_on_while_models_are_switched_and_switched_back(ward: Ward) -> None:
    """Each question is answered whole by the model that the record names for it."""
    runs = [ward.ask(sampling=ENDLESS)]
    for step in (
        lambda: ward.verbs.activation.activate(APPROVER, "tiny", "2.0"),
        lambda: ward.verbs.activation.rollback(APPROVER),
        lambda: ward.verbs.activation.rollback(APPROVER),
    ):
        model = step()
        assert ward.active() == [model.version]
        runs.append(ward.ask(sampling=SHORT))
    ends = [run.finished(END_S) for run in runs]
    assert [end.state for end in ends] == ["complete"] * 4
    assert [run.model.version for run in runs] == ["1.0", "2.0", "1.0", "2.0"]
    # As long as the context lets it, however often the model was switched meanwhile.
    assert (ends[0].finish_reason, len(ends[0].text) > 0) == ("length", True)
    assert (ends[0].prompt_tokens or 0) + (ends[0].answer_tokens or 0) == CONTEXT


def test_an_activation_is_recorded_with_what_it_replaced(ward: Ward) -> None:
    """Intent and outcome name the model, its digest and the one before; so does a rollback."""
    first, second = (ward.parts.library.by_name("tiny", version) for version in ("1.0", "2.0"))
    assert ward.verbs.activation.activate(APPROVER, "tiny", "2.0").id == second.id
    entry = ward.newest("model.activate")
    assert (entry["outcome"], entry["entity"]) == ("success", second.id)
    assert entry["content"] == {"digest": second.digest, "previous": first.id}
    assert ward.verbs.activation.previous(APPROVER) == ward.parts.library.get(first.id)
    assert ward.verbs.activation.rollback(APPROVER).id == first.id
    entry = ward.newest("model.rollback")
    assert (entry["outcome"], entry["entity"]) == ("success", first.id)
    assert entry["content"] == {"digest": first.digest, "previous": second.id}


def test_what_is_active_may_be_activated_again(ward: Ward) -> None:
    """It changes nothing, and a rollback still goes to another model."""
    ward.verbs.activation.activate(APPROVER, "tiny", "2.0")
    ward.verbs.activation.activate(APPROVER, "tiny", "2.0")
    assert ward.verbs.activation.rollback(APPROVER).version == "1.0"


def test_of_two_activations_at_once_one_wins(ward: Ward) -> None:
    """Two people press at the same moment: one model is active, nobody hears a wrong success."""
    ended: dict[str, str] = {}
    start = threading.Barrier(2)

    def activate(version: str) -> None:
        start.wait()
        try:
            ended[version] = ward.verbs.activation.activate(APPROVER, "tiny", version).version
        except ConflictError as error:
            ended[version] = error.code

    threads = [threading.Thread(target=activate, args=(version,)) for version in ("2.0", "3.0")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [version for version, end in ended.items() if end == version]
    assert winners
    assert set(ended.values()) <= {"conflict", *winners}
    (active,) = ward.active()
    assert active in winners
    assert ward.parts.engine.status().digest == ward.digest(active)


def test_while_one_activation_runs_another_process_is_refused(ward: Ward) -> None:
    """The lock is a file, so that a terminal and a browser exclude each other."""
    lock = ward.parts.config.paths.activation_lock
    with (
        durable.exclusive(lock, "a test"),
        pytest.raises(ConflictError, match="another activation"),
    ):
        ward.verbs.activation.activate(APPROVER, "tiny", "2.0")
    assert ward.newest("model.activate")["outcome"] == "refused"
    assert ward.active() == ["1.0"]


def test_a_change_that_cannot_be_kept_lets_the_new_model_go(ward: Ward) -> None:
    """When the database refuses, the old model is active and answers, and no trace is left."""

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(ward.parts.library, name)

        def set_active(self, model_id: str) -> None:
            raise DiskFullError("no room")

    verbs = operations_for(replace(ward.parts, library=Full()))  # type: ignore[arg-type]
    before = ward.parts.activations.newest()
    with pytest.raises(DiskFullError):
        verbs.activation.activate(APPROVER, "tiny", "3.0")
    assert ward.active() == ["1.0"]
    assert ward.parts.activations.newest() == before
    roles = {seat.digest: seat.role for seat in ward.parts.engine.status().seats}
    assert roles[ward.digest("1.0")] == "active"
    assert roles.get(ward.digest("3.0")) != "candidate"
    assert ward.ask(sampling=SHORT).finished(END_S).state == "complete"


def test_an_activation_between_two_looks_is_no_finding(ward: Ward) -> None:
    """Whoever notes what the engine loaded does not blame the model that was just replaced."""
    activate, engine = ward.verbs.activation.activate, ward.parts.engine

    class Between(Watched):
        def status(self, digest: str | None = None) -> EngineStatus:
            if ward.active() == ["1.0"]:
                activate(APPROVER, "tiny", "2.0")
            return engine.status(digest)

    activation = ward.with_engine(Between(engine, lambda: None)).activation
    search = Query(action="model.load", limit=1)
    before = ward.parts.ledger.search(search).entries
    activation.note_loading()
    assert ward.parts.ledger.search(search).entries == before
    activation.note_loading()
    assert ward.newest("model.load")["outcome"] == "success"
    assert ward.newest("model.load")["entity"] == ward.parts.library.by_name("tiny", "2.0").id


def test_only_who_may_activate_goes_back(ward: Ward) -> None:
    """A refused rollback is recorded as such."""
    with pytest.raises(ForbiddenError):
        ward.verbs.activation.rollback(CLINICIAN)
    assert ward.newest("model.rollback")["outcome"] == "refused"


def test_a_model_that_cannot_answer_does_not_become_active(still: Ward) -> None:
    """The engine's reason is told and recorded; files that are whole are not quarantined."""

    class Refusing(Watched):
        def prepare(self, model: EngineModel) -> None:
            raise EngineUnavailableError("no memory for it")

    engine: Engine = still.parts.engine
    verbs = still.with_engine(Refusing(engine, lambda: None))
    with pytest.raises(EngineUnavailableError, match="no memory"):
        verbs.activation.activate(APPROVER, "tiny", "2.0")
    assert still.active() == ["1.0"]
    assert still.parts.library.by_name("tiny", "2.0").state == "approved"
    assert still.newest("model.activate")["outcome"] == "failure"


def test_altered_weights_are_quarantined_instead_of_activated(still: Ward) -> None:
    """Also with no engine to notice it; the active model stays."""
    path = still.parts.library.path_of(still.digest("2.0"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(VerificationError):
        still.verbs.activation.activate(APPROVER, "tiny", "2.0")
    assert still.active() == ["1.0"]
    assert still.parts.library.by_name("tiny", "2.0").state == "quarantined"


def test_without_an_engine_the_database_decides(still: Ward) -> None:
    """The engine finds what is active when it starts; a rollback works all the same."""
    activation = still.verbs.activation
    assert activation.activate(APPROVER, "tiny", "2.0").state == "active"
    assert still.digest("2.0") in (still.parts.config.paths.library / "active.json").read_text()
    assert activation.rollback(APPROVER).version == "1.0"
    assert still.active() == ["1.0"]


def test_there_is_no_way_back_from_the_first_model(still: Ward) -> None:
    """The message says what to do instead."""
    assert still.verbs.activation.previous(APPROVER) is None
    with pytest.raises(ConflictError, match="no other model was active"):
        still.verbs.activation.rollback(APPROVER)


def test_a_model_that_may_not_answer_is_no_way_back(still: Ward) -> None:
    """Quarantined or retired meanwhile, the former model stays away."""
    activation, library = still.verbs.activation, still.parts.library
    activation.activate(APPROVER, "tiny", "2.0")
    library.quarantine(library.by_name("tiny", "1.0").id, "found bad")
    activation.activate(APPROVER, "tiny", "3.0")
    library.retire(library.by_name("tiny", "2.0").id, "old")
    for _ in range(2):
        assert activation.previous(APPROVER) is None
        with pytest.raises(ConflictError, match="cannot answer"):
            activation.rollback(APPROVER)
        assert still.active() == ["3.0"]


@pytest.mark.parametrize("state", ["approved", "retired"])
def test_nobody_goes_back_behind_a_raised_security_epoch(still: Ward, state: str) -> None:
    """Once a version of a higher epoch was agreed to, older ones do not answer again."""
    activation = still.verbs.activation
    newer = still.parts.library.by_name("tiny", "2.0")
    change = sa.update(ModelRow).where(ModelRow.id == newer.id)
    with still.parts.databases[0].session() as session:
        session.execute(change.values(security_epoch=2))
    activation.activate(APPROVER, "tiny", "2.0")
    assert activation.previous(APPROVER) is None
    with pytest.raises(RollbackError, match="epoch 2 is agreed to here"):
        activation.rollback(APPROVER)
    with still.parts.databases[0].session() as session:
        session.execute(change.values(state=state))
    with pytest.raises(RollbackError):
        activation.activate(APPROVER, "tiny", "3.0")


def test_after_a_quarantine_the_model_before_can_come_back(still: Ward) -> None:
    """With no model active, one step back is still one step."""
    activation, library = still.verbs.activation, still.parts.library
    activation.activate(APPROVER, "tiny", "2.0")
    library.quarantine(library.by_name("tiny", "2.0").id, "found bad")
    assert still.active() == []
    assert activation.rollback(APPROVER).version == "1.0"


def test_an_activation_that_a_crash_prevented_is_passed_over(still: Ward) -> None:
    """Its row names a model that never became active."""
    activation, library = still.verbs.activation, still.parts.library
    activation.activate(APPROVER, "tiny", "2.0")
    second, third = (library.by_name("tiny", version) for version in ("2.0", "3.0"))
    lost = ActivationInfo("act_x", third.id, second.id, "activate", "usr_x", 9e9)
    still.parts.activations.add(lost)
    assert activation.rollback(APPROVER).version == "1.0"


def test_a_pin_holds_against_activation_and_rollback(still: Ward) -> None:
    """The refusal names the pin; unpinned, the activation goes through."""
    activation, models = still.verbs.activation, still.verbs.models
    activation.activate(APPROVER, "tiny", "2.0")
    models.pin(APPROVER, "tiny", None, "validated for the ward")
    attempts = (
        lambda: activation.activate(APPROVER, "tiny", "3.0"),
        lambda: activation.rollback(APPROVER),
    )
    for attempt in attempts:
        with pytest.raises(ConflictError, match=r"pinned to 2\.0"):
            attempt()
    assert still.active() == ["2.0"]
    models.unpin(APPROVER, "tiny")
    assert activation.rollback(APPROVER).version == "1.0"


def test_a_pin_put_while_a_model_loads_holds_too(still: Ward) -> None:
    """Loading takes minutes; whoever pinned meanwhile was told that the pin stands."""

    class Loading(Watched):
        def prepare(self, model: EngineModel) -> None:
            still.verbs.models.pin(APPROVER, "tiny", "1.0", "study began while it loaded")

    engine: Engine = still.parts.engine
    with pytest.raises(ConflictError, match=r"pinned to 1\.0"):
        still.with_engine(Loading(engine, lambda: None)).activation.activate(
            APPROVER, "tiny", "2.0"
        )
    assert still.active() == ["1.0"]
    assert still.parts.activations.newest(still.parts.library.by_name("tiny", "2.0").id) is None
    assert still.newest("model.activate")["outcome"] == "refused"


def test_a_version_is_chosen_among_those_that_may_answer(still: Ward) -> None:
    """Without a version it is the newest of them; a name that is not there is told."""
    library = still.parts.library
    named = still.verbs.activation.activate(APPROVER, "tiny")
    may = [model for model in library.models() if model.state in {"approved", "active"}]
    assert named.id == may[0].id
    with pytest.raises(ApplianceError, match="no model"):
        still.verbs.activation.activate(APPROVER, "other")
