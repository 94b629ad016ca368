"""Chunks of OpenAI-style streams: likelihoods and calls of tools, whole or malformed."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Delta, Finished, TokenLogprob, ToolCall
from appliance.inference.events import EngineSaidError, progress
from appliance.inference.pieces import LEAST_LOGPROB, piece


def said(delta: object, **rest: object) -> str:
    return "data: " + json.dumps({"choices": [{"delta": delta, **rest}]})


def calls(*fragments: object) -> str:
    return said({"tool_calls": list(fragments)})


TOOLS_END = said({}, finish_reason="tool_calls")
NAMES = [
    "choices", "delta", "content", "tool_calls", "index", "id", "function", "name", "arguments",
    "logprobs", "token", "logprob", "bytes", "top_logprobs", "tokens", "token_logprobs",
    "finish_reason", "text", "usage",
]  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=True)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def test_a_call_in_fragments_comes_whole() -> None:
    """However a server cuts a call, it is passed on once, at the end."""
    stream = [
        calls({"index": 0, "id": "a", "function": {"name": "dose", "arguments": '{"mg'}}),
        calls({"index": 1, "id": "b", "function": {"name": "unit", "arguments": "{}"}}),
        calls({"index": 0, "function": {"arguments": '": 5}'}}),
        TOOLS_END,
    ]
    whole = (ToolCall("a", "dose", '{"mg": 5}'), ToolCall("b", "unit", "{}"))
    *alive, last, end = progress(stream)
    assert all(item == Delta("") for item in alive)
    assert last == Delta("", tool_calls=whole)
    assert end == Finished("tool_calls", 0, 0)


def test_a_call_that_was_cut_short_is_not_passed_on() -> None:
    """Half a call at the end of the tokens is nothing that anybody should run."""
    stream = [calls({"index": 0, "function": {"name": "dose", "arguments": '{"mg'}})]
    found = list(progress([*stream, said({}, finish_reason="length")]))
    assert not any(item.tool_calls for item in found if isinstance(item, Delta))
    assert found[-1] == Finished("length", 0, 0)


def test_a_call_tells_the_reason_itself() -> None:
    """Some servers say `stop` after a call; it ended for the call all the same."""
    stream = [calls({"index": 0, "function": {"name": "dose"}}), said({}, finish_reason="stop")]
    *_, last, end = progress(stream)
    assert last == Delta("", tool_calls=(ToolCall("call_0", "dose", "{}"),))
    assert isinstance(end, Finished)
    assert end.reason == "tool_calls"


@pytest.mark.parametrize(
    "fragment",
    [
        5,
        {"index": "0", "function": {"name": "dose"}},
        {"index": 0, "function": {"name": 5}},
        {"index": 0, "function": {"name": "dose", "arguments": {"mg": 5}}},
        {"index": 0, "function": "dose"},
        {"index": 0, "id": 7, "function": {"name": "dose"}},
        {"index": 0, "function": {"arguments": "{}"}},
    ],
)
def test_an_odd_call_is_an_error(fragment: object) -> None:
    """A call of another shape, or without a name, is an error of the engine."""
    with pytest.raises(EngineUnavailableError):
        list(progress([calls(fragment), TOOLS_END]))


def test_calls_without_end_are_given_up() -> None:
    """Neither many calls nor one endless call fill the memory."""
    many = [calls({"index": at, "function": {"name": "a"}}) for at in range(200)]
    with pytest.raises(EngineUnavailableError, match="without end"):
        list(progress([*many, TOOLS_END]))
    long = [calls({"index": 0, "function": {"arguments": "x" * 300_000}})] * 4
    with pytest.raises(EngineUnavailableError, match="without end"):
        list(progress([*long, TOOLS_END]))


def test_likelihoods_come_with_their_text() -> None:
    """Bytes are the token's own where the server tells them; minus infinity has a number."""
    content = [
        {
            "token": "a\x1b",
            "logprob": -0.5,
            "bytes": [195],
            "top_logprobs": [{"token": "b", "logprob": -math.inf}],
        }
    ]
    found = next(progress([said({"content": "a"}, logprobs={"content": content})]))
    top = (TokenLogprob("b", LEAST_LOGPROB, b"b"),)
    assert found == Delta("a", (TokenLogprob("a", -0.5, b"\xc3", top),))


def test_the_older_form_of_likelihoods_is_read() -> None:
    """Text completions of some servers have parallel lists."""
    older = {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"b": -2}]}
    chunk = {"choices": [{"text": "a", "logprobs": older}]}
    top = (TokenLogprob("b", -2.0, b"b"),)
    assert piece(chunk).logprobs == (TokenLogprob("a", -1.0, b"a", top),)


@pytest.mark.parametrize(
    "item",
    [
        5,
        {},
        {"token": "a"},
        {"token": 5, "logprob": -1},
        {"token": "a", "logprob": "-1"},
        {"token": "a", "logprob": True},
        {"token": "a", "logprob": math.nan},
        {"token": "a", "logprob": -1, "bytes": [300]},
        {"token": "a", "logprob": -1, "bytes": "a"},
        {"token": "a", "logprob": -1, "bytes": 10**12},
        {"token": "a", "logprob": -(10**400)},
        {"token": "a", "logprob": -1, "top_logprobs": [5]},
    ],
)
def test_odd_likelihoods_are_an_error(item: object) -> None:
    """Numbers that are none never come through as likelihoods."""
    with pytest.raises(EngineUnavailableError):
        list(progress([said({"content": "a"}, logprobs={"content": [item]})]))


def test_thoughts_and_progress_are_signs_of_life() -> None:
    """What a model thinks is no part of the answer; that it thinks shows that it lives."""
    assert next(progress([said({"reasoning_content": "hm"})])) == Delta("")
    reading = "data: " + json.dumps({"choices": [], "prompt_progress": {"processed": 5}})
    assert next(progress([reading])) == Delta("")


def test_an_answer_of_another_model_is_refused() -> None:
    """A server that was given other weights meanwhile says so in its answer."""
    chunk = "data: " + json.dumps({"model": "b", "choices": [{"delta": {"content": "x"}}]})
    with pytest.raises(EngineUnavailableError, match="another model"):
        list(progress([chunk], "a"))


@given(JSON)
def test_no_shape_crashes_the_reader(value: Any) -> None:
    """Whatever JSON comes, the outcome is progress or one of the two errors."""
    with contextlib.suppress(EngineUnavailableError, EngineSaidError):
        list(progress([f"data: {json.dumps(value)}", TOOLS_END]))
