"""What both APIs refuse: strangers, managing models, and whatever cannot be heeded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.simulators.clinic import Browser, Clinic

SAID = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def send(clinic: Clinic, path: str, body: object, method: str = "POST") -> TestResponse:
    headers = {"Authorization": f"Bearer {clinic.key()}"}
    return Browser(clinic).client.open(path, method=method, json=body, headers=headers)


# --- strangers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tags"), ("GET", "/api/version"), ("GET", "/api/ps"), ("POST", "/api/chat"),
        ("POST", "/api/pull"), ("DELETE", "/api/delete"), ("POST", "/api/anything"),
        ("POST", "/v1/embeddings"), ("POST", "/v1/completions"),
    ],
)  # fmt: skip
def test_without_a_key_every_route_answers_401(answering: Clinic, method: str, path: str) -> None:
    """Also those that refuse everybody: nobody learns what there is."""
    response = Browser(answering).client.open(path, method=method)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_is_no_key(answering: Clinic) -> None:
    """A browser that is signed in cannot be made to call the API by another page."""
    assert answering.browser("clinician").get("/api/tags").status_code == 401


def test_an_error_has_the_shape_of_its_api(answering: Clinic) -> None:
    """Ollama's clients read a text under `error`, OpenAI's an object."""
    browser = Browser(answering)
    assert isinstance(browser.get("/api/tags").get_json()["error"], str)
    assert isinstance(browser.get("/v1/models").get_json()["error"], dict)


# --- managing models


@pytest.mark.parametrize(
    ("method", "path", "word"),
    [
        ("POST", "/api/pull", "POST pull"),
        ("POST", "/api/push", "POST push"),
        ("POST", "/api/create", "POST create"),
        ("POST", "/api/copy", "POST copy"),
        ("DELETE", "/api/delete", "DELETE delete"),
        ("HEAD", "/api/blobs/sha256:" + "0" * 64, "HEAD blobs"),
        ("POST", "/api/blobs/sha256:" + "0" * 64, "POST blobs"),
        ("POST", "/api/signin", "POST signin"),
        ("OPTIONS", "/api/pull", "OPTIONS pull"),
        ("POST", "/api/%70ull/", "POST pull"),
        ("PUT", "/api/telltale", "PUT other"),
        ("POST", "/api//pull", "POST pull"),
        ("DELETE", "/api///delete", "DELETE delete"),
        ("POST", "/api/blobs//telltale", "POST blobs"),
    ],
)
def test_managing_models_is_refused_and_recorded(
    answering: Clinic, method: str, path: str, word: str
) -> None:
    """403 for whoever is signed in, and an entry that holds nothing that was sent."""
    response = send(answering, path, {"model": "telltale"}, method)
    assert response.status_code == 403
    entry = answering.record(action="model.manage")[0]
    assert (entry["outcome"], entry["content"]["route"]) == ("refused", word)
    assert entry["agent"]["user"] == answering.actor("clinician").user
    assert "telltale" not in json.dumps(entry)


@pytest.mark.parametrize("path", ["/v1//models", "/v1/models//", "/c//", "/static//page.js"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_doubled_slash_leads_nowhere(answering: Clinic, method: str, path: str) -> None:
    """Nobody is sent on to the address that was perhaps meant: there is no such page."""
    assert send(answering, path, {}, method).status_code == 404


def test_two_slashes_before_a_path_open_no_other_way_in(answering: Clinic) -> None:
    """They are read as one, by the guard and by the routes: no key, no answer; then a refusal."""
    client, path = Browser(answering).client, {"PATH_INFO": "//api/pull"}
    assert client.post(environ_overrides=path).status_code == 401
    before = len(answering.record(action="model.manage"))
    headers = {"Authorization": f"Bearer {answering.key()}"}
    assert client.post(environ_overrides=path, headers=headers).status_code == 403
    assert len(answering.record(action="model.manage")) == before + 1


def test_the_wrong_method_is_no_management(answering: Clinic) -> None:
    """A route that answers another method says so, and records no attempt on the models."""
    before = len(answering.record(action="model.manage"))
    assert send(answering, "/api/chat", {}, "PUT").status_code == 405
    assert len(answering.record(action="model.manage")) == before


def test_a_wish_to_unload_a_model_is_management(answering: Clinic) -> None:
    """What a program would use to take a model from everybody else's answers is refused."""
    body = {"model": "tiny", "keep_alive": 0}
    assert send(answering, "/api/generate", body).status_code == 403
    assert answering.record(action="model.manage")[0]["content"]["route"] == "unload"


# --- bodies


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"n": 2}, "n"),
    ("/v1/chat/completions", {"functions": [{"name": "look"}]}, "functions"),
    ("/v1/chat/completions", {"modalities": ["text", "audio"]}, "modalities"),
    ("/v1/chat/completions", {"web_search_options": {}}, "web_search_options"),
    ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs"),
    ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
    ("/v1/chat/completions", {"tools": [TOOL, TOOL]}, "tools"),
    ("/v1/chat/completions", {"tools": [{"type": "web_search"}]}, "tools"),
    ("/v1/chat/completions", {"logit_bias": {"a": 1}}, "logit_bias"),
    ("/v1/chat/completions", {"response_format": {"type": "xml"}}, "response_format"),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema"}}, "json_schema"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [PICTURE]}]}, "only text"),
    ("/v1/chat/completions", {"messages": [{"role": "function", "content": "x"}]}, "messages"),
    ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
    ("/v1/completions", {"prompt": "a", "echo": True}, "echo"),
    ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ("/v1/completions", {"prompt": "a", "best_of": 2}, "best_of"),
    ("/v1/completions", {"prompt": [[1, 2]]}, "token numbers"),
    ("/v1/embeddings", {"input": []}, "input"),
    ("/v1/embeddings", {"input": [""]}, "input"),
    ("/v1/embeddings", {"input": " "}, "empty"),
    ("/v1/embeddings", {"input": ["a"] * 257}, "input"),
    ("/v1/embeddings", {"input": [1, 2]}, "token numbers"),
    ("/v1/embeddings", {"input": "a", "dimensions": 8}, "dimensions"),
    ("/v1/embeddings", {"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ("/api/chat", {"messages": SAID, "think": True}, "think"),
    ("/api/chat", {"messages": SAID, "think": "high"}, "think"),
    ("/api/chat", {"messages": SAID, "format": "xml"}, "format"),
    ("/api/chat", {"messages": SAID, "options": {"mirostat": 1}}, "mirostat"),
    ("/api/chat", {"messages": SAID, "options": {"tempratur": 1}}, "tempratur"),
    ("/api/chat", {"messages": [{**SAID[0], "images": ["aGk="]}]}, "images"),
    ("/api/generate", {"prompt": "a", "suffix": "b"}, "suffix"),
    ("/api/generate", {"prompt": "a", "template": "b"}, "template"),
    ("/api/generate", {"prompt": "a", "context": [1]}, "context"),
    ("/api/generate", {"prompt": "a", "raw": True, "system": "b"}, "system"),
    ("/api/embed", {"input": "a", "dimensions": 8}, "dimensions"),
    ("/api/embed", {"input": []}, "input"),
    ("/api/embeddings", {"prompt": ""}, "prompt"),
]


@pytest.mark.parametrize(("path", "fields", "named"), REFUSED)
def test_what_cannot_be_heeded_is_a_400_that_names_it(
    answering: Clinic, path: str, fields: dict[str, Any], named: str
) -> None:
    """Nothing that would change the meaning is ignored in silence, and the refusal is recorded."""
    start = answering.head()
    usual = {"messages": SAID} if path == "/v1/chat/completions" else {}
    response = send(answering, path, {"model": "tiny", **usual, **fields})
    assert response.status_code == 400, response.get_data(as_text=True)
    said = response.get_json()["error"]
    assert named in (said if isinstance(said, str) else said["message"])
    outcomes = [entry["outcome"] for entry in answering.record() if entry["seq"] >= start]
    assert "refused" in outcomes


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"functions": [], "function_call": "none", "store": True,
                                  "modalities": ["text"], "service_tier": "auto"}),
        ("/api/chat", {"think": False, "format": "", "keep_alive": "5m", "stream": False,
                       "options": {"num_ctx": 8192, "num_thread": 8, "mirostat": 0, "stop": []}}),
    ],
)  # fmt: skip
def test_what_means_nothing_is_taken(answering: Clinic, path: str, fields: dict[str, Any]) -> None:
    """Neutral values and what is ours to decide do not stop a program."""
    options = {"num_predict": 2, **fields.pop("options", {})}
    body = {"model": "tiny", "messages": SAID, "max_tokens": 2, "options": options, **fields}
    assert send(answering, path, body).status_code == 200
