"""The ollama library, unmodified, against a running appliance; the key goes into a header."""

from __future__ import annotations

import json
from collections.abc import Iterator

import ollama
import pytest
from ollama import Client

from tests.clients.asked import ANSWER, ASKED, MODEL, SCHEMA, length
from tests.clients.conftest import Place
from tests.simulators.stack import Stack

SAID = [{"role": "user", "content": ASKED}]
STILL = {"temperature": 0}


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[Client]:
    with Client(host=place.address, headers=place.headers) as made:
        yield made


def test_a_chat_is_answered(client: Client) -> None:
    """A whole answer has text, a reason and counts."""
    made = client.chat(MODEL, SAID, options=STILL)
    assert made.message.content.startswith(ANSWER)
    assert (made.done, made.done_reason) == (True, "stop")
    assert made.prompt_eval_count > 0
    assert made.eval_count > 0


def test_a_stream_adds_up_to_the_whole_answer(client: Client) -> None:
    """Lines of a stream make the same text; the last one alone is done."""
    whole = client.chat(MODEL, SAID, options=STILL)
    parts = list(client.chat(MODEL, SAID, options=STILL, stream=True))
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert [part.done for part in parts].count(True) == 1
    assert parts[-1].eval_count == whole.eval_count


def test_the_tag_latest_means_the_model(client: Client) -> None:
    """Clients that add Ollama's usual tag find the model all the same."""
    assert client.chat(f"{MODEL}:latest", SAID, options={"num_predict": 2}).eval_count == 2


def test_a_text_is_answered_in_the_template_or_continued_as_it_stands(client: Client) -> None:
    """`generate` answers like a chat; raw, it goes on with the text."""
    made = client.generate(MODEL, ASKED, options=STILL)
    assert made.response.startswith(ANSWER)
    raw = client.generate(MODEL, "The patient is", raw=True, options={**STILL, "num_predict": 8})
    assert raw.eval_count <= 8
    assert raw.prompt_eval_count < made.prompt_eval_count
    parts = client.generate(
        MODEL, "The patient is", raw=True, stream=True, options={**STILL, "num_predict": 8}
    )
    assert "".join(part.response for part in parts) == raw.response


def test_an_empty_request_loads_a_model_that_may_be_asked(client: Client) -> None:
    """What clients send to load a model is answered as Ollama does; another model is not found."""
    assert client.generate(MODEL).done_reason == "load"
    with pytest.raises(ollama.ResponseError) as caught:
        client.generate("other")
    assert caught.value.status_code == 404


def test_format_holds_the_answer_to_a_schema(client: Client) -> None:
    """A schema in `format` gives text that is JSON of it."""
    made = client.chat(MODEL, SAID, format=SCHEMA, options={**STILL, "num_predict": 200})
    assert set(json.loads(made.message.content)) == {"urgent", "level"}


def test_embeddings_have_length_one(client: Client) -> None:
    """Both ways to ask for vectors give the same one."""
    made = client.embed(MODEL, ["chest pain", "sprained ankle"])
    assert len(made.embeddings) == 2
    assert length(made.embeddings[0]) == pytest.approx(1, abs=1e-4)
    older = client.embeddings(MODEL, "chest pain")
    assert list(older.embedding) == pytest.approx(list(made.embeddings[0]), abs=1e-6)


def test_models_are_listed_shown_and_running(client: Client) -> None:
    """List, show and ps tell of the one model that may be asked."""
    assert [model.model for model in client.list().models] == [MODEL]
    shown = client.show(MODEL)
    assert "completion" in shown.capabilities
    assert shown.details.format == "gguf"
    [running] = client.ps().models
    assert running.context_length > 0
    assert running.digest == client.list().models[0].digest


@pytest.mark.parametrize(
    "manage",
    [
        lambda client: client.pull("llama3"),
        lambda client: client.push("llama3"),
        lambda client: client.create("mine", from_="demo"),
        lambda client: client.copy("demo", "mine"),
        lambda client: client.delete("demo"),
        lambda client: client.generate("demo", keep_alive=0),
    ],
    ids=["pull", "push", "create", "copy", "delete", "unload"],
)
def test_managing_models_is_forbidden(client: Client, manage: object) -> None:
    """No key lets a program bring in, change or remove a model."""
    with pytest.raises(ollama.ResponseError) as caught:
        manage(client)
    assert caught.value.status_code == 403
    assert "signed media" in caught.value.error


def test_a_refused_pull_is_in_the_record(stack: Stack, client: Client) -> None:
    """Who tried, with which key, and what: never the name that was typed."""
    with pytest.raises(ollama.ResponseError):
        client.pull("telltale-name")
    entry = [found for found in stack.record() if found["action"] == "model.manage"][-1]
    assert entry["outcome"] == "refused"
    assert entry["content"]["route"] == "POST pull"
    assert entry["agent"]["credential"].startswith("key_")
    assert "telltale" not in json.dumps(entry)


def test_thinking_and_unknown_options_are_refused(client: Client) -> None:
    """What would change the meaning is never ignored in silence."""
    for fields in ({"think": True}, {"options": {"mirostat": 2}}, {"options": {"tempratur": 1}}):
        with pytest.raises(ollama.ResponseError) as caught:
            client.chat(MODEL, SAID, **fields)
        assert caught.value.status_code == 400


def test_without_a_key_nothing_is_answered(place: Place) -> None:
    """Ollama's clients send no key by themselves, and get 401 with the way to send one."""
    with Client(host=place.address) as stranger, pytest.raises(ollama.ResponseError) as caught:
        stranger.list()
    assert caught.value.status_code == 401
    assert "Authorization: Bearer" in caught.value.error
