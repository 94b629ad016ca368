"""Which model answers: switched without a gap, one step back, one at a time, recorded."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance import durable
from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.config import Config
from appliance.errors import (
    ConflictError,
    DiskFullError,
    ForbiddenError,
)
from appliance.inference.engine import EngineStatus
from appliance.operations import operations_for
from tests.unit.operations.activated import APPROVER, CLINICIAN, CONTEXT, Ward, make_state
from tests.unit.operations.asked import END_S, ENDLESS, SHORT, Watched, eventually


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

        def set_active(self, model_id: str, *, beside: bool) -> None:
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
