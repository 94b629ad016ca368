"""A validation record for people: nothing that was written elsewhere becomes markup."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.operations.validation_page import page, text


def value(answer: str = "An answer.", name: str = "tiny") -> dict[str, Any]:
    """Return a small record as the JSON form holds it."""
    person = {"id": "usr_1", "name": "Ann", "role": "steward"}
    run = {
        "id": "evl_1", "state": "done", "reason": "", "engine": "e", "prompts_sha256": "0" * 64,
        "by": "usr_1", "started": "t1", "finished": "t2", "passed": 1, "failed": 1,
    }  # fmt: skip
    prompt = {
        "id": "p", "required": True, "why": "a test", "answer": answer, "ended": "stop",
        "answer_tokens": 3, "cut": False, "passed": False, "system": "Be kind.",
        "asked": [{"role": "user", "content": "How?"}],
        "verdicts": [{"property": "contains", "passed": False, "why": "it lacks 'x'"}],
    }  # fmt: skip
    compared = {
        "id": "p", "required": True, "change": "worse", "passed": False, "active_passed": True,
    }  # fmt: skip
    return {
        "format": "f/1", "made": "t0", "made_by": person, "site": "hospital",
        "model": {"name": name, "version": "1", "files": {"weights": "a" * 64}},
        "origin": {"publisher": "pub", "trusted_by": person},
        "card": {"text": 'name = "tiny"', "intended_use": None, "training_data": None,
                 "hardware_floor": {"gpu": "none"}, "known_limits": ["one", "two"]},
        "machine": {"cores": 2},
        "evaluation": {**run, "conditions": {"seed": 0}, "prompts": [prompt]},
        "comparison": {"active": "old 1", "evaluation": run, "improved": 0, "same": 0, "worse": 1,
                       "prompts": [compared]},
        "runs": [run],
        "history": [{"seq": 4, "t": "t3", "action": "model.evaluate", "outcome": "success",
                     "by": person, "content": {"passed": 1, "digest": "b"}}],
        "record": {"log": "l", "entries": 5, "checkpoint": "note"},
    }  # fmt: skip


def test_the_page_says_what_failed_and_how_it_was_before() -> None:
    """Counts, the failed property, the comparison and the entry stand on it."""
    shown = page(value())
    assert "**1 of 2 prompts passed.**" in shown
    assert "### p: FAILED (required)" in shown
    assert "- contains: DOES NOT HOLD: it lacks 'x'" in shown
    assert "| p | yes | failed | passed | worse |" in shown
    assert "| 4 | t3 | model.evaluate | success | Ann (usr\\_1, steward) | passed 1 |" in shown
    assert "  - two" in shown


@pytest.mark.parametrize("answer", ["```\n# not a heading\n```", "~~~\n````text\n", "`````"])
def test_an_answer_cannot_leave_its_fence(answer: str) -> None:
    """The fence is longer than any in the answer."""
    lines = page(value(answer)).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("answer")) + 1
    fence = lines[start].removesuffix("text")
    length = len(answer.rstrip("\n").splitlines())
    assert lines[start + 1 : start + 1 + length] == answer.rstrip("\n").splitlines()
    assert lines[start + 1 + length] == fence
    assert fence not in answer


def test_a_name_cannot_become_markup() -> None:
    """Links, emphasis, table bars, line breaks and orders to a terminal are defused."""
    hostile = "[x](http://e)\n# y | *z* <img> \x1b[2J\u202e"
    shown = page(value(name=hostile)).splitlines()[0]
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\[x\\](http://e) \\# y \\| \\*z\\* \\<img\\>" in shown


def test_a_model_without_evaluation_says_so() -> None:
    """Nothing is left blank that a reader could take for a good result."""
    empty = {**value(), "evaluation": None, "comparison": None, "runs": []}
    shown = page(empty)
    assert shown.count("this model was not evaluated on this machine") == 2
    assert "No other model was active, or the two were not compared." in shown
    assert text(None) == text("") == "-"
