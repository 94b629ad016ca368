"""The engine over its socket, as a process of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.simulators.engine_process import PATIENCE_S, EngineProcess, put_model

from .conftest import LONG, Running

CHAT = "/v1/chat/completions"


@pytest.fixture
def client(shared: Running) -> Iterator[httpx.Client]:
    """A connection of its own, for streams that are read slowly."""
    transport = httpx.HTTPTransport(uds=str(shared.engine.socket))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=PATIENCE_S) as own:
        yield own


def data_of(lines: Iterator[str]) -> list[Any]:
    found = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in found]


def test_an_answer_comes_whole(shared: Running) -> None:
    """Without streaming, the answer is one OpenAI body with its usage."""
    body = shared.ask().json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 8


def test_an_answer_comes_in_chunks(shared: Running, client: httpx.Client) -> None:
    """Streamed chunks have OpenAI's shape and end with usage and [DONE]."""
    with client.stream("POST", CHAT, json=shared.body(stream=True)) as response:
        *chunks, end = data_of(response.iter_lines())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert end == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 8


def test_both_ways_give_the_same_text(shared: Running, client: httpx.Client) -> None:
    """The chunks put together are the whole answer."""
    with client.stream(
        "POST", CHAT, json=shared.body(stream=True, temperature=0, seed=1)
    ) as response:
        *chunks, _ = data_of(response.iter_lines())
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    whole = shared.ask(temperature=0, seed=1).json()["choices"][0]["message"]["content"]
    assert streamed == whole


def test_a_caller_who_leaves_frees_the_engine(shared: Running, client: httpx.Client) -> None:
    """Closing the connection ends an answer that would go on for a long time."""
    body = shared.body(stream=True, max_tokens=LONG)
    with client.stream("POST", CHAT, json=body) as response:
        opening = response.iter_lines()
        next(opening)
        shared.engine.wait(running=1)
    shared.engine.wait(running=0, waiting=0)
    assert shared.ask().status_code == 200


def test_a_caller_of_a_whole_answer_who_leaves_frees_the_engine(shared: Running) -> None:
    """Also without streaming a closed connection ends the work."""
    transport = httpx.HTTPTransport(uds=str(shared.engine.socket))
    with (
        httpx.Client(transport=transport, base_url="http://engine", timeout=1.0) as hasty,
        pytest.raises(httpx.ReadTimeout),
    ):
        hasty.post(CHAT, json=shared.body(max_tokens=LONG))
    shared.engine.wait(running=0, waiting=0)


def test_the_second_request_waits_and_sees_its_place(shared: Running, client: httpx.Client) -> None:
    """Two requests at once: the second hears `queued 0` again and again, then is answered."""
    with client.stream("POST", CHAT, json=shared.body(stream=True, max_tokens=LONG)) as first:
        opening = first.iter_lines()
        next(opening)
        shared.engine.wait(running=1)
        with client.stream("POST", CHAT, json=shared.body(stream=True)) as second:
            lines = second.iter_lines()
            seen: list[str] = []
            while seen.count(": queued 0") < 3:
                seen.append(next(lines))
            first.close()
            *_, last, end = data_of(lines)
    assert (last["usage"]["completion_tokens"], end) == (8, "[DONE]")


def test_a_place_in_the_queue_moves_up(shared: Running, client: httpx.Client) -> None:
    """When one who waits before leaves, the next one hears its new place."""
    slow = shared.body(stream=True, max_tokens=LONG)
    with client.stream("POST", CHAT, json=slow) as first:
        opening = first.iter_lines()
        next(opening)
        shared.engine.wait(running=1)
        with client.stream("POST", CHAT, json=slow) as second:
            shared.engine.wait(waiting=1)
            with client.stream("POST", CHAT, json=slow) as third:
                lines = third.iter_lines()
                while next(lines) != ": queued 1":
                    pass
                second.close()
                while next(lines) != ": queued 0":
                    pass


def test_overlapping_answers_do_not_mix(shared: Running) -> None:
    """Eight requests at once each get the answer they get alone."""
    texts = [f"question {number}" for number in range(8)]
    alone = [
        shared.ask(text, temperature=0, seed=1, max_tokens=40).json()["choices"] for text in texts
    ]
    together: dict[str, Any] = {}

    def ask(text: str) -> None:
        transport = httpx.HTTPTransport(uds=str(shared.engine.socket))
        with httpx.Client(transport=transport, base_url="http://e", timeout=PATIENCE_S) as own:
            body = shared.body(text, temperature=0, seed=1, max_tokens=40)
            together[text] = own.post(CHAT, json=body).json()["choices"]

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[text] for text in texts] == alone


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_over_the_context_is_refused(engine: EngineProcess, stream: bool) -> None:
    """The refusal is a plain error with numbers, before any stream begins."""
    running = Running(engine, put_model(engine.library))
    engine.start()
    response = running.ask("x" * 1000, stream=stream)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert "512" in response.json()["error"]["message"]


def test_a_line_of_a_megabyte_is_answered_with_an_error(engine: EngineProcess) -> None:
    """It is refused by its size, and the engine goes on."""
    running = Running(engine, put_model(engine.library))
    engine.start()
    assert running.ask("x" * 1_000_000).json()["error"]["code"] == "context_length_exceeded"
    assert running.ask().status_code == 200


@pytest.mark.parametrize(
    "text", ["🙂👩‍⚕️", "مرحبا", "a\x00b\x1b[2J", "\ud800 alone", "<|end|>", "\u2028"]
)
def test_odd_text_gets_an_answer(shared: Running, text: str) -> None:
    """Emoji, right-to-left text, control characters and half characters are answered."""
    assert shared.ask(text).json()["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 3},
        {"max_tokens": 0},
        {"stop": [""]},
        {"seed": -1},
        {"top_p": "all"},
        {"messages": []},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"stream": "yes"},
        {"model": None},
        {"tools": [{}]},
        {"tool_choice": "required"},
        {"logit_bias": {"x": 1}},
        {"n": 2},
    ],
)
def test_bad_parameters_are_refused(shared: Running, change: dict[str, Any]) -> None:
    """A parameter that cannot be honoured gives 400 with code, message, hint and type."""
    response = shared.ask(**change)
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["code"] == "bad_input"
    assert set(error) == {"code", "message", "hint", "type"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_not_an_object_is_refused(shared: Running, data: bytes) -> None:
    """Malformed JSON gives 400, never a stack trace."""
    transport = httpx.HTTPTransport(uds=str(shared.engine.socket))
    with httpx.Client(transport=transport, base_url="http://engine") as own:
        response = own.post(CHAT, content=data)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_input")


def test_an_oversized_body_is_refused(shared: Running) -> None:
    """More bytes than any prompt may have give 413."""
    response = shared.ask("x" * 17_000_000)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_another_model_than_loaded_is_refused(shared: Running) -> None:
    """A request names the digest it wants; any other is not answered."""
    response = shared.ask(model="f" * 64)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "engine_unavailable"


def test_an_unknown_address_is_refused_in_the_same_shape(shared: Running) -> None:
    """Errors of the web framework look like all others."""
    response = shared.engine.get("/v1/secrets")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


def test_tokens_are_counted_exactly(shared: Running) -> None:
    """The count is the one that the answer's usage reports."""
    messages = shared.body("how many are these?")["messages"]
    counted = shared.engine.post("/tokenize", {"messages": messages}).json()
    usage = shared.ask("how many are these?").json()["usage"]
    assert counted == {"tokens": usage["prompt_tokens"], "context": LONG}


def test_corrupted_weights_are_not_loaded(engine: EngineProcess) -> None:
    """A weights file with other content leaves the engine empty, and the detail says why."""
    digest = put_model(engine.library)
    with (engine.library / f"{digest}.gguf").open("ab") as file:
        file.write(b"\0")
    engine.start(until="empty")
    assert "other content" in engine.get("/status").json()["detail"]


def test_weights_that_would_abort_are_not_loaded(engine: EngineProcess) -> None:
    """A vocabulary without byte tokens leaves the engine empty and alive."""
    put_model(engine.library, byte_tokens=False)
    assert "byte tokens" in engine.start(until="empty").get("/status").json()["detail"]


def test_nothing_that_was_asked_or_answered_is_logged(engine: EngineProcess) -> None:
    """The engine's log holds no text of a question, an answer or a bad body."""
    running = Running(engine, put_model(engine.library))
    engine.start()
    answer = running.ask("marker-question").json()["choices"][0]["message"]["content"]
    running.ask("marker-question " * 1000)
    running.ask("marker-question", temperature="marker-question")
    assert "marker-question" not in engine.log()
    assert answer.strip() not in engine.log()
