"""Evaluations in the database: every run is kept, the newest that was done counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundles.evaluations import results, store
from appliance.bundles.evaluations.results import Conditions, EvaluationInfo, PromptResult
from appliance.bundles.evaluations.store import Evaluations
from appliance.bundles.properties import Verdict
from appliance.errors import ConflictError, NotFoundError
from tests.simulators.fresh_state import fresh_database

PROMPTS = "a" * 64
CONDITIONS = Conditions("an engine 1.0", "0" * 64, "1" * 64, 512, 64)
GOOD = Verdict("contains", True, "everything expected is in it")
BAD = Verdict("excludes", False, "it holds 'x'")


@pytest.fixture
def evaluations(tmp_path: Path) -> Iterator[Evaluations]:
    """An empty database with the real schema."""
    database = fresh_database(tmp_path / "appliance.db", "appliance")
    yield Evaluations(database)
    database.close()


def run(number: int, prompts: str = PROMPTS) -> EvaluationInfo:
    """Return a run of the model `mdl_1` that began at that second."""
    return EvaluationInfo(
        id=f"evl_{number}", model="mdl_1", digest="d" * 64, prompts_sha256=prompts,
        engine=CONDITIONS.engine, by="usr_1", state="running", reason="",
        started=float(number), finished=None, passed=0, failed=0,
    )  # fmt: skip


def result(name: str, *verdicts: Verdict, answer: str = "An answer.") -> PromptResult:
    """Return the result of one prompt."""
    return PromptResult(name, True, "a test", answer, "stop", 3, verdicts)


def test_a_finished_run_comes_back_whole(evaluations: Evaluations) -> None:
    """Conditions, answers and verdicts are kept, and prompts are counted."""
    evaluations.start(run(1))
    found = (result("a", GOOD), result("b", GOOD, BAD))
    done = evaluations.finish("evl_1", CONDITIONS, found, 9.0)
    assert evaluations.get("evl_1") == done
    assert (done.state, done.passed, done.failed, done.finished) == ("done", 1, 1, 9.0)
    assert (done.conditions, done.results) == (CONDITIONS, found)
    assert done.required_failed == 1


def test_the_newest_done_counts(evaluations: Evaluations) -> None:
    """A later run replaces an earlier one; a failed, running or other set's run does not."""
    for number, prompts in ((1, PROMPTS), (2, PROMPTS), (3, "b" * 64), (4, PROMPTS), (5, PROMPTS)):
        evaluations.start(run(number, prompts))
    for name in ("evl_1", "evl_2", "evl_3"):
        evaluations.finish(name, CONDITIONS, (result("a", GOOD),), float(name[-1]) + 10)
    evaluations.fail("evl_4", "the engine died", 20.0)
    newest = evaluations.newest("mdl_1", PROMPTS)
    assert newest is not None
    assert newest.id == "evl_2"
    assert evaluations.newest("mdl_2", PROMPTS) is None
    assert [item.id for item in evaluations.of_model("mdl_1")] == [f"evl_{n}" for n in "54321"]


def test_what_a_crash_left_running_is_failed(evaluations: Evaluations) -> None:
    """The next look marks it, once, and says why."""
    evaluations.start(run(1))
    assert evaluations.left_over()
    (left,) = evaluations.close_left_over(7.0)
    assert (left.id, left.state, left.reason, left.finished) == (
        "evl_1", "failed", store.LEFT_OVER, 7.0,
    )  # fmt: skip
    assert not evaluations.left_over()
    assert evaluations.close_left_over(8.0) == ()


def test_a_run_ends_once(evaluations: Evaluations) -> None:
    """What has ended is not changed, and what never began cannot end."""
    evaluations.start(run(1))
    evaluations.fail("evl_1", "r" * 1_000, 2.0)
    assert len(evaluations.get("evl_1").reason) == store.MAX_REASON_CHARACTERS
    with pytest.raises(ConflictError):
        evaluations.finish("evl_1", CONDITIONS, (), 3.0)
    with pytest.raises(NotFoundError):
        evaluations.fail("evl_2", "", 3.0)
    with pytest.raises(NotFoundError):
        evaluations.get("evl_2")


def test_answers_are_cut_and_say_so(evaluations: Evaluations) -> None:
    """One long answer is cut, all of them together are bounded, verdicts stay as they were."""
    evaluations.start(run(1))
    long = result("a", GOOD, answer="x" * (results.KEPT_CHARACTERS + 1))
    many = tuple(replace(long, id=f"p{n}") for n in range(150))
    kept = evaluations.finish("evl_1", CONDITIONS, many, 2.0).results
    assert all(item.cut and item.verdicts == (GOOD,) for item in kept)
    assert len(kept[0].answer) == results.KEPT_CHARACTERS
    assert sum(len(item.answer) for item in kept) == results.KEPT_IN_ALL
