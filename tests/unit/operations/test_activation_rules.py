"""What may become active, and what is a way back: decided before any engine is asked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.assembly import assemble
from appliance.bundles.activations.store import ActivationInfo
from appliance.bundles.refusals import RollbackError
from appliance.bundles.store import ModelRow
from appliance.config import Config
from appliance.errors import (
    ApplianceError,
    ConflictError,
    EngineUnavailableError,
    VerificationError,
)
from appliance.inference.engine import Engine, EngineModel
from appliance.operations import operations_for
from tests.unit.operations.activated import APPROVER, Ward, make_state
from tests.unit.operations.asked import Watched


@pytest.fixture(scope="module")
def made() -> Iterator[Config]:
    """A state folder that nobody changes; tests work on copies of it."""
    folder = Path(tempfile.mkdtemp(prefix="act-"))
    yield make_state(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def still(made: Config, tmp_path: Path) -> Iterator[Ward]:
    """A copy of one test's own, without an engine."""
    config = replace(made, state=tmp_path / "state")
    shutil.copytree(made.state, config.state)
    parts = assemble(config)
    yield Ward(parts, operations_for(parts))
    parts.close()


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
