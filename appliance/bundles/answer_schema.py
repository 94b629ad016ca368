"""JSON schemas for answers: a closed subset of JSON Schema 2020-12 that is checked in bounded time.

Left out on purpose: `$ref` and its kin (a few lines of it describe a tree of any size, or a
place elsewhere), `if`, `contains`, `unevaluated*` (their cost multiplies), `uniqueItems`
(quadratic), `format` (never enforced), `multipleOf` (overflows). `pattern` runs in RE2 instead
of Python's `re`. What an engine may enforce by a grammar is checked all the same: llama.cpp's
grammars know no numeric limits. Pure.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import referencing

from appliance.bundles import linear_regex
from appliance.bundles.linear_regex import UnusableCheckError

KEYWORDS = frozenset(
    {
        "title", "description", "type", "enum", "const", "properties", "required",
        "additionalProperties", "minProperties", "maxProperties", "items", "minItems", "maxItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength",
        "maxLength", "pattern", "anyOf", "allOf", "oneOf", "not",
    }
)  # fmt: skip
MAX_SCHEMA_BYTES = 16_384
MAX_SCHEMA_DEPTH = 12
# Each may be looked for in each value of an answer, and what is looked for is compiled once only
# as long as not more of them take turns than RE2's own cache holds.
MAX_SCHEMA_PATTERNS = 50
MAX_ANSWER_DEPTH = 32
MAX_ANSWER_ITEMS = 2_000
FENCE = "```"


def check(schema: object) -> None:
    """Raise UnusableCheckError unless `schema` is an object of the subset, within all bounds."""
    if not isinstance(schema, dict):
        raise UnusableCheckError("json_schema must be an object")
    library = _library()
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
            raise UnusableCheckError(f"json_schema has more than {MAX_SCHEMA_BYTES} bytes")
        if _check(schema, 1) > MAX_SCHEMA_PATTERNS:
            raise UnusableCheckError(f"json_schema has more than {MAX_SCHEMA_PATTERNS} patterns")
        library.Draft202012Validator.check_schema(schema)
    except (library.SchemaError, RecursionError) as error:
        raise UnusableCheckError(
            f"json_schema is not valid: {str(error).splitlines()[0]}"
        ) from None


def _check(schema: object, depth: int) -> int:
    """Refuse what is not of the subset; return how many patterns there are."""
    if isinstance(schema, bool):
        return 0
    if not isinstance(schema, dict):
        raise UnusableCheckError("each part of json_schema must be an object")
    if depth > MAX_SCHEMA_DEPTH:
        raise UnusableCheckError(f"json_schema is nested more than {MAX_SCHEMA_DEPTH} deep")
    unknown = sorted(set(schema) - KEYWORDS)
    if unknown:
        raise UnusableCheckError(
            f"json_schema uses {unknown[0][:40]!r}, which is not supported here"
        )
    if "pattern" in schema:
        linear_regex.check(schema["pattern"])
    return ("pattern" in schema) + sum(_check(part, depth + 1) for part in _parts(schema))


def _parts(schema: Mapping[str, Any]) -> Iterator[object]:
    for name in ("additionalProperties", "items", "not"):
        if name in schema:
            yield schema[name]
    for name in ("anyOf", "allOf", "oneOf"):
        if isinstance(schema.get(name), list):
            yield from schema[name]
    if isinstance(schema.get("properties"), dict):
        yield from schema["properties"].values()


def fault(schema: Mapping[str, Any], answer: str) -> str | None:
    """Return why the answer does not fit, None when it fits; `check` accepted the schema.

    The answer must be one JSON value, alone or in one fenced block; text around it is a fault.
    """
    try:
        value = json.loads(_unfenced(answer), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return "the answer is not JSON alone"
    if not _is_small(value):
        return f"the JSON has more than {MAX_ANSWER_ITEMS} values, or is nested too deeply"
    error = next(
        _validator_kind()(schema, registry=referencing.Registry()).iter_errors(value), None
    )
    if error is None:
        return None
    path = "/".join(str(step)[:40] for step in error.absolute_path) or "the whole"
    return f"the JSON does not fit the schema at {path}: {_said(error)}"


def _said(error: Any) -> str:
    """Name the rule, not the value: the library would print the whole value."""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{', '.join(missing)} is missing"[:200]
    return f"the rule is {error.validator} {json.dumps(error.validator_value)}"[:200]


def _unfenced(answer: str) -> str:
    text = answer.strip()
    first, _, rest = text.partition("\n")
    if first in (FENCE, f"{FENCE}json") and rest.endswith(FENCE):
        return rest.removesuffix(FENCE)
    return text


def _refuse(name: str) -> None:
    raise ValueError(name)


def _is_small(value: object) -> bool:
    """Count values level by level, without recursion."""
    level, count = [value], 0
    for _ in range(MAX_ANSWER_DEPTH):
        count += len(level)
        if count > MAX_ANSWER_ITEMS:
            return False
        level = [child for item in level for child in _children(item)]
        if not level:
            return True
    return False


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _pattern(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    if isinstance(value, str) and not linear_regex.found(pattern, value):
        yield _library().ValidationError("the text does not match the pattern")


@functools.cache
def _library() -> Any:
    # Loading it takes seconds (its formats compile a grammar), and hardly any command needs it.
    return importlib.import_module("jsonschema")


@functools.cache
def _validator_kind() -> Any:
    library = _library()
    return library.validators.extend(library.Draft202012Validator, validators={"pattern": _pattern})
