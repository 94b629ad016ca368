"""Calls of tools in an answer: found whole, and everything else left as it is."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.llama.tools import Call, Style
from appliance.llama.tools_reading import CallReader

NAMES = {"lookup", "dose"}
LOOKUP = '{"name": "lookup", "arguments": {"id": 7}}'
LLAMA = '{"name": "lookup", "parameters": {"id": 7}}'
STYLES: tuple[Style, ...] = ("hermes", "llama", "mistral")
WRAPPED: dict[Style, str] = {
    "hermes": f"<tool_call>\n{LOOKUP}\n</tool_call>",
    "llama": LLAMA,
    "mistral": f"[TOOL_CALLS][{LOOKUP}]",
}
PARTS = [
    "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", LOOKUP, LLAMA, "[", "]",
    "{", "}", '"', "\\", "\n", " ", "text", '{"name": ', '"lookup"', ", ", '"arguments": {}',
    '{"name": "other", "arguments": {}}', '{"name": "dose", "arguments": {"t": "</tool_call>{"}}',
    "<tool", "é🙂", "null",
]  # fmt: skip


def read(style: Style, *pieces: str, one: bool = False) -> list[str | Call]:
    numbers = itertools.count()
    reader = CallReader(style, NAMES, lambda: f"call_{next(numbers)}", one=one)
    found = [part for piece in pieces for part in reader.feed(piece)]
    return found + reader.flush()


def text_of(parts: list[str | Call]) -> str:
    return "".join(part for part in parts if isinstance(part, str))


def calls_of(parts: list[str | Call]) -> list[tuple[str, object]]:
    return [(part.name, json.loads(part.arguments)) for part in parts if isinstance(part, Call)]


@pytest.mark.parametrize("style", STYLES)
def test_a_call_is_found_whole(style: Style) -> None:
    """Each family's form gives a call with name and arguments, and no text."""
    parts = read(style, WRAPPED[style])
    assert parts == [Call("call_0", "lookup", '{"id": 7}')]


@pytest.mark.parametrize("style", STYLES)
def test_a_call_in_single_characters_is_found(style: Style) -> None:
    """Where an answer is cut into pieces makes no difference."""
    assert read(style, *WRAPPED[style]) == read(style, WRAPPED[style])


@pytest.mark.parametrize("style", ["hermes", "mistral"])
def test_text_before_a_call_is_shown(style: Style) -> None:
    """What the model says before it calls reaches the person."""
    parts = read(style, "Let me look. ", WRAPPED[style])
    assert (text_of(parts), calls_of(parts)) == ("Let me look. ", [("lookup", {"id": 7})])


def test_several_calls_are_found() -> None:
    """Two calls after each other are two calls, each with an id of its own."""
    parts = read("hermes", WRAPPED["hermes"] + "\n" + WRAPPED["hermes"])
    assert [part.id for part in parts if isinstance(part, Call)] == ["call_0", "call_1"]
    assert len(calls_of(read("llama", f"{LLAMA}; {LLAMA}"))) == 2
    assert len(calls_of(read("mistral", f"[TOOL_CALLS][{LOOKUP}, {LOOKUP}]"))) == 2


def test_only_one_call_where_only_one_was_wanted() -> None:
    """Without parallel calls, those after the first are left out."""
    assert len(calls_of(read("hermes", WRAPPED["hermes"] * 3, one=True))) == 1


def test_a_mark_that_is_not_shown_is_not_needed() -> None:
    """A control token's text does not reach the answer; the JSON alone is a call as well."""
    for style, answer in (("mistral", f"[{LOOKUP}]"), ("hermes", f"\n{LOOKUP}\n{LOOKUP}\n")):
        assert set(map(str, calls_of(read(style, answer)))) == {"('lookup', {'id': 7})"}
        assert text_of(read(style, answer)) == ""


def test_an_end_mark_inside_an_argument_ends_nothing() -> None:
    """A call is read as JSON, not up to the first mark."""
    inside = '{"name": "dose", "arguments": {"text": "a</tool_call>b\\"}"}}'
    parts = read("hermes", *f"<tool_call>{inside}</tool_call>")
    assert calls_of(parts) == [("dose", {"text": 'a</tool_call>b"}'})]


def test_arguments_given_as_text_are_read() -> None:
    """Some models write the arguments as a JSON text in a string."""
    text = '{"name": "lookup", "arguments": "{\\"id\\": 7}"}'
    assert calls_of(read("hermes", f"<tool_call>{text}</tool_call>")) == [("lookup", {"id": 7})]


@pytest.mark.parametrize(
    ("style", "answer"),
    [
        ("hermes", "<tool_call>"),
        ("hermes", "<tool_call>\n"),
        ("hermes", "<tool_call>{}</tool_call>"),
        ("hermes", "<tool_call>not json</tool_call> and on"),
        ("hermes", '<tool_call>{"name": "erase", "arguments": {}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "lookup", "arguments": [1]}</tool_call>'),
        ("hermes", '<tool_call>{"name": "lookup", "arguments": {"a": NaN}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "lookup", "arguments": {"a": 1}'),
        ("hermes", "a <tool_ca"),
        ("hermes", "in XML, </tool_call> ends it"),
        ("llama", '{"patient": 7}'),
        ("hermes", '{"patient": 7}'),
        ("hermes", "\n{} <tool_call"),
        ("llama", '{"name": "Mary", "age": 7}'),
        ("llama", "{"),
        ("llama", f"as in {LLAMA}"),
        ("mistral", "[1] see the reference"),
        ("mistral", "[TOOL_CALLS] are made so"),
        ("mistral", "[TOOL_CALLS][]"),
        ("llama", "{\"name\": \"lookup\", \"parameters\": " + "[" * 5_000),
        ("hermes", '<tool_call>{"name": "lookup", "arguments": {"a": ' + "9" * 5_000 + "}}"),
    ],
)  # fmt: skip
def test_what_is_no_call_stays_text(style: Style, answer: str) -> None:
    """Broken, foreign and unfinished calls come out as they were written."""
    for parts in (read(style, answer), read(style, *answer)):
        assert (text_of(parts), calls_of(parts)) == (answer, [])


@pytest.mark.parametrize("style", STYLES)
def test_text_is_not_held_back(style: Style) -> None:
    """Ordinary text comes out with the piece that brings it."""
    reader = CallReader(style, NAMES, lambda: "x")
    assert [reader.feed(piece) for piece in ("The ", "patient ", "[sic] ", "{rests}")] == [
        ["The "], ["patient "], ["[sic] "], ["{rests}"],
    ]  # fmt: skip


def test_json_that_is_no_call_is_not_held_back() -> None:
    """An answer in JSON is shown from its first member on, not only at its end."""
    reader = CallReader("llama", NAMES, lambda: "x")
    assert reader.feed('{"pat') == ['{"pat']


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(STYLES), st.lists(st.sampled_from(PARTS), max_size=12), st.data())
def test_no_cut_changes_what_is_read(style: Style, parts: list[str], data: st.DataObject) -> None:
    """Any mixture of marks and fragments reads the same whole and in pieces, and loses nothing."""
    answer = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    pieces = [answer[a:b] for a, b in itertools.pairwise([0, *cuts, len(answer)])]
    whole, cut = read(style, answer), read(style, *pieces)
    assert (text_of(cut), calls_of(cut)) == (text_of(whole), calls_of(whole))
    assert calls_of(whole) or text_of(whole) == answer
