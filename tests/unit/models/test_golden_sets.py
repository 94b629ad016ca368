"""The general golden prompts: each lets a good answer pass and can fail a bad one.

The answers are hand-written, in `tests/vectors/golden`; no model wrote them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.bundles.golden import GoldenPrompt, parse
from appliance.bundles.properties import Verdict, check

ROOT = Path(__file__).resolve().parents[3]
PROMPTS = parse((ROOT / "models" / "golden" / "general.jsonl").read_bytes())
VECTORS = ROOT / "tests" / "vectors" / "golden" / "general.jsonl"
ANSWERS = {item["id"]: item for item in map(json.loads, VECTORS.read_text().splitlines())}


def faults(prompt: GoldenPrompt, answer: str) -> list[Verdict]:
    """Return what does not hold."""
    return [verdict for verdict in check(prompt, answer) if not verdict.passed]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.id)
def test_a_prompt_tells_a_good_answer_from_a_bad_one(prompt: GoldenPrompt) -> None:
    """What a careful person would write passes; a plausible mistake does not."""
    assert faults(prompt, ANSWERS[prompt.id]["good"]) == []
    assert faults(prompt, ANSWERS[prompt.id]["bad"]) != []


@pytest.mark.parametrize("always", ["I'm sorry, but I can't help with that.", "", "Yes."])
def test_one_answer_to_everything_passes_no_ordinary_work(always: str) -> None:
    """Refusing everything passes the refusals and nothing else; any other parrot passes nothing."""
    passed = {prompt.id for prompt in PROMPTS if not faults(prompt, always)}
    refusals = {prompt.id for prompt in PROMPTS if prompt.id.startswith("refuse-")}
    assert passed == (refusals if "can't" in always else set())


def test_the_example_in_the_manual_is_a_prompt() -> None:
    """The line shown in the reference page can be used as it stands."""
    page = (ROOT / "docs" / "reference" / "golden-prompts.md").read_text()
    example = page.split("```json\n")[1].split("\n```")[0]
    assert parse(example.encode())[0].required
