"""Bringing in bundles: who may, what is recorded of each step, and what the media take away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Appliance, assemble
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.query import Query
from appliance.bundles.imports.steps import Step
from appliance.bundles.manifest import Denied
from appliance.bundles.refusals import ContentError
from appliance.bundles.trust import fingerprint
from appliance.cli.actor import console_actor
from appliance.config import load
from appliance.errors import ForbiddenError
from appliance.identity.roles import Role
from appliance.operations.imports import ImportEvent, Imports
from tests.simulators import bundle_forge as attacks
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.fresh_state import fresh_state
from tests.unit.operations.conftest import actor

STEWARD = actor(Role.STEWARD, "steward")


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    """A fresh state folder of one test, without an engine."""
    config = load(tmp_path / "state", file=tmp_path / "none", environment={})
    fresh_state(config, console_actor())
    parts = assemble(config)
    yield parts
    parts.close()


@pytest.fixture
def imports(appliance: Appliance) -> Imports:
    return Imports(appliance, None)


@pytest.fixture
def forge(appliance: Appliance, tmp_path: Path) -> BundleForge:
    """A publisher that is trusted here."""
    desk = BundleForge(tmp_path / "desk")
    root = desk.roots[0]
    appliance.library.add_publisher("publisher", root, fingerprint(root), "usr_it")
    return desk


Recorded = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def recorded(appliance: Appliance) -> Recorded:
    """Return a function that reads the entries of an action, oldest first."""

    def read(action: str) -> list[dict[str, Any]]:
        return list(reversed(appliance.ledger.search(Query(action=action)).entries))

    return read


def good(forge: BundleForge, name: str = "bundle", version: int = 1) -> Path:
    tomorrow = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=1)
    return forge.good(name, version=version, expires=tomorrow)


def test_every_step_is_recorded(imports: Imports, forge: BundleForge, recorded: Recorded) -> None:
    """The record holds the intent, each step in order under one id, and the models at the end."""
    (model,) = imports.import_bundle(STEWARD, [good(forge)])
    intent, success = recorded("bundle.import")
    steps = recorded("bundle.step")
    assert [entry["content"]["step"] for entry in steps] == [str(step) for step in Step]
    assert {entry["content"]["import"] for entry in steps} == {intent["entity"]}
    assert (intent["outcome"], success["outcome"]) == ("intent", "success")
    known = {"name": "tiny", "version": "1.0", "digest": model.digest}
    assert success["content"]["models"] == [known]


def test_refusal_is_recorded_with_code_and_step(
    imports: Imports, forge: BundleForge, recorded: Recorded
) -> None:
    """A refused import names its error's code and the last step that was reached."""
    folder = good(forge)
    attacks.break_content(folder)
    with pytest.raises(ContentError):
        imports.import_bundle(STEWARD, [folder])
    ended = recorded("bundle.import")[-1]
    assert ended["outcome"] == "refused"
    assert (ended["content"]["code"], ended["content"]["step"]) == (
        "bundle_content",
        "space_reserved",
    )


def test_clinician_may_not_import(
    appliance: Appliance, imports: Imports, forge: BundleForge, recorded: Recorded
) -> None:
    """Without the permission nothing is opened, and the attempt is recorded."""
    with pytest.raises(ForbiddenError):
        imports.import_bundle(actor(Role.CLINICIAN, "nurse"), [good(forge)])
    assert [entry["outcome"] for entry in recorded("bundle.import")] == ["refused"]
    assert appliance.library.models() == []


def test_events_tell_bytes_and_steps(imports: Imports, forge: BundleForge) -> None:
    """Whoever watches is told of each step and of growing bytes."""
    seen: list[ImportEvent] = []
    imports.import_bundle(STEWARD, [good(forge)], seen.append)
    steps = [event.step for event in seen if event.step]
    assert steps[: len(Step)] == [str(step) for step in Step]
    done = [event.done for event in seen if event.step is None]
    assert done == sorted(done)
    assert done[-1] > 0


def test_checkpoint_of_the_record_travels_back(
    appliance: Appliance, imports: Imports, forge: BundleForge, recorded: Recorded
) -> None:
    """The medium takes a checkpoint away that covers the import, and that is recorded."""
    folder = good(forge)
    imports.import_bundle(STEWARD, [folder])
    (path,) = (folder / "returns").iterdir()
    checkpoint = SignedCheckpoint.parse(path.read_text()).checkpoint
    assert path.name == f"{checkpoint.origin.replace('/', '_')}.checkpoint"
    assert checkpoint.size > recorded("bundle.import")[-1]["seq"]
    (entry,) = recorded("record.checkpoint")
    assert entry["content"]["form"] == "medium"


def test_medium_that_cannot_be_written_is_said(imports: Imports, forge: BundleForge) -> None:
    """No checkpoint on the medium is no error: the import is done, and the reason is told."""
    folder = good(forge)
    (folder / "returns").write_text("not a folder")
    seen: list[ImportEvent] = []
    assert imports.import_bundle(STEWARD, [folder], seen.append)
    assert seen[-1].step == "checkpoint_not_left"


def test_withdrawn_model_is_recorded_as_quarantined(
    appliance: Appliance, imports: Imports, forge: BundleForge, recorded: Recorded
) -> None:
    """What a newer list denies is taken out of use, with the reason in the record."""
    (model,) = imports.import_bundle(STEWARD, [good(forge)])
    forge.denied = [Denied(model.digest, "tiny", "1.0", "unsafe")]
    forge.models.clear()
    forge.add_model("tiny", "1.1", seed=4)
    seen: list[ImportEvent] = []
    imports.import_bundle(STEWARD, [good(forge, "second", 2)], seen.append)
    assert appliance.library.get(model.id).state == "quarantined"
    intent, success = recorded("model.quarantine")
    assert (intent["entity"], success["outcome"]) == (model.id, "success")
    assert success["content"]["reason"] == "denied by its publisher: unsafe"
    assert "quarantined" in [event.step for event in seen]


@pytest.mark.parametrize("verb", ["verify_bundle", "inspect_bundle"])
def test_looking_changes_nothing(
    appliance: Appliance, imports: Imports, forge: BundleForge, recorded: Recorded, verb: str
) -> None:
    """Verifying and inspecting are recorded, and leave library, floor and medium as they were."""
    folder = good(forge)
    before = sorted(path for path in folder.rglob("*"))
    review = getattr(imports, verb)(STEWARD, [folder])
    assert [model.name for model in review.new] == ["tiny"]
    assert appliance.library.models() == []
    assert [item.targets_version for item in appliance.library.publishers()] == [0]
    assert sorted(path for path in folder.rglob("*")) == before
    action = f"bundle.{verb.partition('_')[0]}"
    assert [entry["outcome"] for entry in recorded(action)] == ["intent", "success"]
