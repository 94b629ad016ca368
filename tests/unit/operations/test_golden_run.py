"""Asking a real engine golden prompts: it ends, whatever the engine does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.bundles.golden import GoldenPrompt, parse
from appliance.clock import Clock, System
from appliance.errors import AnswerTimeoutError, EngineUnavailableError
from appliance.inference.openai_engine import OpenAIEngine
from appliance.operations.golden_run import GoldenRun, TimeLimits
from tests.simulators.engine_process import EngineProcess, put_model

PATIENT = TimeLimits(60.0, 600.0)


class Hurrying:
    """A clock on which every look costs a second."""

    def __init__(self) -> None:
        self._seconds = 0

    def now(self) -> float:
        return float(self._seconds)

    def monotonic_ns(self) -> int:
        self._seconds += 1
        return self._seconds * 1_000_000_000


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[EngineProcess, str]]:
    """A running engine with a tiny model that never ends an answer by itself."""
    process = EngineProcess()
    digest = put_model(process.library)
    yield process.start(), digest
    process.close()


def prompts(*items: dict[str, Any]) -> tuple[GoldenPrompt, ...]:
    """Return golden prompts, each with an id and a reason."""
    lines = [json.dumps({"id": f"p{n}", "why": "a test", **item}) for n, item in enumerate(items)]
    return parse("\n".join(lines).encode())


def run(
    served: tuple[EngineProcess, str], limits: TimeLimits = PATIENT, clock: Clock | None = None,
    silence_s: float = 30.0,
) -> GoldenRun:  # fmt: skip
    """Return a run on that engine, without a system prompt of the site."""
    process, digest = served
    engine = OpenAIEngine(uds=process.socket, silence_s=silence_s)
    return GoldenRun(engine, digest, "", limits, clock or System())


def test_every_prompt_gets_its_result_in_order(served: tuple[EngineProcess, str]) -> None:
    """Answers are judged one by one, and progress is told before and after each."""
    told: list[tuple[int, int]] = []
    asked = prompts(
        {"prompt": "One.", "max_tokens": 5, "expect": {"min_characters": 1}},
        {"prompt": "Two.", "max_tokens": 5, "expect": {"contains": ["never said this"]}},
    )
    first, second = run(served).ask_all(asked, lambda *step: told.append(step))
    assert (first.id, first.passed, first.ended, first.answer_tokens) == ("p0", True, "length", 5)
    assert (second.id, second.passed) == ("p1", False)
    assert told == [(0, 2), (1, 2), (2, 2)]


def test_the_same_prompt_gets_the_same_answer(served: tuple[EngineProcess, str]) -> None:
    """Decoding is greedy, so what stood before a prompt changes nothing."""
    again = {"prompt": "How does she feel?", "max_tokens": 20, "expect": {"min_characters": 1}}
    other = {"prompt": "Another one.", "max_tokens": 9, "expect": {"min_characters": 1}}
    results = run(served).ask_all(prompts(again, other, again), lambda *_: None)
    assert results[0].answer == results[2].answer
    assert results[0].answer


def test_a_prompt_that_the_model_cannot_take_fails_alone(
    served: tuple[EngineProcess, str],
) -> None:
    """A prompt longer than the context is a finding about the model; the next is asked."""
    asked = prompts(
        {"prompt": "very long " * 2_000, "expect": {"min_characters": 1}},
        {"prompt": "Short.", "max_tokens": 3, "expect": {"min_characters": 1}},
    )
    long, short = run(served).ask_all(asked, lambda *_: None)
    assert (long.passed, long.ended, long.verdicts[0].property) == (False, "refused", "asked")
    assert short.passed


def test_an_answer_that_takes_too_long_is_cut_off_and_fails(
    served: tuple[EngineProcess, str],
) -> None:
    """What came until then is kept and judged, and the missing rest is a fault of its own."""
    asked = prompts({"prompt": "On and on.", "max_tokens": 400, "expect": {"max_characters": 9000}})
    (result,) = run(served, TimeLimits(20.0, 10_000.0), Hurrying()).ask_all(asked, lambda *_: None)
    assert result.ended == "time"
    assert result.answer
    assert [(v.property, v.passed) for v in result.verdicts] == [
        ("max_characters", True), ("time", False),
    ]  # fmt: skip


def test_the_time_for_the_whole_ends_a_run(served: tuple[EngineProcess, str]) -> None:
    """When it is used up the run ends, and says at which prompt."""
    asked = prompts({"prompt": "On and on.", "max_tokens": 400, "expect": {"max_characters": 9000}})
    with pytest.raises(AnswerTimeoutError, match="p0"):
        run(served, TimeLimits(1_000.0, 20.0), Hurrying()).ask_all(asked, lambda *_: None)


def test_an_engine_that_writes_nothing_ends_a_run(served: tuple[EngineProcess, str]) -> None:
    """No single piece of text within the time for an answer means that the engine is stuck."""
    asked = prompts({"prompt": "Go.", "max_tokens": 400, "expect": {"max_characters": 9000}})
    with pytest.raises(EngineUnavailableError, match="wrote nothing"):
        run(served, TimeLimits(1.0, 10_000.0), Hurrying()).ask_all(asked, lambda *_: None)


def test_an_engine_that_stands_still_ends_a_run(served: tuple[EngineProcess, str]) -> None:
    """A stopped process answers nobody, and the run does not wait for it for ever."""
    process = served[0].process
    assert process is not None
    asked = prompts({"prompt": "Go.", "expect": {"min_characters": 1}})
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(EngineUnavailableError, match="in time"):
            run(served, silence_s=0.2).ask_all(asked, lambda *_: None)
    finally:
        os.killpg(process.pid, signal.SIGCONT)
