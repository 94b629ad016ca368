"""The openai library, unmodified, against a running appliance."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.clients.asked import ANSWER, ASKED, LONG, MODEL, NOTE, SCHEMA, Triage, length
from tests.clients.conftest import Place
from tests.simulators.stack import Stack

SAID = [{"role": "user", "content": ASKED}]


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[OpenAI]:
    with OpenAI(base_url=place.openai, api_key=place.key, max_retries=0) as made:
        yield made


def test_a_chat_is_answered(client: OpenAI) -> None:
    """A whole answer has text, a reason and exact counts."""
    made = client.chat.completions.create(model=MODEL, messages=SAID, temperature=0)
    assert made.choices[0].message.content.startswith(ANSWER)
    assert made.choices[0].finish_reason == "stop"
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


def test_a_stream_adds_up_to_the_whole_answer(client: OpenAI) -> None:
    """Pieces of a stream make the same text, and the last one has the counts."""
    wanted = {"model": MODEL, "messages": SAID, "temperature": 0}
    whole = client.chat.completions.create(**wanted)
    pieces = list(
        client.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == whole.choices[0].message.content
    assert pieces[-1].usage == whole.usage


def test_headers_name_the_answer_and_its_entry(client: OpenAI) -> None:
    """A program learns under which names the record holds what it was told."""
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=SAID, max_tokens=3)
    assert raw.parse().id == f"chatcmpl-{raw.headers['X-Answer-Id']}"
    assert int(raw.headers["X-Receipt-Entry"]) > 0


def test_parse_returns_an_object_of_the_callers_type(client: OpenAI) -> None:
    """`parse` gets JSON that follows the schema of a type, so that it can be made of it."""
    made = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": NOTE}], response_format=Triage,
        temperature=0, max_tokens=64,
    )  # fmt: skip
    assert isinstance(made.choices[0].message.parsed, Triage)


def test_any_json_object_can_be_asked_for(client: OpenAI) -> None:
    """`json_object` and `json_schema` in plain words give text that is such JSON."""
    made = client.chat.completions.create(
        model=MODEL, messages=SAID, temperature=0, max_tokens=200,
        response_format={"type": "json_schema",
                         "json_schema": {"name": "triage", "schema": SCHEMA}},
    )  # fmt: skip
    assert set(json.loads(made.choices[0].message.content)) == {"urgent", "level"}


def test_logprobs_come_with_each_token(client: OpenAI) -> None:
    """As many tokens as were counted, each with the alternatives asked for."""
    made = client.chat.completions.create(
        model=MODEL, messages=SAID, temperature=0, max_tokens=4, logprobs=True, top_logprobs=2
    )
    tokens = made.choices[0].logprobs.content
    assert len(tokens) == 4
    assert "".join(token.token for token in tokens) == made.choices[0].message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_a_text_is_continued(client: OpenAI) -> None:
    """The older completions take one text, whole and streamed."""
    wanted = {"model": MODEL, "prompt": "The patient is", "max_tokens": 8, "temperature": 0}
    made = client.completions.create(**wanted)
    assert made.object == "text_completion"
    assert made.usage.completion_tokens <= 8
    pieces = client.completions.create(**wanted, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == made.choices[0].text


def test_embeddings_have_length_one_in_either_encoding(client: OpenAI) -> None:
    """The library asks for base64 by itself; plain numbers are the same ones."""
    texts = ["chest pain", "sprained ankle"]
    packed = client.embeddings.create(model=MODEL, input=texts)
    plain = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert [vector.index for vector in packed.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert length(one.embedding) == pytest.approx(1, abs=1e-4)
    assert packed.usage.prompt_tokens > 0


def test_models_are_listed(client: OpenAI) -> None:
    """The list has what the key's owner may ask, and each can be looked up."""
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "appliance"


# --- errors are of the library's own types


def test_a_wrong_key_is_an_authentication_error(client: OpenAI) -> None:
    """A key that nobody has is told from every other refusal."""
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="apl_none").models.list()


def test_what_cannot_be_heeded_is_a_bad_request_that_names_the_field(client: OpenAI) -> None:
    """Several choices, token numbers and shorter vectors are refused, not ignored."""
    with pytest.raises(openai.BadRequestError, match="n: "):
        client.chat.completions.create(model=MODEL, messages=SAID, n=2)
    with pytest.raises(openai.BadRequestError, match="token numbers"):
        client.completions.create(model=MODEL, prompt=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="token numbers"):
        client.embeddings.create(model=MODEL, input=[[1, 2, 3]])
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model=MODEL, input="a", dimensions=8)


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    """Chat, completions and embeddings say alike that there is no such model."""
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-5", messages=SAID)
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="gpt-5", prompt="a")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gpt-5", input="a")


def test_too_many_at_once_is_a_rate_limit_with_a_time_to_wait(stack: Stack, client: OpenAI) -> None:
    """A fifth answer of one person is refused, and Retry-After says when to come back."""
    asked = [{"role": "user", "content": LONG}]
    with stack.halted("model"):
        streams = [
            client.chat.completions.create(model=MODEL, messages=asked, stream=True)
            for _ in range(4)
        ]
        try:
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model=MODEL, messages=asked)
        finally:
            for stream in streams:
                stream.close()
    assert int(caught.value.response.headers["Retry-After"]) > 0
