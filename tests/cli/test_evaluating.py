"""`appliance model evaluate` and `model validation`, on a real state folder and a real engine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundles.evaluations.results import EvaluationInfo, PromptResult
from appliance.bundles.properties import Verdict
from appliance.cli import evaluating
from appliance.operations.comparison import compare
from tests.cli.conftest import Run


def test_an_evaluation_tells_a_person_what_passed(appliance: Run) -> None:
    """Progress goes to stderr; the table and the sum to stdout; nothing else is active."""
    ended = appliance("model", "evaluate", "demo", "--compare")
    assert ended.code == 0, ended.err
    assert "demo 1.0: 1 of 1 prompts passed" in ended.out
    assert "asking the golden prompts: 1 of 1" in ended.err
    assert "there is no other active model to compare with" in ended.err


def test_an_evaluation_tells_a_program_every_answer(appliance: Run, tmp_path: Path) -> None:
    """The JSON holds each prompt with answer and verdicts, and the validation record the same."""
    said = appliance("model", "evaluate", "demo", "--compare", "--json").value
    assert (said["state"], said["passed"], said["failed"]) == ("done", 1, 0)
    assert said["comparison"] is None
    out = tmp_path / "record.json"
    written = appliance("model", "validation", "demo", "--out", str(out), "--json").value
    data = out.read_bytes()
    assert (written["bytes"], written["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    kept = json.loads(data)["evaluation"]
    assert kept["id"] == said["evaluation"]
    assert kept["prompts"][0]["answer"] == said["prompts"][0]["answer"]


def test_a_validation_record_never_replaces_a_file(appliance: Run, tmp_path: Path) -> None:
    """An existing file is left as it is, and no record is made."""
    out = tmp_path / "review.md"
    words = ("model", "validation", "demo", "--format", "markdown", "--out", str(out))
    assert appliance(*words).code == 0
    page = out.read_text()
    assert page.startswith("# Validation record: demo 1.0")
    refused = appliance(*words)
    assert refused.code == 1
    assert "exists already" in refused.err
    assert out.read_text() == page
    listed = appliance("audit", "list", "--action", "model.validation", "--json").value
    assert len(listed["entries"] if isinstance(listed, dict) else listed) == 2


def test_a_model_that_is_not_there_is_named(appliance: Run, tmp_path: Path) -> None:
    """An unknown name ends with exit code 1 and leaves no file."""
    assert appliance("model", "evaluate", "nothing").code == 1
    out = tmp_path / "x.json"
    ended = appliance("model", "validation", "nothing", "--out", str(out))
    assert ended.code == 1
    assert "there is no model nothing" in ended.err
    assert not out.exists()


def test_a_comparison_shows_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts that went better or worse stand in a table, the others in a number."""
    good, bad = Verdict("contains", True, "it is in it"), Verdict("contains", False, "it lacks 'x'")
    names = ("better", "worse", "same")
    results = tuple(PromptResult(n, n == "worse", "a test", "x", "stop", 1, (good,)) for n in names)
    active = EvaluationInfo(
        id="evl_1", model="mdl_1", digest="d", prompts_sha256="p", engine="e", by="usr_1",
        state="done", reason="", started=1.0, finished=2.0, passed=2, failed=1,
        results=(replace(results[0], verdicts=(bad,)), *results[1:]),
    )  # fmt: skip
    candidate = replace(
        active, results=(results[0], replace(results[1], verdicts=(good, bad)), results[2])
    )
    found = compare(candidate, active, "old 1")
    evaluating._print_comparison("new 2", found)
    evaluating._print_evaluation("new 2", candidate)
    shown = " ".join(capsys.readouterr().out.split())
    assert "prompt required new 2 old 1 change" in shown
    assert "better no ok fail improved worse yes fail ok worse beside old 1" in shown
    assert "beside old 1: 1 improved, 1 same, 1 worse" in shown
    assert "worse yes fail contains: it lacks 'x'" in shown
    assert "1 of those that failed are marked as required" in shown
