"""Answers by a JSON Schema: what is complete is valid, what cannot be enforced is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from appliance.errors import BadInputError
from appliance.llama.grammars import grammar
from appliance.llama.grammars.patterns import FORMATS
from tests.simulators.engine_process import put_model
from tests.unit.llama.conftest import load_weights
from tests.unit.llama.writing import WILD, Writer

PATTERNS = [
    "^[A-Z]{2}[0-9]{3,5}$",
    r"^(yes|no|maybe\?)$",
    r"^\d+(\.\d{1,2})?$",
    r'^["\\/]{1,3}$',
    "^[^a-z\"]{0,4}$",
    r"^(?:ab|a|b){1,6}.$",
    r"^\w[\w.-]*\s?\n\u00e9\x41$",
    r"^[^\w]?[\t\-\]]+$",
]  # fmt: skip
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
    },
    "required": ["name", "kids"],
}
SCHEMAS: dict[str, Any] = {
    "anything": {},
    "an object": {"type": "object"},
    "several types": {"type": ["integer", "null", "array"], "maxItems": 2},
    "what is listed": {"enum": ["a", "ab", 1, 1.5, None, {"é\x85\ud800": [1]}, '"\\\n']},
    "one value": {"const": {"a": [True]}},
    "members": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"type": "number"}, "c d": {"type": "null"}},
        "required": ["b"],
    },
    "members of one kind": {"type": "object", "additionalProperties": {"type": "integer"}},
    "no members": {"type": "object", "additionalProperties": False},
    "required only": {"required": ["x"], "type": "object"},
    "a tree": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "a reference into itself": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    "a tuple": {"type": "array", "prefixItems": [{"type": "integer"}, {"const": "x"}]},
    "a bounded list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    "either": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 3, "maxLength": 3}]},
    "exactly one": {
        "oneOf": [
            {"type": "object", "properties": {"k": {"const": k}}, "required": ["k"]} for k in "ab"
        ]
    },
    "one part": {"allOf": [{"type": "boolean"}], "title": "t"},
    "ages": {"type": "integer", "minimum": 0, "exclusiveMaximum": 130},
    "negative": {"type": "integer", "minimum": -12, "maximum": -3},
    "at least one": {"type": "integer", "minimum": 1},
    "a share": {"type": "number", "minimum": 0, "maximum": 1},
    "not negative": {"type": "number", "minimum": 0},
    **{f"pattern {pattern}": {"type": "string", "pattern": pattern} for pattern in PATTERNS},
    **{f"format {name}": {"type": "string", "format": name} for name in FORMATS},
}
REFUSED: dict[str, Any] = {
    "multipleOf": {"type": "integer", "multipleOf": 3},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "patternProperties": {"type": "object", "patternProperties": {"^a": {}}},
    "'not'": {"not": {"type": "string"}},
    "'if'": {"if": {}, "then": {}},
    "contains": {"type": "array", "contains": {}},
    "minProperties": {"type": "object", "minProperties": 2},
    "minimum": {"type": "number", "minimum": 3},
    "exclusiveMinimum": {"type": "number", "exclusiveMinimum": 0},
    "whole number": {"type": "number", "minimum": 0.5},
    "apart": {"type": "integer", "minimum": 0, "maximum": 10**9},
    "more than maximum": {"type": "integer", "minimum": 2, "maximum": 1},
    "pattern must begin": {"type": "string", "pattern": "[a-z]+"},
    "pattern uses": {"type": "string", "pattern": "^(?=a)b$"},
    "pattern repeats": {"type": "string", "pattern": "^a+?$"},
    "cannot be repeated": {"type": "string", "pattern": "^(a?)*$"},
    "enforced": {"type": "string", "pattern": r"^\bword$"},
    "written out": {"type": "string", "pattern": "^(.{100}){100}$"},
    "ends in its middle": {"type": "string", "pattern": "^((a$"},
    "groups": {"type": "string", "pattern": "^" + "(" * 200 + "$"},
    "format 'hostname'": {"type": "string", "format": "hostname"},
    "together with a length": {"type": "string", "format": "date", "maxLength": 3},
    "maxLength": {"type": "string", "maxLength": 1_000_000},
    "minItems": {"type": "array", "minItems": -1},
    "repeated more often": {"type": "string", "minLength": 5, "maxLength": 3},
    "beside it": {"$ref": "#/$defs/a", "type": "object", "$defs": {"a": {}}},
    "point into": {"$ref": "https://example.org/schema"},
    "points to nothing": {"$ref": "#/$defs/none"},
    "bounded nesting": {"$ref": "#"},
    "no answer": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "oneOf": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    "oneOf can": {"oneOf": [{"required": ["a"]}, {"type": "string"}]},
    "allOf": {"allOf": [{"type": "string"}, {"maxLength": 3}]},
    "type in a schema": {"type": "file"},
    "anyOf, oneOf and enum": {"enum": []},
    "wrong shape": {"type": "object", "properties": []},
    "must be an object, true or false": {"type": "array", "items": 3},
    "has more than 1000 values": {"enum": list(range(1001))},
    "bytes": {"description": "x" * 70_000},
    "a member's name": {"type": "object", "properties": {"x" * 300: {}}},
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubled(levels: int, way: dict[str, Any]) -> dict[str, Any]:
    """Each definition names the next one twice, so that the ways through double each time."""
    definitions: dict[str, Any] = {
        f"d{level}": {
            "anyOf": [
                {**way, "items": {"$ref": f"#/$defs/d{level + 1}"}, "minItems": count}
                for count in (1, 2)
            ]
        }
        for level in range(levels)
    }
    return {"$defs": {**definitions, f"d{levels}": {"type": "null"}}, "$ref": "#/$defs/d0"}


AMBIGUOUS = {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "maxItems": n} for n in (1, 2)]}
COSTLY: dict[str, Any] = {
    "nested too deeply": nested(200),
    "ways that double": doubled(30, {"type": "array"}),
    "ways that double on the way back": {"anyOf": [AMBIGUOUS["anyOf"][0], *AMBIGUOUS["anyOf"]]},
    "many long lists": {
        "type": "array", "prefixItems": [
            {"type": "array", "items": {"enum": [n]}, "maxItems": 1000} for n in range(100)
        ],
    },
    "many optional members": {
        "type": "object", "properties": {f"m{n}": {"type": "null"} for n in range(700)},
    },
    "many ways at once": {
        "anyOf": [
            {"anyOf": [{"type": "array", "items": {"const": 64 * n + m}} for m in range(64)]}
            for n in range(8)
        ],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    folder = tmp_path_factory.mktemp("library")
    own = Writer(load_weights(folder, put_model(folder, context=2048)))
    yield own
    own.close()


def written(writer: Writer, schema: Any, seed: int) -> tuple[str, str]:
    return writer.text(replace(WILD, seed=seed, grammar=grammar.of_schema(schema)))


def require_valid(schema: Any, text: str) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(json.loads(text))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_complete_answer_is_valid(writer: Writer, schema: Any) -> None:
    """Whatever a model of random weights writes to its end, a validator accepts."""
    ends = []
    for seed in range(25):
        end, text = written(writer, schema, seed)
        ends.append(end)
        if end == "stop":
            require_valid(schema, text)
    assert "stop" in ends


@pytest.mark.parametrize(("word", "schema"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_enforced_is_refused(word: str, schema: Any) -> None:
    """The refusal names the keyword that would have been ignored."""
    with pytest.raises(BadInputError, match=word):
        grammar.of_schema(schema)


@pytest.mark.parametrize("schema", COSTLY.values(), ids=COSTLY)
def test_a_schema_that_would_hold_the_engine_up_is_refused(schema: Any) -> None:
    """Nesting, repetition and ambiguity are counted before llama.cpp sees the grammar."""
    with pytest.raises(BadInputError, match=r"too large|too ambiguous|nested too deeply"):
        grammar.of_schema(schema)


def test_every_refused_keyword_is_not_one_that_is_known() -> None:
    """A misspelt keyword is refused as well, not taken for a note."""
    with pytest.raises(BadInputError, match="'maxlength' in a schema cannot be enforced"):
        grammar.of_schema({"type": "string", "maxlength": 3})


def scalars() -> st.SearchStrategy[Any]:
    lengths = st.tuples(st.integers(0, 3), st.integers(3, 6))
    return st.one_of(
        st.sampled_from([{"type": name} for name in ("boolean", "null", "integer", "number")]),
        st.sampled_from([{"type": "string", "pattern": pattern} for pattern in PATTERNS]),
        st.sampled_from([{"type": "string", "format": name} for name in FORMATS]),
        lengths.map(lambda ends: {"type": "string", "minLength": ends[0], "maxLength": ends[1]}),
        lengths.map(lambda ends: {"type": "integer", "minimum": -ends[0], "maximum": ends[1]}),
        st.lists(st.text(max_size=4) | st.integers() | st.none(), min_size=1, max_size=5).map(
            lambda values: {"enum": values}
        ),
    )


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text('abc é"\\', min_size=0, max_size=3)
    members = st.dictionaries(names, inner, max_size=4)
    objects = members.flatmap(
        lambda found: st.sets(st.sampled_from(sorted(found)) if found else st.nothing()).map(
            lambda required: {
                "type": "object", "properties": found, "required": sorted(required),
            }
        )
    )  # fmt: skip
    return st.one_of(
        objects,
        st.tuples(inner, st.integers(0, 2)).map(
            lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1], "maxItems": 3}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: {"anyOf": ways}),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda items: {"type": "array", "prefixItems": items}
        ),
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.recursive(scalars(), containers, max_leaves=6), st.integers(0, 2**31))
def test_any_schema_of_the_supported_kind_is_followed(
    writer: Writer, schema: Any, seed: int
) -> None:
    """Random schemas, random weights, random choices: what ends is valid, the rest was cut."""
    try:
        end, text = written(writer, schema, seed)
    except BadInputError:
        assume(False)
    if end == "stop":
        require_valid(schema, text)
    else:
        assert text


def test_response_format_reads_as_in_the_api() -> None:
    """Text needs no grammar; a JSON object and a schema get one; anything else is refused."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}}
    assert grammar.of_response_format(None) is None
    assert grammar.of_response_format({"type": "text"}) is None
    assert grammar.of_response_format({"type": "json_object"}) is not None
    assert '"null"' in str(grammar.of_response_format(schema))
    for wrong in ("json", {"type": "xml"}, {"type": "json_schema"}, {"json_schema": {}}, []):
        with pytest.raises(BadInputError, match="response_format"):
            grammar.of_response_format(wrong)
