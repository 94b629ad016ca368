"""Trying models with their golden prompts: real bundles, real throw-away engines, the record."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import durable
from appliance.assembly import assemble
from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.trust import fingerprint
from appliance.cli.actor import console_actor
from appliance.clock import new_id
from appliance.config import load
from appliance.errors import (
    ConflictError,
    EngineUnavailableError,
    ForbiddenError,
    VerificationError,
)
from appliance.operations.comparison import IMPROVED, SAME, WORSE
from appliance.operations.evaluation import LOCK, Evaluations
from appliance.operations.validation import Validations
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.fresh_state import fresh_state
from tests.unit.operations.tried import (
    APPROVER,
    CLINICIAN,
    STEWARD,
    TINY,
    Hospital,
    killing,
    model_processes,
)

DEMO = Path(__file__).resolve().parents[3] / "models" / "demo"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BundleForge]:
    """A state folder without models that trusts a publisher; made once, for tests to copy."""
    folder = tmp_path_factory.mktemp("fresh")
    config = load(folder / "s", file=folder / "none", environment={})
    fresh_state(config, console_actor())
    forge = BundleForge(folder / "desk")
    appliance = assemble(config)
    root = forge.roots[0]
    appliance.library.add_publisher("tests", root, fingerprint(root), STEWARD.user)
    appliance.close()
    return config.state, forge


@pytest.fixture
def hospital(fresh: tuple[Path, BundleForge], tmp_path: Path) -> Iterator[Hospital]:
    """A fresh state folder of this test alone, and its publisher's empty desk."""
    made, publisher = fresh
    state = Path(shutil.copytree(made, tmp_path / "s"))
    environment = {"APPLIANCE_ENGINE__THREADS": "1"}
    appliance = assemble(load(state, file=tmp_path / "none", environment=environment))
    (tmp_path / "desk").mkdir()
    forge = BundleForge(tmp_path / "desk", publisher.signers)
    forge.roots = publisher.roots
    yield Hospital(appliance, forge)
    appliance.close()


def test_the_demo_model_meets_its_own_golden_prompts(hospital: Hospital) -> None:
    """Every prompt published with the demo passes on the real demo, and it becomes `evaluated`."""
    source = hospital.forge.add_model("other")
    shutil.copy(next(DEMO.glob("bundle/targets/*/*.gguf")), source.gguf)
    shutil.copy(DEMO / "card.toml", source.card)
    shutil.copy(DEMO / "eval.jsonl", source.prompts)
    hospital.bring_in()
    told: list[tuple[int, int]] = []
    evaluations = Evaluations(hospital.appliance)
    done = evaluations.evaluate(STEWARD, "demo", progress=lambda *step: told.append(step))
    assert [item.id for item in done.results if not item.passed] == []
    assert done.passed == len(done.results) == told[-1][1] > 10
    model = hospital.appliance.library.by_name("demo")
    assert model.state == "evaluated"
    assert done.prompts_sha256 == model.files["eval"]
    assert model_processes(hospital.appliance.config.state) == []


def test_a_model_that_fails_prompts_is_evaluated_all_the_same(hospital: Hospital) -> None:
    """The numbers are kept and recorded between an intent and a success; a person decides."""
    model = hospital.add("tiny", seed=1)
    evaluations = Evaluations(hospital.appliance)
    done = evaluations.evaluate(STEWARD, "tiny")
    assert (done.state, done.passed, done.failed, done.required_failed) == ("done", 1, 1, 0)
    assert hospital.appliance.library.get(model.id).state == "evaluated"
    intent, success = hospital.entries(action="model.evaluate")
    assert (intent["outcome"], success["outcome"]) == ("intent", "success")
    assert success["entity"] == model.id
    assert success["content"] == {
        "digest": model.digest, "evaluation": done.id, "prompts": model.files["eval"],
        "engine": done.engine, "passed": 1, "failed": 1,
    }  # fmt: skip
    shown = evaluations.of(APPROVER, "tiny")
    assert shown.evaluation == done
    assert shown.comparison is None
    assert evaluations.compare(STEWARD, "tiny") is None


def test_a_candidate_is_compared_with_the_active_model(hospital: Hospital) -> None:
    """The active model gets the candidate's prompts, once; each is improved, same or worse."""
    library, evaluations = hospital.appliance.library, Evaluations(hospital.appliance)
    active = hospital.add("old", seed=1)
    library.set_evaluated(active.id)
    library.set_approved(active.id, APPROVER.user, ["clinician"])
    library.set_active(active.id)
    (said, _) = evaluations.evaluate(STEWARD, "old").results
    prompts = [
        {**TINY[0], "id": "as-new", "expect": {"excludes": [said.answer]}},
        {**TINY[0], "id": "as-old", "expect": {"contains": [said.answer]}},
        {**TINY[0], "id": "both"}, {**TINY[1], "id": "none"},
    ]  # fmt: skip
    new = hospital.add("new", seed=2, prompts=prompts)
    with pytest.raises(ConflictError, match="not evaluated"):
        evaluations.compare(STEWARD, "new")
    evaluations.evaluate_imported(STEWARD, new)
    assert len(hospital.runs(active)) == 2
    found = evaluations.compare(STEWARD, "new")
    assert found is not None
    assert {item.id: item.change for item in found.prompts} == {
        "as-new": IMPROVED, "as-old": WORSE, "both": SAME, "none": SAME,
    }  # fmt: skip
    assert found.active_name == "old 1.0"
    assert len(hospital.runs(active)) == 2
    assert evaluations.of(APPROVER, "new").comparison == found
    assert library.get(active.id).state == "active"
    recorded = hospital.entries(action="model.evaluate", entity=active.id)
    assert [entry["content"].get("compared_with") for entry in recorded] == [None, new.id]


def test_an_engine_that_dies_ends_the_evaluation_as_failed(hospital: Hospital) -> None:
    """The reason is kept and recorded, the model stays as it was, and no process is left."""
    model = hospital.add("tiny", seed=1)
    state = hospital.appliance.config.state
    with pytest.raises(EngineUnavailableError):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny", progress=killing(state))
    (run,) = hospital.runs(model)
    assert run.state == "failed"
    assert run.reason
    assert hospital.appliance.library.get(model.id).state == "imported"
    failure = hospital.entries(action="model.evaluate")[-1]
    assert failure["outcome"] == "failure"
    assert failure["content"]["evaluation"] == run.id
    assert model_processes(state) == []


def test_altered_weights_are_quarantined_and_not_asked(hospital: Hospital) -> None:
    """Weights that differ from what was signed load nowhere; the attempt takes them out of use."""
    model = hospital.add("tiny", seed=1)
    path = hospital.appliance.library.path_of(model.digest)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")
    assert hospital.appliance.library.get(model.id).state == "quarantined"
    assert hospital.runs(model)[0].state == "failed"
    with pytest.raises(ConflictError, match="quarantined"):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")


def test_altered_golden_prompts_are_not_asked(hospital: Hospital) -> None:
    """Prompts that differ from what was signed are refused before any engine starts."""
    model = hospital.add("tiny", seed=1)
    path = hospital.appliance.library.folder / f"{model.files['eval']}.eval"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"thank you", b"THANK YOU"))
    with pytest.raises(DamagedModelError):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")
    path.unlink()
    with pytest.raises(DamagedModelError):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")
    assert hospital.runs(model) == ()


def test_one_evaluation_runs_at_a_time(hospital: Hospital) -> None:
    """A second one is refused, whoever asks, and leaves nothing behind."""
    model = hospital.add("tiny", seed=1)
    lock = hospital.appliance.config.paths.run / LOCK
    with durable.exclusive(lock, "a test"), pytest.raises(ConflictError, match="another"):
        Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")
    assert hospital.runs(model) == ()
    assert hospital.entries(action="model.evaluate")[-1]["outcome"] == "refused"


def test_what_a_crash_left_running_is_closed_at_the_next_look(hospital: Hospital) -> None:
    """It is `failed` in the database and in the record, unless the one who runs it is alive."""
    model = hospital.add("tiny", seed=1)
    left = EvaluationInfo(
        id=new_id("evl"), model=model.id, digest=model.digest, prompts_sha256="", engine="e",
        by=STEWARD.user, state="running", reason="", started=1.0, finished=None,
        passed=0, failed=0,
    )  # fmt: skip
    hospital.appliance.evaluations.start(left)
    evaluations = Evaluations(hospital.appliance)
    with durable.exclusive(hospital.appliance.config.paths.run / LOCK, "a run that lives"):
        assert evaluations.of(STEWARD, "tiny").runs[0].state == "running"
    assert evaluations.of(STEWARD, "tiny").runs[0].state == "failed"
    (entry,) = hospital.entries(action="model.evaluate")
    assert (entry["outcome"], entry["entity"]) == ("failure", model.id)
    assert entry["content"] == {"evaluation": left.id, "code": "interrupted"}


def test_only_who_may_evaluate_does(hospital: Hospital) -> None:
    """A clinician is refused, which is recorded; nothing runs."""
    model = hospital.add("tiny", seed=1)
    evaluations = Evaluations(hospital.appliance)
    with pytest.raises(ForbiddenError):
        evaluations.evaluate(CLINICIAN, "tiny")
    with pytest.raises(ForbiddenError):
        evaluations.compare(CLINICIAN, "tiny")
    with pytest.raises(ForbiddenError):
        Validations(hospital.appliance).make(CLINICIAN, "tiny")
    assert hospital.runs(model) == ()
    refused = {entry["action"] for entry in hospital.entries(outcome="refused")}
    assert refused == {"model.evaluate", "model.validation"}


def test_a_validation_record_states_everything_and_is_recorded(hospital: Hospital) -> None:
    """It names files, signers, prompts with answers, people and places, and its own digest."""
    model = hospital.add("tiny", seed=1)
    done = Evaluations(hospital.appliance).evaluate(STEWARD, "tiny")
    validations = Validations(hospital.appliance)
    data = validations.make(APPROVER, "tiny")
    value = json.loads(data)
    assert value["model"]["files"]["weights"] == model.digest
    assert set(value["model"]["files"]) >= {"weights", "card", "template", "eval", "bom", "oms"}
    assert value["origin"]["signer_key_ids"] == list(model.signers)
    assert value["origin"]["model_signature_key_sha256"] == model.oms_key_sha256
    assert value["card"]["intended_use"] == "tests"
    assert value["evaluation"]["id"] == done.id
    asked = value["evaluation"]["prompts"][0]
    assert asked["asked"] == [{"role": "user", "content": "How are you?"}]
    assert asked["answer"] == done.results[0].answer
    assert asked["verdicts"][0]["property"] == "min_characters"
    assert [entry["action"] for entry in value["history"]] == ["model.evaluate"]
    assert value["history"][0]["by"]["id"] == STEWARD.user
    place = value["record"]
    assert place["newest_seq"] == place["entries"] - 1 >= value["history"][-1]["seq"]
    assert str(place["entries"]) in place["checkpoint"]
    recorded = hospital.entries(action="model.validation")[-1]
    assert recorded["content"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_validation_record_can_be_read_by_people(hospital: Hospital) -> None:
    """The page says that nothing was evaluated, and holds the same digests."""
    model = hospital.add("tiny", seed=1)
    page = Validations(hospital.appliance).make(APPROVER, "tiny", form="markdown").decode()
    assert page.startswith("# Validation record: tiny 1.0\n")
    assert "this model was not evaluated on this machine" in page
    assert all(digest in page for digest in (model.digest, *model.files.values()))
