"""The OpenAPI document: valid, complete, the same for programs and people."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from appliance.web.api import openapi
from tests.simulators.clinic import Browser, Clinic
from tests.simulators.stack import ROOT

BODIES = {"Chat", "Completion", "EmbeddingBody", "Generate", "Embed", "EmbedOne", "Show"}


@pytest.fixture(scope="module")
def document(answering: Clinic) -> dict[str, Any]:
    response = Browser(answering).get(
        "/v1/openapi.json", headers={"Authorization": f"Bearer {answering.key()}"}
    )
    assert response.status_code == 200
    return dict(response.get_json())


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """It says of itself that it is 3.1, and holds to it."""
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_for_programs_is_in_it_and_nothing_else(
    answering: Clinic, document: dict[str, Any]
) -> None:
    """Each method of each route under /v1 and /api, and vice versa."""
    routes = {
        (openapi.path_of(rule), method.lower())
        for rule in answering.app.url_map.iter_rules()
        if rule.rule.startswith(("/v1/", "/api/"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, operations in document["paths"].items() for method in operations
    }
    assert described == routes


def test_the_names_of_its_operations_are_unique(document: dict[str, Any]) -> None:
    """Generators of clients make a function of each."""
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(names)) == len(names)


def test_a_body_in_it_is_the_one_that_is_checked(document: dict[str, Any]) -> None:
    """A field that is refused says so, one that is required is required."""
    body = document["components"]["schemas"]["OpenAIBody.Chat"]
    assert set(body["required"]) == {"model", "messages"}
    assert body["properties"]["functions"]["description"].startswith("Refused")
    assert "OllamaBody.Options" in document["components"]["schemas"]


def test_the_reference_page_has_every_route_and_every_field(document: dict[str, Any]) -> None:
    """A field that is added without a word in docs/reference/api.md fails here."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text()
    missing = [path for path in document["paths"] if path not in page]
    for name, schema in document["components"]["schemas"].items():
        if name.rpartition(".")[2] in BODIES and "Body." in name:
            missing += [
                f"{name} {field}" for field in schema["properties"] if f"`{field}`" not in page
            ]
    assert missing == []


SAID = [{"role": "user", "content": "hi"}]
BRIEF: dict[str, Any] = {"model": "tiny", "max_tokens": 2, "options": {"num_predict": 2}}
REPLIES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("/v1/models", "OpenAIReply.ModelsReply", None),
    ("/v1/chat/completions", "OpenAIReply.ChatReply", {**BRIEF, "messages": SAID}),
    ("/v1/chat/completions", "OpenAIReply.ChatReply",
     {**BRIEF, "messages": SAID, "logprobs": True, "top_logprobs": 1}),
    ("/v1/completions", "OpenAIReply.TextReply", {**BRIEF, "prompt": "hi", "logprobs": 1}),
    ("/v1/embeddings", "OpenAIReply.VectorsReply", {"model": "tiny", "input": "hi"}),
    ("/v1/embeddings", "OpenAIReply.FaultReply", {}),
    ("/api/chat", "OllamaReply.ChatReply",
     {**BRIEF, "messages": SAID, "stream": False, "logprobs": True}),
    ("/api/generate", "OllamaReply.GenerateReply", {**BRIEF, "prompt": "hi", "stream": False}),
    ("/api/embed", "OllamaReply.EmbedReply", {"model": "tiny", "input": "hi"}),
    ("/api/embeddings", "OllamaReply.EmbedOneReply", {"model": "tiny", "prompt": "hi"}),
    ("/api/show", "OllamaReply.ShowReply", {"model": "tiny"}),
    ("/api/tags", "OllamaReply.TagsReply", None),
    ("/api/ps", "OllamaReply.RunningReply", None),
    ("/api/version", "OllamaReply.VersionReply", None),
    ("/api/pull", "OllamaReply.FaultReply", {}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "schema", "body"), REPLIES)
def test_a_reply_is_what_the_document_says(
    answering: Clinic,
    document: dict[str, Any],
    path: str,
    schema: str,
    body: dict[str, Any] | None,
) -> None:
    """Every field that came is described, and every one that must come did."""
    headers = {"Authorization": f"Bearer {answering.key()}"}
    method = "GET" if body is None else "POST"
    reply = Browser(answering).client.open(path, method=method, json=body, headers=headers)
    closed = {
        name: {**found, "additionalProperties": False} if "properties" in found else found
        for name, found in document["components"]["schemas"].items()
    }
    wanted = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": closed}}
    Draft202012Validator(wanted).validate(reply.get_json())


def test_it_names_nothing_of_the_site(answering: Clinic, document: dict[str, Any]) -> None:
    """No model, person or address: it is the same on every machine of a release."""
    text = str(document)
    assert "tiny" not in text
    assert "localhost" not in text
    assert answering.config.site.name not in text


def test_without_a_key_there_is_no_document(answering: Clinic) -> None:
    """Under /v1 the guard knows no exception."""
    assert Browser(answering).get("/v1/openapi.json").status_code == 401


def test_people_read_the_same_as_a_page(answering: Clinic, document: dict[str, Any]) -> None:
    """The page has every route, loads nothing from elsewhere, and is linked from the keys."""
    browser = answering.browser("clinician")
    page = browser.get("/api-reference").get_data(as_text=True)
    for path in document["paths"]:
        assert path in page
    assert "http://" not in page
    assert "https://" not in page
    assert "/api-reference" in browser.get("/account").get_data(as_text=True)
    assert browser.get("/api-reference/openapi.json").get_json() == document
