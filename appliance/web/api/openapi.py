"""The OpenAPI 3.1 document of the public API, made of the types that the code itself runs on.

Bodies are the pydantic models that check them, replies the types that the checker holds the code
to, paths those of the application; so it says nothing that is not so. It names no site, person
or model. Not here: prose (docs/reference/api.md).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask
from pydantic import TypeAdapter
from werkzeug.routing import Rule

from appliance.web.api import ollama_replies, openai_replies
from appliance.web.api.described import JSON, Description, description_of

PREFIXES = ("/v1/", "/api/")
REFERENCE = "#/components/schemas/{model}"
SECURITY = "key"
FAULTS = {
    "400": "The body is not one that can be heeded; the message names the field.",
    "401": "No valid API key came with the request.",
    "403": "The key's owner may not do this, or nobody may.",
    "404": "There is no such model, as far as the key's owner may know.",
    "413": "The body is larger than this appliance takes.",
    "429": "Too many requests are under way; `Retry-After` says when to try again.",
    "503": "The model or the record is not available; nothing was answered.",
}
ENTRY = {
    "X-Answer-Id": {
        "description": "The name of the answer in the record.",
        "schema": {"type": "string"},
    },
    "X-Receipt-Entry": {
        "description": "The number of the entry that ends it; not on streams.",
        "schema": {"type": "string"},
    },
}
PURPOSE = {
    "name": "X-Purpose",
    "in": "header",
    "description": "The purpose of use, of those that the site allows.",
    "schema": {"type": "string"},
}
# `<wish:wish>` of a route.
CONVERTED = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
Schema = dict[str, Any]


def rules_of(app: Flask) -> list[Rule]:
    """Return the routes that programs may call, in order of their paths."""
    found = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(PREFIXES)]
    return sorted(found, key=lambda rule: rule.rule)


def path_of(rule: Rule) -> str:
    """Return a route's path as OpenAPI writes it."""
    return CONVERTED.sub(r"{\1}", rule.rule)


def document(app: Flask, version: str) -> dict[str, Any]:
    """Return the whole document."""
    schemas: dict[str, Schema] = {}
    paths: dict[str, dict[str, Any]] = {}
    for rule in rules_of(app):
        view = app.view_functions[rule.endpoint]
        description = description_of(view)
        if description is None:
            continue
        operations = paths.setdefault(path_of(rule), {})
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operations[method.lower()] = {
                "operationId": f"{rule.endpoint}_{method}".replace(".", "_"),
                "description": inspect.getdoc(view) or "",
                **_operation(rule, description, schemas),
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The appliance's API for programs",
            "version": version,
            "description": "OpenAI's API under /v1 and Ollama's under /api. "
            "Every request is recorded under the owner of its key.",
        },
        "security": [{SECURITY: []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {SECURITY: {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(rule: Rule, description: Description, schemas: dict[str, Schema]) -> Schema:
    name = "Ollama" if rule.rule.startswith("/api/") else "OpenAI"
    made: Schema = {
        "summary": description.summary,
        "tags": [name],
        "parameters": [
            {"name": argument, "in": "path", "required": True, "schema": {"type": "string"}}
            for argument in sorted(rule.arguments)
        ],
        "responses": {
            **_success(name, description, schemas),
            **_faults(name, schemas, "default" if description.status == 200 else "403"),
        },
    }
    if description.body is not None:
        body = _schema(name, description.body, schemas, mode="validation")
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    if description.names_entry:
        made["parameters"].append(PURPOSE)
    return made


def _success(name: str, description: Description, schemas: dict[str, Schema]) -> Schema:
    if description.status != 200:
        return {}
    content: Schema = {}
    if isinstance(description.reply, str):
        content[description.reply] = {"schema": {"type": "string"}}
    elif description.reply is not None:
        content[JSON] = {"schema": _schema(name, description.reply, schemas)}
    if description.piece is not None:
        # Each event or line holds one of these.
        piece = _schema(name, description.piece, schemas)
        content[description.stream] = {"schema": piece}
    answer: Schema = {"description": "Done.", "content": content}
    if description.names_entry:
        answer["headers"] = ENTRY
    return {"200": answer}


def _faults(name: str, schemas: dict[str, Schema], which: str) -> Schema:
    kind = ollama_replies.FaultReply if name == "Ollama" else openai_replies.FaultReply
    content = {JSON: {"schema": _schema(name, kind, schemas)}}
    if which != "default":
        return {which: {"description": FAULTS[which], "content": content}}
    return {status: {"description": words, "content": content} for status, words in FAULTS.items()}


def _schema(
    name: str, kind: Any, schemas: dict[str, Schema], mode: Any = "serialization"
) -> Schema:
    """Put the schema of a type, and of those in it, among `schemas`; return a reference to it.

    Both APIs have types of the same name, so each name begins with that of its API.
    """
    side = "Body" if mode == "validation" else "Reply"
    template = REFERENCE.replace("{model}", f"{name}{side}.{{model}}")
    made = TypeAdapter(kind).json_schema(mode=mode, ref_template=template)
    for inner, schema in made.pop("$defs", {}).items():
        schemas[f"{name}{side}.{inner}"] = schema
    if set(made) == {"$ref"}:
        return made
    own = f"{name}{side}.{kind.__name__}"
    schemas[own] = made
    return {"$ref": f"#/components/schemas/{own}"}


@dataclass(frozen=True)
class FieldShown:
    """One field of a body, in words."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True)
class RouteShown:
    """One route, as a page shows it."""

    method: str
    path: str
    summary: str
    description: str
    fields: tuple[FieldShown, ...]
    statuses: tuple[tuple[str, str], ...]


def routes(made: Mapping[str, Any]) -> list[RouteShown]:
    """Return the routes of a document in words; the one that refuses everything comes once."""
    schemas = made["components"]["schemas"]
    shown = []
    for path, operations in made["paths"].items():
        known = list(operations.items())
        method, operation = known[0]
        every = method.upper() if len(known) == 1 else "ANY"
        body = operation.get("requestBody")
        schema = schemas[_name(body["content"][JSON]["schema"])] if body else {}
        statuses = tuple((code, item["description"]) for code, item in
                         operation["responses"].items())  # fmt: skip
        shown.append(RouteShown(every, path, operation["summary"], operation["description"],
                                tuple(_fields(schema)), statuses))  # fmt: skip
    return shown


def _fields(schema: Schema) -> Iterator[FieldShown]:
    required = schema.get("required", [])
    for name, given in schema.get("properties", {}).items():
        yield FieldShown(name, _words(given), name in required)


def _words(given: Schema) -> str:
    """Return a schema in few words: `text or list of text`, `number (0 to 2)`."""
    if given.get("type") == "null":
        return str(given.get("description", "null"))
    if "$ref" in given:
        return _name(given).rpartition(".")[2]
    options = given.get("anyOf") or given.get("oneOf")
    if options:
        kinds = dict.fromkeys(_words(option) for option in options)
        return " or ".join(kind for kind in kinds if kind != "null")
    if "const" in given or "enum" in given:
        return " or ".join(f"`{value}`" for value in given.get("enum") or [given["const"]])
    if given.get("type") == "array":
        return f"list of {_words(given.get('items', {}))}"
    least, most = given.get("minimum"), given.get("maximum")
    span = f" ({least} to {most})" if least is not None and most is not None else ""
    return f"{given.get('type', 'anything')}{span}"


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
