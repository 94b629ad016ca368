"""Golden prompts: what a file of them may hold, and that the sets of this project hold it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.bundles import golden
from appliance.bundles.golden import Expectation, Turn, parse
from appliance.bundles.refusals import UnsafeModelError

ROOT = Path(__file__).resolve().parents[3]
SETS = (ROOT / "models" / "demo" / "eval.jsonl", ROOT / "models" / "golden" / "general.jsonl")
CHECKS = tuple(Expectation.__annotations__)


def line(**changes: Any) -> bytes:
    """Return one valid prompt as its line, with some keys changed; None removes a key."""
    value: dict[str, Any] = {
        "id": "a", "prompt": "How are you?", "expect": {"contains": ["well"]}, "why": "a test",
    }  # fmt: skip
    value |= changes
    return json.dumps({key: item for key, item in value.items() if item is not None}).encode()


def test_a_whole_prompt_is_read_as_it_stands() -> None:
    """Every key of a prompt arrives, and what is left out has its documented default."""
    expect = {
        "contains": ["a"], "excludes": ["b"], "regex": "c", "json_schema": {"type": "object"},
        "refusal": False, "no_phi": ["Jane Roe"], "no_new_numbers": True,
        "min_characters": 1, "max_characters": 9,
    }  # fmt: skip
    first = line(id="full", system="", max_tokens=7, required=True, expect=expect)
    full, least = parse(first + b"\n\n" + line() + b"\n")
    assert full.expect == Expectation(
        ("a",), ("b",), ("c",), {"type": "object"}, False, ("Jane Roe",), True, 1, 9
    )
    assert (full.system, full.max_tokens, full.required) == ("", 7, True)
    assert (least.system, least.max_tokens, least.required) == (None, golden.DEFAULT_TOKENS, False)
    assert least.turns == (Turn("user", "How are you?"),)


def test_several_turns_are_read_in_order() -> None:
    """`messages` carries a conversation that the user ends."""
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    (prompt,) = parse(line(prompt=None, messages=messages))
    assert [turn.content for turn in prompt.turns] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "Upper"}, "id must have"),
        ({"id": None}, "id must have"),
        ({"prompt": None}, "either prompt or messages"),
        ({"messages": [{"role": "user", "content": "x"}]}, "either prompt or messages"),
        ({"prompt": "  "}, "prompt must be"),
        ({"prompt": "half \ud800"}, "surrogate"),
        ({"prompt": None, "messages": []}, "messages must be"),
        ({"prompt": None, "messages": [{"role": "tool", "content": "x"}]}, "role of a message"),
        ({"prompt": None, "messages": [{"role": "assistant", "content": "x"}]}, "alternate"),
        ({"prompt": None, "messages": [{"role": "user"}]}, "role and content"),
        ({"expects": {}}, "no key 'expects'"),
        ({"expect": {}}, "at least one property"),
        ({"expect": {"contain": ["x"]}}, "no key 'contain'"),
        ({"expect": {"contains": []}}, "contains must be a list"),
        ({"expect": {"contains": "x"}}, "contains must be a list"),
        ({"expect": {"no_phi": ["--"]}}, "letter or a digit"),
        ({"expect": {"refusal": "yes"}}, "refusal must be"),
        ({"expect": {"no_new_numbers": False}}, "no_new_numbers is true or left out"),
        ({"expect": {"max_characters": 0}}, "max_characters must be"),
        ({"expect": {"min_characters": 9, "max_characters": 8}}, "min_characters is more"),
        ({"expect": {"regex": "(?=x)"}}, "not supported"),
        ({"expect": {"regex": "(x)\\1"}}, "not supported"),
        ({"expect": {"regex": "((x{1000}){1000}){1000}"}}, "not supported"),
        ({"expect": {"regex": ["x" * 501]}}, "regex must be"),
        ({"expect": {"json_schema": {"$ref": "#"}}}, "'$ref'"),
        ({"expect": {"json_schema": {"type": "objekt"}}}, "not valid"),
        ({"expect": {"json_schema": {"pattern": "(?!x)"}}}, "not supported"),
        ({"expect": {"json_schema": {"enum": ["x" * 20_000]}}}, "more than 16384 bytes"),
        ({"max_tokens": True}, "max_tokens must be"),
        ({"max_tokens": 4096}, "max_tokens must be"),
        ({"required": 1}, "required must be"),
        ({"why": None}, "why must be"),
        ({"system": 3}, "system must be"),
    ],
)
def test_what_cannot_be_checked_is_refused(changes: dict[str, Any], said: str) -> None:
    """A prompt that is malformed, or has a check that cannot be run, is refused by its line."""
    with pytest.raises(UnsafeModelError, match="line 2") as refused:
        parse(line(id="good") + b"\n" + line(**changes))
    assert said in refused.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"[]",
        b"not json",
        b'{"id": 1e999}',
        b"\xff\xfe",
        b"[" * 100_000,
        line() + b"\n" + line(),
        b'{"id": "a", "id": "b"}',
        b"{" + b" " * golden.MAX_LINE_BYTES + b"}",
        b" " * (golden.MAX_FILE_BYTES + 1),
        b"\n".join(line(id=f"p{n}") for n in range(golden.MAX_PROMPTS + 1)),
        line(expect={"json_schema": {"const": float("nan")}}),
    ],
    ids=[
        "empty", "blank", "a list", "no json", "infinity", "no utf-8", "nested", "twice",
        "two ids", "long line", "long file", "too many", "nan",
    ],
)  # fmt: skip
def test_what_is_no_file_of_prompts_is_refused(data: bytes) -> None:
    """Nothing but one bounded JSON object per line, each with an id of its own, is taken."""
    with pytest.raises(UnsafeModelError):
        parse(data)


def test_a_schema_nested_without_end_is_refused() -> None:
    """A schema deeper than its bound is refused before anything walks it."""
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"not": schema}
    with pytest.raises(UnsafeModelError, match="nested"):
        parse(line(expect={"json_schema": schema}))


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.parent.name)
def test_every_published_set_is_whole(path: Path) -> None:
    """The sets of this project can be read, and mark what weighs most."""
    prompts = parse(path.read_bytes())
    assert any(prompt.required for prompt in prompts)
    assert len({prompt.why for prompt in prompts}) == len(prompts)


@pytest.mark.parametrize("check", CHECKS)
def test_the_general_set_uses_every_property(check: str) -> None:
    """The set for real models has at least one prompt for each property there is."""
    prompts = parse(SETS[1].read_bytes())
    unset = (None, (), False) if check != "refusal" else (None,)
    assert any(getattr(prompt.expect, check) not in unset for prompt in prompts)
