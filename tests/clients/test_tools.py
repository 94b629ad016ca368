"""Calls of tools through each client: named, left to the model, and answered.

LangChain is imported where it is used: it takes seconds, in every worker of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import ollama
import openai
import pytest
from openai import OpenAI

from tests.clients.asked import NOTE, TOOL, Triage
from tests.clients.conftest import Place

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

SAID = [{"role": "user", "content": NOTE}]
NAMED = {"type": "function", "function": {"name": "set_triage"}}
CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "set_triage", "arguments": '{"urgent": true, "level": 1}'},
}
BRIEF = {"temperature": 0, "num_predict": 8}


@pytest.fixture(scope="module")
def client(tooled: Place) -> Iterator[OpenAI]:
    with OpenAI(base_url=tooled.openai, api_key=tooled.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def langchain(tooled: Place) -> Iterator[ChatOpenAI]:
    from langchain_openai import ChatOpenAI

    # LangChain leaves its own connection open.
    with httpx.Client() as connection:
        yield ChatOpenAI(
            model=tooled.model, base_url=tooled.openai, api_key=tooled.key, temperature=0,
            max_retries=0, http_client=connection,
        )  # fmt: skip


def test_a_tool_that_is_named_is_called(client: OpenAI) -> None:
    """The call has a name and arguments that follow the tool's schema, whole and streamed."""
    wanted: dict[str, Any] = {
        "model": "tiny", "messages": SAID, "tools": [TOOL], "tool_choice": NAMED,
        "temperature": 0, "max_tokens": 200,
    }  # fmt: skip
    made = client.chat.completions.create(**wanted).choices[0]
    assert made.finish_reason == "tool_calls"
    [call] = made.message.tool_calls
    assert call.function.name == "set_triage"
    assert set(json.loads(call.function.arguments)) == {"urgent", "level"}
    with client.chat.completions.stream(**wanted) as events:
        end = events.get_final_completion().choices[0]
    assert end.message.tool_calls[0].function.arguments == call.function.arguments
    assert end.finish_reason == "tool_calls"


def test_a_tools_result_is_taken(client: OpenAI) -> None:
    """A conversation goes on after a tool has answered."""
    made = client.chat.completions.create(
        model="tiny",
        messages=[
            *SAID,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "noted"},
        ],
        tools=[TOOL],
        max_tokens=8,
    )
    assert made.usage.completion_tokens == 8


def test_a_result_of_a_call_that_nobody_made_is_refused(client: OpenAI) -> None:
    """A tool's message names a call of the turns before it."""
    with pytest.raises(openai.BadRequestError, match="answers no call"):
        client.chat.completions.create(
            model="tiny", messages=[*SAID, {"role": "tool", "tool_call_id": "b", "content": "x"}]
        )


def test_langchain_structures_output_through_a_tool(langchain: ChatOpenAI) -> None:
    """The older way, in which a tool is named and not to be called twice, gives the type."""
    model = langchain.with_structured_output(Triage, method="function_calling")
    assert isinstance(model.invoke(NOTE), Triage)


def test_langchain_gets_the_call_of_a_bound_tool(langchain: ChatOpenAI) -> None:
    """`bind_tools` with a tool that is named returns its call."""
    [call] = langchain.bind_tools([Triage], tool_choice="Triage").invoke(NOTE).tool_calls
    assert call["name"] == "Triage"
    assert set(call["args"]) == {"urgent", "level"}


def test_ollamas_client_offers_tools_and_brings_results(tooled: Place) -> None:
    """Ollama's calls have no name of their own, and find their results all the same."""
    call = {"function": {"name": "set_triage", "arguments": {"urgent": True, "level": 1}}}
    turns = [
        *SAID,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "noted", "tool_name": "set_triage"},
    ]
    with ollama.Client(host=tooled.address, headers=tooled.headers) as client:
        made = client.chat("tiny", turns, tools=[TOOL], options=BRIEF)
    assert made.eval_count == 8


def test_a_model_is_shown_to_know_tools_when_its_template_does(place: Place, tooled: Place) -> None:
    """Programs look there before they offer any."""
    for where, knows in ((place, False), (tooled, True)):
        with ollama.Client(host=where.address, headers=where.headers) as client:
            assert ("tools" in client.show(where.model).capabilities) is knows


def test_langchains_ollama_class_offers_tools(tooled: Place) -> None:
    """`bind_tools` is taken; whether to call one is left to the model, as Ollama has it."""
    from langchain_ollama import ChatOllama

    model = ChatOllama(
        model="tiny", base_url=tooled.address, temperature=0, num_predict=8,
        client_kwargs={"headers": tooled.headers},
    )  # fmt: skip
    made = model.bind_tools([Triage]).invoke(NOTE)
    model._client.close()
    assert made.usage_metadata["output_tokens"] == 8


def test_a_model_that_knows_no_tools_says_so(place: Place) -> None:
    """The demo model's template has no place for tools: 400, and what to do instead."""
    with (
        OpenAI(base_url=place.openai, api_key=place.key, max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match="knows no tools"),
    ):
        client.chat.completions.create(model="demo", messages=SAID, tools=[TOOL])
