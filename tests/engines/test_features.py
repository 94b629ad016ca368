"""What engines offer beyond text: forms, likelihoods, tools. What one lacks, it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from appliance.errors import BadInputError
from appliance.inference.engine import (
    Delta,
    Finished,
    Generation,
    Message,
    Sampling,
    Tool,
    ToolCall,
    Tools,
)
from tests.engines.places import Place
from tests.engines.test_answers import GREEDY, HELLO, ask, end_of, text_of

SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "unit": {"enum": ["mg", "ml"]}},
    "required": ["ok", "unit"],
    "additionalProperties": False,
}
CHOOSE = Tool(
    "choose",
    "choose a unit",
    json.dumps(
        {
            "type": "object",
            "properties": {"unit": {"type": "string", "enum": ["mg", "ml"]}},
            "required": ["unit"],
            "additionalProperties": False,
        }
    ),
)


def test_a_schema_is_followed(place: Place) -> None:
    """The answer is JSON of exactly that form, whatever the model would rather say."""
    found = json.loads(
        text_of(ask(place, replace(GREEDY, max_tokens=200, schema=json.dumps(SCHEMA))))
    )
    assert set(found) == {"ok", "unit"}
    assert isinstance(found["ok"], bool)
    assert found["unit"] in ("mg", "ml")


def test_a_schema_that_is_none_is_refused(place: Place) -> None:
    """What is no JSON object never reaches an engine."""
    with pytest.raises(BadInputError):
        ask(place, replace(GREEDY, schema="[1"))


def test_likelihoods_belong_to_the_text(place: Place) -> None:
    """Each token has a likelihood and alternatives, and the tokens' bytes are the answer."""
    sampling = replace(GREEDY, logprobs=2)
    progress = ask(place, sampling)
    found = [item for piece in progress if isinstance(piece, Delta) for item in piece.logprobs]
    assert len(found) == GREEDY.max_tokens
    assert all(item.logprob <= 0 for item in found)
    assert all(len(item.top) == 2 for item in found)
    assert all(item.top[0].logprob >= item.top[1].logprob for item in found)
    assert b"".join(item.data for item in found).decode("utf-8", "replace").strip() == (
        text_of(progress).strip()
    )


def test_likelihoods_are_told_on_request_only(place: Place) -> None:
    """Nobody who did not ask for them pays for them."""
    assert not any(item.logprobs for item in ask(place) if isinstance(item, Delta))


def test_a_bias_changes_the_answer(place: Place) -> None:
    """A token that is made likely enough is the whole answer; Ollama, which cannot, refuses."""
    biased = replace(GREEDY, logit_bias=((280, 1_00.0),), max_tokens=3)
    if not place.can.logit_bias:
        with pytest.raises(BadInputError, match="logit_bias"):
            ask(place, biased)
        return
    assert len(set(text_of(ask(place, biased)))) == 1


def test_a_penalty_changes_the_answer(place: Place) -> None:
    """A penalty on what was said before breaks a loop."""
    plain = text_of(ask(place))
    assert text_of(ask(place, replace(GREEDY, repeat_penalty=1.9))) != plain


def test_one_candidate_is_greedy(place: Place) -> None:
    """With one candidate per step, temperature decides nothing."""
    narrow = Sampling(24, temperature=1.5, top_k=1, seed=3)
    assert text_of(ask(place, narrow)) == text_of(ask(place))


def test_a_tool_is_called(place: Place) -> None:
    """A named tool comes as one whole call with arguments of its form; or tools are refused."""
    tools = Tools((CHOOSE,), mode="required", named="choose")
    request = Generation(place.digest, HELLO, replace(GREEDY, max_tokens=400), tools)
    if not place.can.tools:
        with pytest.raises(BadInputError, match="tools"):
            list(place.engine.generate(request))
        return
    progress = list(place.engine.generate(request))
    assert end_of(progress).prompt_tokens > place.engine.count_tokens(place.digest, HELLO)
    if not place.can.forces_calls:
        return
    (call,) = [call for item in progress if isinstance(item, Delta) for call in item.tool_calls]
    assert call.name == "choose"
    assert json.loads(call.arguments)["unit"] in ("mg", "ml")
    assert end_of(progress).reason == "tool_calls"


def test_a_tools_result_is_read(place: Place) -> None:
    """A conversation with a call and its result has an answer; or it is refused."""
    call = ToolCall("call_1", "choose", '{"unit": "mg"}')
    messages = (
        Message("user", "which unit?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "mg it is", tool_call_id="call_1"),
    )
    request = Generation(place.digest, messages, replace(GREEDY, max_tokens=3))
    if not place.can.tools:
        with pytest.raises(BadInputError, match="tools"):
            list(place.engine.generate(request))
        return
    assert isinstance(list(place.engine.generate(request))[-1], Finished)
