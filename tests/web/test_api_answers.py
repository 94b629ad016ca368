"""What programs are told of their answers, and what the record and the store keep of them."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from werkzeug.test import TestResponse

from appliance.audit.actions import Outcome
from appliance.conversations.store import ModelUsed
from appliance.operations.recording import Recorder
from tests.simulators.clinic import Browser, Clinic

SAID = [{"role": "user", "content": "hi"}]


def send(clinic: Clinic, path: str, **body: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {clinic.key()}"}
    return Browser(clinic).client.post(path, json={"model": "tiny", **body}, headers=headers)


def kept(clinic: Clinic, answer_id: str) -> tuple[str, str]:
    """Return what is sealed of a question and of its answer."""
    store, user = clinic.appliance.conversations, clinic.actor("clinician").user
    answer = store.message(answer_id, user)
    question = store.messages(answer.conversation_id, user)[0]
    return question.text, answer.text


@pytest.mark.parametrize(
    ("path", "body", "noun"),
    [
        ("/v1/chat/completions", {"messages": SAID, "max_tokens": 2}, "answer"),
        ("/v1/completions", {"prompt": "hi", "max_tokens": 2}, "answer"),
        ("/v1/embeddings", {"input": "hi"}, "embedding"),
        ("/api/chat", {"messages": SAID, "options": {"num_predict": 2}}, "answer"),
        ("/api/generate", {"prompt": "hi", "options": {"num_predict": 2}}, "answer"),
        ("/api/generate", {"prompt": "hi", "raw": True, "options": {"num_predict": 2}}, "answer"),
        ("/api/embed", {"input": ["hi", "you"]}, "embedding"),
        ("/api/embeddings", {"prompt": "hi"}, "embedding"),
    ],
)
def test_every_route_leaves_an_intent_and_an_outcome(
    answering: Clinic, path: str, body: dict[str, Any], noun: str
) -> None:
    """Whatever a program asks, and in whose words, is in the record twice: meant, and done."""
    made = send(answering, path, **body)
    assert made.status_code == 200
    made.get_data()
    end, intent = answering.record(entity=made.headers["X-Answer-Id"])
    assert (intent["action"], intent["outcome"]) == (f"{noun}.request", "intent")
    assert (end["action"], end["outcome"]) == (f"{noun}.complete", "success")
    assert intent["agent"] == end["agent"]
    assert intent["agent"]["method"] == "api_key"


def test_an_embedding_has_an_intent_and_an_outcome_and_no_plain_text(answering: Clinic) -> None:
    """Both entries name the texts by commitment and number, and state model and tokens."""
    made = send(answering, "/v1/embeddings", input=["telltale one", "two"])
    assert made.status_code == 200
    name = made.headers["X-Answer-Id"]
    end, intent = answering.record(entity=name)
    assert (intent["action"], intent["outcome"]) == ("embedding.request", "intent")
    assert (end["action"], end["outcome"]) == ("embedding.complete", "success")
    assert intent["content"]["count"] == end["content"]["count"] == 2
    assert set(intent["content"]["question"]) == {"sha256", "bytes", "key", "commitment"}
    assert end["tokens"]["prompt"] == made.get_json()["usage"]["prompt_tokens"]
    assert end["seq"] == int(made.headers["X-Receipt-Entry"])
    assert "telltale" not in json.dumps([intent, end])


def test_the_texts_are_sealed_and_the_vectors_are_not_kept(answering: Clinic) -> None:
    """Of the vectors only number, length and digest stay."""
    made = send(answering, "/v1/embeddings", input=["one", "two"])
    question, answer = kept(answering, made.headers["X-Answer-Id"])
    assert json.loads(question) == {"texts": ["one", "two"]}
    known = json.loads(answer)
    assert known["vectors"] == 2
    assert known["dimensions"] == len(made.get_json()["data"][0]["embedding"])
    assert len(answer) < 200


def test_an_embedding_has_a_receipt(answering: Clinic) -> None:
    """Whoever asked gets the proof of its entry, as for an answer."""
    made = send(answering, "/v1/embeddings", input="one")
    name = made.headers["X-Answer-Id"]
    response = Browser(answering).get(
        f"/v1/receipts/{name}", headers={"Authorization": f"Bearer {answering.key()}"}
    )
    assert response.status_code == 200


def test_an_embedding_under_way_at_a_crash_gets_its_outcome(answering: Clinic) -> None:
    """An intent without an outcome is closed at the next start, under the embedding's name."""
    clinician = answering.actor("clinician")
    store = answering.appliance.conversations
    model = answering.appliance.library.models()[0]
    used = ModelUsed(model.name, model.version, model.digest)
    _, turn = store.begin(clinician.user, "a title", "api", "text", used)
    Recorder(answering.appliance.ledger).note(
        clinician, "embedding.request", Outcome.INTENT, entity=turn.answer_id
    )
    assert answering.operations.asking.reconcile() == 1
    end = answering.record(entity=turn.answer_id)[0]
    assert (end["action"], end["outcome"]) == ("embedding.fail", "failure")


def test_a_refused_embedding_is_recorded(answering: Clinic) -> None:
    """An unknown model and an unknown purpose leave `embedding.refuse`."""
    made = send(answering, "/v1/embeddings", input="a", model="other")
    assert made.status_code == 404
    assert answering.record(action="embedding.refuse")[0]["content"]["code"] == "not_found"
    made = send(answering, "/api/embed", input="a", purpose="curiosity")
    assert made.status_code == 400
    assert answering.record(action="embedding.refuse")[0]["content"]["code"] == "bad_input"


def test_everything_that_was_asked_is_sealed(answering: Clinic) -> None:
    """Turns, the schema and a raw text are kept, so that a reader sees what the model saw."""
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}}
    made = send(
        answering, "/v1/chat/completions", messages=SAID, max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )  # fmt: skip
    question = json.loads(kept(answering, made.headers["X-Answer-Id"])[0])
    assert question["messages"] == [{"role": "user", "content": "hi"}]
    assert json.loads(question["schema"]) == schema
    made = send(answering, "/v1/completions", prompt="the patient", max_tokens=2)
    assert json.loads(kept(answering, made.headers["X-Answer-Id"])[0]) == {"raw": "the patient"}


def test_ollama_streams_lines_of_json_unless_told_not_to(answering: Clinic) -> None:
    """Every line is JSON; the last one has the counts, and the header names the answer."""
    made = send(answering, "/api/chat", messages=SAID, options={"num_predict": 5})
    assert made.mimetype == "application/x-ndjson"
    lines = [json.loads(line) for line in made.get_data(as_text=True).splitlines()]
    assert [line["done"] for line in lines[:-1]] == [False] * (len(lines) - 1)
    assert lines[-1]["eval_count"] == 5
    assert lines[-1]["done_reason"] == "length"
    text = "".join(line["message"]["content"] for line in lines)
    assert kept(answering, made.headers["X-Answer-Id"])[1] == text


def test_ollamas_fields_for_purpose_and_patient_are_recorded(answering: Clinic) -> None:
    """A program without headers of its own states them in the body."""
    send(answering, "/api/generate", prompt="hi", stream=False, purpose="education",
         patient="4711-08", options={"num_predict": 2})  # fmt: skip
    entry = answering.record(action="answer.request")[0]
    assert entry["purpose"] == "education"
    assert entry["content"]["subject"].startswith("pat_")
    assert "4711" not in json.dumps(entry)


def test_a_program_that_hangs_up_on_ollamas_stream_stops_its_answer(talking: Clinic) -> None:
    """Lines of JSON are watched like events: nobody reads on, so nobody writes on."""
    body = {"model": "tiny", "messages": SAID}
    headers = {"Authorization": f"Bearer {talking.key()}"}
    with (
        talking.served() as address,
        httpx.Client(base_url=address, headers=headers) as caller,
        caller.stream("POST", "/api/chat", json=body) as response,
    ):
        name = response.headers["X-Answer-Id"]
        lines = response.iter_lines()
        assert not json.loads(next(lines))["done"]
    for _ in range(100):
        if talking.record(entity=name, action="answer.stop"):
            break
        time.sleep(0.05)
    assert talking.record(entity=name)[0]["content"]["reason"] == "disconnected"
