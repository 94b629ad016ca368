"""What the engine's API offers beside plain answers: schemas, tools, logprobs, texts, vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.simulators.engine_process import PATIENCE_S, EngineProcess, put_model

from .conftest import LONG, Running
from .test_server import CHAT, client, data_of
from .tool_templates import HERMES

__all__ = ["client"]  # a fixture


def streamed(client: httpx.Client, body: dict[str, Any], path: str = CHAT) -> list[Any]:
    with client.stream("POST", path, json={**body, "stream": True}) as response:
        return data_of(response.iter_lines())


@pytest.fixture(scope="module")
def tooled() -> Iterator[Running]:
    """A model whose template knows tools."""
    own = EngineProcess()
    digest = put_model(own.library, context=4096, template=HERMES)
    yield Running(own.start(), digest)
    own.close()


LOOKUP = {
    "type": "object",
    "properties": {"ward": {"enum": ["A", "B"]}, "bed": {"type": "integer", "minimum": 1}},
    "required": ["ward", "bed"],
}
TOOL = {"type": "function", "function": {"name": "beds", "parameters": LOOKUP}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": LOOKUP}}


def test_an_answer_by_a_schema_is_valid(shared: Running) -> None:
    """A complete answer is JSON under the schema; one that was cut says so."""
    body = shared.ask(response_format=SCHEMA, max_tokens=200, temperature=1.5).json()
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "stop"
    Draft202012Validator(LOOKUP).validate(json.loads(choice["message"]["content"]))
    cut = shared.ask(response_format=SCHEMA, max_tokens=3).json()["choices"][0]
    assert cut["finish_reason"] == "length"


def test_a_forced_call_comes_whole(tooled: Running) -> None:
    """A call has an id, a name and arguments under the schema, and no text beside it."""
    asked = {"tools": [TOOL], "tool_choice": "required", "max_tokens": 300}
    (choice,) = tooled.ask(**asked).json()["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "beds")
    assert re.fullmatch("call_[0-9a-f]{24}", call["id"])
    Draft202012Validator(LOOKUP).validate(json.loads(call["function"]["arguments"]))


def test_a_forced_call_is_streamed_in_one_piece(tooled: Running) -> None:
    """One chunk holds the whole call with its index; the end says that tools are called."""
    choice = {"type": "function", "function": {"name": "beds"}}
    transport = httpx.HTTPTransport(uds=str(tooled.engine.socket))
    with httpx.Client(transport=transport, base_url="http://e", timeout=PATIENCE_S) as own:
        body = tooled.body(tools=[TOOL], tool_choice=choice, max_tokens=300)
        *chunks, end = streamed(own, body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    (call,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (call[0]["index"], call[0]["function"]["name"], end) == (0, "beds", "[DONE]")
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_and_its_result_go_back(tooled: Running) -> None:
    """A conversation with a call and a result is answered, and counted as it is answered."""
    call = {"id": "c1", "type": "function", "function": {"name": "beds", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "how many?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3 free", "tool_call_id": "c1"},
    ]
    body = {"model": tooled.digest, "messages": messages, "tools": [TOOL], "max_tokens": 8}
    usage = tooled.engine.post(CHAT, body).json()["usage"]
    counted = tooled.engine.post("/tokenize", body).json()
    without = tooled.engine.post("/tokenize", {**body, "tools": []}).json()
    assert counted["tokens"] == usage["prompt_tokens"] > without["tokens"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"tools": [TOOL]}, "knows no tools"),
        ({"tools": [TOOL], "tool_choice": "required"}, "knows no tools"),
        ({"tools": [TOOL], "response_format": SCHEMA}, "together"),
        ({"tools": [TOOL], "tool_choice": "required", "stop": "x"}, "forced"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"logit_bias": {"99999": 1}}, "token 99999"),
        ({"user": 3}, "user"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "knows no tools"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_it_begins(
    shared: Running, change: dict[str, Any], word: str
) -> None:
    """Streaming or not, the refusal is a plain 400 that says why."""
    for stream in (False, True):
        response = shared.ask(stream=stream, **change)
        assert response.status_code == 400
        assert word in response.json()["error"]["message"]


def test_logprobs_come_with_each_token(shared: Running, client: httpx.Client) -> None:
    """There is one entry for each token, whole or streamed."""
    asked = {"logprobs": True, "top_logprobs": 2, "temperature": 0, "seed": 1}
    whole = shared.ask(**asked).json()["choices"][0]["logprobs"]["content"]
    chunks = streamed(client, shared.body(**asked))[:-1]
    shapes = [chunk["choices"][0].get("logprobs") for chunk in chunks]
    pieces = [entry for shape in shapes if shape for entry in shape["content"]]
    assert len(whole) == 8
    assert whole == pieces
    assert all(entry["top_logprobs"][0]["logprob"] >= entry["logprob"] for entry in whole)


def test_a_text_is_continued(shared: Running, client: httpx.Client) -> None:
    """Completions take a text as it stands; tokens are counted, logprobs and chunks fit."""
    body = {"model": shared.digest, "prompt": "the patient", "max_tokens": 8}
    body |= {"temperature": 0, "seed": 1, "logprobs": 1, "user": "p"}
    whole = shared.engine.post("/v1/completions", body).json()
    *chunks, end = streamed(client, body, "/v1/completions")
    assert (whole["object"], end) == ("text_completion", "[DONE]")
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert len(whole["choices"][0]["logprobs"]["tokens"]) == 8
    counted = shared.engine.post("/tokenize", {"prompt": "the patient"}).json()["tokens"]
    assert counted == whole["usage"]["prompt_tokens"] == chunks[-1]["usage"]["prompt_tokens"]


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], [[1, 2]], {"a": 1}])
def test_a_prompt_that_is_no_text_is_refused(shared: Running, prompt: object) -> None:
    """Completions take one text."""
    body = {"model": shared.digest, "prompt": prompt}
    assert shared.engine.post("/v1/completions", body).status_code == 400


def test_texts_become_vectors(shared: Running) -> None:
    """Embeddings have OpenAI's shape, in the order of the texts."""
    body = {"model": shared.digest, "input": ["the patient", "eats well"], "user": "p"}
    found = shared.engine.post("/v1/embeddings", body).json()
    alone = shared.engine.post("/v1/embeddings", {**body, "input": "eats well"}).json()
    assert [item["index"] for item in found["data"]] == [0, 1]
    assert found["data"][1]["embedding"] == alone["data"][0]["embedding"]
    assert sum(value**2 for value in found["data"][0]["embedding"]) == pytest.approx(1.0)
    assert found["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"input": []}, 400),
        ({"input": "x" * 100_000}, 400),
        ({"encoding_format": "base64"}, 400),
        ({"dimensions": 8}, 400),
        ({"model": "f" * 64}, 409),
    ],
)
def test_bad_requests_for_vectors_are_refused(
    shared: Running, change: dict[str, Any], status: int
) -> None:
    """Nothing is cut, converted or ignored in silence."""
    body = {"model": shared.digest, "input": "x", **change}
    assert shared.engine.post("/v1/embeddings", body).status_code == status


def test_vectors_are_computed_beside_an_answer(shared: Running, client: httpx.Client) -> None:
    """An answer under way goes on, and the vectors do not wait for its end."""
    with client.stream("POST", CHAT, json=shared.body(stream=True, max_tokens=LONG)) as response:
        lines = response.iter_lines()
        next(lines)
        shared.engine.wait(running=1)
        body = {"model": shared.digest, "input": "the patient"}
        assert shared.engine.post("/v1/embeddings", body).status_code == 200
        assert shared.engine.get("/status").json()["running"] == 1
        assert next(lines) is not None


def test_the_status_shows_that_work_goes_on(shared: Running) -> None:
    """Slots are those at once, and steps grow with each answer."""
    before = shared.engine.get("/status").json()
    shared.ask()
    after = shared.engine.get("/status").json()
    assert before["slots"] >= 1
    assert after["steps"] >= before["steps"] + 8
