"""The API for programs, asked by the unmodified OpenAI client over a real socket."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import openai
import pytest
from openai import OpenAI

from tests.simulators.clinic import Browser, Clinic


@pytest.fixture(scope="module")
def client(answering: Clinic) -> Iterator[OpenAI]:
    """The official client with a clinician's key."""
    with (
        answering.served() as address,
        OpenAI(base_url=f"{address}/v1", api_key=answering.key(), max_retries=0) as made,
    ):
        yield made


def completion(clinic: Clinic, **body: object) -> object:
    return Browser(clinic).client.post(
        "/v1/chat/completions",
        json={"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **body},
        headers={"Authorization": f"Bearer {clinic.key()}"},
    )


def test_the_models_a_person_may_use_are_listed(client: OpenAI) -> None:
    """The list holds the model's name as its id."""
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_whole_answer_has_text_reason_and_exact_usage(client: OpenAI) -> None:
    """An answer that is not streamed comes in OpenAI's shape."""
    made = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "How is the patient?"}], max_tokens=20
    )
    assert made.object == "chat.completion"
    assert made.choices[0].message.role == "assistant"
    assert made.choices[0].message.content
    assert made.choices[0].finish_reason == "length"
    assert made.usage is not None
    assert made.usage.completion_tokens == 20
    assert made.usage.total_tokens == made.usage.prompt_tokens + 20


def test_a_streamed_answer_has_the_same_text_as_a_whole_one(client: OpenAI) -> None:
    """Pieces add up to the whole; the last chunk carries the usage when it was asked for."""
    wanted = {
        "model": "tiny", "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 30, "temperature": 0, "seed": 1,
    }  # fmt: skip
    whole = client.chat.completions.create(**wanted)  # type: ignore[call-overload]
    chunks = list(
        client.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )  # type: ignore[call-overload]
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage
    assert chunks[0].choices[0].delta.role == "assistant"


def test_history_system_turns_and_parts_are_taken(client: OpenAI) -> None:
    """Several turns, a developer turn and text in parts reach the model."""
    made = client.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hello"}]},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "and?"},
        ],
        max_tokens=5,
        stop=["zzz"],
        top_p=0.9,
        user="ignored",
        n=1,
    )
    assert made.usage is not None
    assert made.usage.prompt_tokens > 10


def test_an_answer_through_the_api_is_recorded_under_the_keys_owner(
    answering: Clinic, client: OpenAI
) -> None:
    """The record names the person, the key and the stated purpose."""
    client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "hi"}],
        max_tokens=3,
        extra_headers={"X-Purpose": "education"},
    )
    entry = answering.record(action="answer.request")[0]
    assert entry["agent"]["user"] == answering.actor("clinician").user
    assert entry["agent"]["method"] == "api_key"
    assert entry["agent"]["credential"].startswith("key_")
    assert entry["purpose"] == "education"


def test_a_purpose_in_the_metadata_counts_too(answering: Clinic, client: OpenAI) -> None:
    """Clients that cannot set a header state the purpose in metadata."""
    client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=3,
        metadata={"purpose": "operations"},
    )  # fmt: skip
    assert answering.record(action="answer.request")[0]["purpose"] == "operations"


def test_what_is_asked_by_a_program_is_not_in_the_persons_chat_list(
    answering: Clinic, client: OpenAI
) -> None:
    """The chat page lists what was asked in the chat page."""
    client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "a telltale title"}], max_tokens=3
    )
    page = answering.browser("clinician").get("/history").get_data(as_text=True)
    assert "a telltale title" not in page


# --- refusals

MANY = b'"a", "b", "c", "d", "e", "f", "g", "h", "i"]}'


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    """The client raises its own NotFoundError."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(
            model="nowhere", messages=[{"role": "user", "content": "hi"}]
        )
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nowhere")


def test_a_prompt_over_the_context_is_a_bad_request_with_openais_code(client: OpenAI) -> None:
    """A prompt that does not fit has the code that OpenAI uses, also when streamed."""
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "long " * 5_000}],
                stream=stream,
            )
        assert caught.value.code == "context_length_exceeded"


def test_an_unknown_purpose_is_refused(client: OpenAI) -> None:
    """A purpose that the site does not allow is refused, and the allowed ones are named."""
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "hi"}],
            extra_headers={"X-Purpose": "curiosity"},
        )


def test_a_revoked_key_is_refused(answering: Clinic, client: OpenAI) -> None:
    """A key stops working the moment it is revoked."""
    owner = answering.actor("clinician")
    key, secret = answering.operations.people.create_key(owner, "clinician", "short")
    with client.with_options(api_key=secret) as second:
        second.models.list()
        answering.operations.people.revoke_key(owner, key.id)
        with pytest.raises(openai.AuthenticationError):
            second.models.list()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"{}", b"\xff\xfe", b'{"model": "tiny"}',
        b'{"model": "tiny", "messages": []}',
        b'{"model": "tiny", "messages": [{"role": "tool", "content": "x"}]}',
        b'{"model": "tiny", "messages": [{"role": "user"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": 5}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "tiny", "messages": [{"role": "assistant", "content": "x"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": " "}]}',
        b'{"model": 7, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "n": 2}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "temperature": 3}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "temperature": "a"}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "top_p": 0}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1e9}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "stop": [""]}',
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "stop": [' + MANY,
        b'{"model": "tiny", "messages": [{"role": "user", "content": "x"}], "seed": 1e99}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)  # fmt: skip
def test_a_malformed_body_is_a_400_that_quotes_nothing(answering: Clinic, body: bytes) -> None:
    """Whatever is wrong with the JSON, the answer is a short sentence, and it is recorded."""
    start = answering.head()
    response = Browser(answering).client.post(
        "/v1/chat/completions", data=body, headers={"Authorization": f"Bearer {answering.key()}"}
    )
    assert response.status_code == 400
    error = response.get_json()["error"]
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300
    outcomes = [e["outcome"] for e in answering.record() if e["seq"] >= start]
    assert "refused" in outcomes


def test_fields_that_are_not_known_are_ignored(answering: Clinic) -> None:
    """What OpenAI knows and this appliance does not, is ignored as OpenAI would."""
    response = completion(answering, max_tokens=2, logit_bias={}, parallel_tool_calls=True, foo=1)
    assert response.status_code == 200  # type: ignore[attr-defined]  # a test client's


def test_an_unknown_path_under_v1_is_json(answering: Clinic) -> None:
    """A wrong address is told in the shape that clients read."""
    response = Browser(answering).get("/v1/images")
    assert response.status_code == 404
    assert response.get_json()["error"]["type"] == "not_found_error"


# --- a caller that hangs up


def test_a_stream_that_is_hung_up_is_stopped_and_recorded(talking: Clinic) -> None:
    """A program that goes away has lost interest: the engine is freed, the record says why."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = {"Authorization": f"Bearer {talking.key()}"}
    with (
        talking.served() as address,
        httpx.Client(base_url=address, headers=headers) as caller,
        caller.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        lines = response.iter_lines()
        for _ in range(20):
            next(lines)
    for _ in range(100):
        if talking.operations.asking.under_way == 0:
            break
        time.sleep(0.05)
    entry = talking.record(action="answer.stop")[0]
    assert entry["agent"]["method"] == "api_key"
    assert entry["content"]["reason"] == "disconnected"
