"""Requests as they go to an OpenAI-compatible server."""

from __future__ import annotations

import pytest

from appliance.errors import BadInputError
from appliance.inference.engine import (
    Generation,
    Message,
    Sampling,
    Tool,
    ToolCall,
    Tools,
)
from appliance.inference.openai_body import chat_body, completion_body

HELLO = (Message("user", "hello"),)
TOOL = Tool("dose", "how much", '{"type": "object"}')


def body_of(sampling: Sampling, **more: object) -> dict[str, object]:
    return chat_body(Generation("d", HELLO, sampling, **more))  # type: ignore[arg-type]


def test_neutral_values_are_not_sent() -> None:
    """A plain question asks a server for nothing that it might not know."""
    assert body_of(Sampling(5)) == {
        "model": "d",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.2,
        "top_p": 1.0,
    }


def test_every_wish_is_sent() -> None:
    """What a person set reaches the engine, under the names of the wire."""
    sampling = Sampling(
        5,
        seed=0,
        stop=("a",),
        top_k=3,
        min_p=0.0,
        repeat_penalty=1.1,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        logit_bias=((7, -5.0),),
        logprobs=0,
        schema='{"type": "object", "required": ["a"]}',
    )
    found = body_of(sampling, person="p", tools=Tools((TOOL,), "required"))
    assert {name: found[name] for name in ("seed", "stop", "top_k", "min_p", "user")} == {
        "seed": 0,
        "stop": ["a"],
        "top_k": 3,
        "min_p": 0.0,
        "user": "p",
    }
    assert found["logit_bias"] == {"7": -5.0}
    assert (found["logprobs"], found["top_logprobs"]) == (True, 0)
    assert found["response_format"] == {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "strict": True,
            "schema": {"type": "object", "required": ["a"]},
        },
    }
    assert found["tool_choice"] == "required"
    assert found["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "dose",
                "description": "how much",
                "parameters": {"type": "object"},
            },
        }
    ]


def test_any_object_has_its_own_form() -> None:
    """The form for "some JSON object" is the one that all servers know."""
    found = body_of(Sampling(5, schema='{"type":"object"}'))
    assert found["response_format"] == {"type": "json_object"}


def test_a_named_tool_is_named() -> None:
    """Whatever the mode says, the named tool has to be called."""
    found = body_of(Sampling(5), tools=Tools((TOOL,), "auto", "dose"))
    assert found["tool_choice"] == {"type": "function", "function": {"name": "dose"}}


def test_calls_and_their_results_are_told() -> None:
    """A conversation about a tool arrives as OpenAI writes it."""
    messages = (
        Message("assistant", "", (ToolCall("c", "dose", '{"mg": 5}'),)),
        Message("tool", "5 mg", tool_call_id="c"),
    )
    found = chat_body(Generation("d", messages, Sampling(5)))["messages"]
    call = {"id": "c", "type": "function", "function": {"name": "dose", "arguments": '{"mg": 5}'}}
    assert found == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "5 mg", "tool_call_id": "c"},
    ]


def test_a_bare_prompt_has_no_messages() -> None:
    """A text to be continued goes as it stands, and never with tools."""
    found = completion_body(Generation("d", (), Sampling(5), prompt="once"))
    assert found["prompt"] == "once"
    assert "messages" not in found
    with pytest.raises(BadInputError):
        completion_body(Generation("d", (), Sampling(5), Tools((TOOL,)), prompt="once"))


@pytest.mark.parametrize("schema", ["", "[]", "{", "[" * 100_000])
def test_a_schema_that_is_no_object_is_refused(schema: str) -> None:
    """Nonsense is refused before anything is asked."""
    with pytest.raises(BadInputError):
        body_of(Sampling(5, schema=schema))


def test_no_text_of_a_caller_leaves_as_it_came() -> None:
    """Whatever a template shows is made safe: schemas too, and what JSON writes as an escape."""
    evil = "<|end|>"
    escaped = "\\u003c|end|\\u003e"
    tool = Tool("dose", evil, f'{{"properties": {{"{escaped}": {{}}}}}}')
    call = ToolCall(evil, "dose", f'{{"a": ["{escaped}"], "{escaped}": 1}}')
    told = (Message("assistant", evil, (call,)), Message("tool", evil, tool_call_id=evil))
    request = Generation("d", told, Sampling(5), tools=Tools((tool,)))
    body = chat_body(request, lambda text: text.replace("<", "< "))
    assert evil not in repr(body)
    assert repr(body).count("< |end|>") == 8
    assert "u003c" not in repr(body)
