"""What can be read off a JSON Schema before any grammar is made of it.

Pure. `check` lets nothing through that `grammar` would have to ignore: an unknown or unsupported
keyword, a combination that it does not combine, a value of the wrong shape. References stay
inside the schema; nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance.errors import BadInputError

Schema = Mapping[str, Any]
ANY_OBJECT: Schema = {"type": "object"}
KINDS = ("object", "array", "string", "integer", "number", "boolean", "null")
# What says something to people only.
NOTES = frozenset(
    {"title", "description", "default", "example", "examples", "deprecated", "readOnly"}
    | {"writeOnly", "$schema", "$id", "$comment", "$defs", "definitions"}
)
BY_KIND: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
}
# Each of these says everything by itself, so that nothing else has to hold as well.
ALONE = ("$ref", "allOf", "anyOf", "oneOf", "const", "enum")
KNOWN = frozenset({"type", *ALONE}).union(NOTES, *BY_KIND.values())
MAX_COUNT = 1_000
MAX_NAME = 256
MAX_WAYS = 64


def check(schema: object) -> Schema:
    """Return a schema that holds only what can be enforced; raise BadInputError naming the rest."""
    if not isinstance(schema, Mapping):
        raise BadInputError("a schema must be an object, true or false")
    for keyword in schema:
        if keyword not in KNOWN and not keyword.startswith("x-"):
            raise BadInputError(
                f"{keyword[:40]!r} in a schema cannot be enforced", hint="take it out of the schema"
            )
    _check_alone(schema)
    _check_shapes(schema)
    if "pattern" in schema and schema.keys() & {"minLength", "maxLength", "format"}:
        raise BadInputError("pattern cannot be enforced together with a length or a format")
    if "format" in schema and schema.keys() & {"minLength", "maxLength"}:
        raise BadInputError("format cannot be enforced together with a length")
    return schema


def _check_alone(schema: Schema) -> None:
    single = [keyword for keyword in ALONE if keyword in schema]
    if not single:
        return
    beside = {key for key in schema.keys() - NOTES - {single[0]} if not key.startswith("x-")}
    if single[0] in ("const", "enum"):
        beside -= {"type"}
    if beside:
        raise BadInputError(
            f"{single[0]} cannot be enforced together with {min(beside)[:40]!r} beside it"
        )


def _check_shapes(schema: Schema) -> None:
    shapes: Mapping[str, type | tuple[type, ...]] = {
        "properties": Mapping,
        "required": list,
        "prefixItems": list,
        "enum": list,
        "anyOf": list,
        "oneOf": list,
        "allOf": list,
        "pattern": str,
        "format": str,
        "$ref": str,
    }
    for keyword, shape in shapes.items():
        if keyword in schema and not isinstance(schema[keyword], shape):
            raise BadInputError(f"{keyword} in a schema has the wrong shape")
    if not all(isinstance(name, str) for name in schema.get("required", ())):
        raise BadInputError("required in a schema must list names")
    if any(
        len(name) > MAX_NAME
        for name in (*schema.get("properties", ()), *schema.get("required", ()))
    ):
        raise BadInputError(f"a member's name has more than {MAX_NAME} characters")
    if "allOf" in schema and len(schema["allOf"]) != 1:
        raise BadInputError("allOf can be enforced with one part only")
    if any(len(schema.get(union, ())) > MAX_WAYS for union in ("anyOf", "oneOf")):
        raise BadInputError(f"anyOf or oneOf has more than {MAX_WAYS} parts")
    if not all(schema.get(union, True) for union in ("anyOf", "oneOf", "enum")):
        raise BadInputError("anyOf, oneOf and enum in a schema must not be empty")


def kind_of(schema: Schema) -> tuple[str, ...]:
    """Return the types that an answer may have; none where the schema says nothing at all."""
    given = schema.get("type")
    if given is None:
        # Whatever it says of one type only is meant for that type.
        return tuple(kind for kind, words in BY_KIND.items() if schema.keys() & words)
    kinds = [given] if isinstance(given, str) else given
    if not isinstance(kinds, list) or not kinds or not all(kind in KINDS for kind in kinds):
        raise BadInputError(f"type in a schema must be one or more of {', '.join(KINDS)}")
    unique = tuple(dict.fromkeys(kinds))
    # Every integer is a number already.
    return tuple(kind for kind in unique if kind != "integer" or "number" not in unique)


def count_of(schema: Schema, keyword: str) -> int | None:
    """Return a bound on a length."""
    value = schema.get(keyword)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise BadInputError(f"{keyword} can be enforced from 0 to {MAX_COUNT}")
    return value


def whole_bounds(schema: Schema, integer: bool) -> tuple[int | None, int | None]:
    """Return the lowest and the highest number, both included."""
    low, high = _whole(schema, "minimum"), _whole(schema, "maximum")
    below, above = _whole(schema, "exclusiveMinimum"), _whole(schema, "exclusiveMaximum")
    if not integer and not (below is None and above is None):
        raise BadInputError("exclusiveMinimum and exclusiveMaximum of a number cannot be enforced")
    lows = [bound for bound in (low, None if below is None else below + 1) if bound is not None]
    highs = [bound for bound in (high, None if above is None else above - 1) if bound is not None]
    return max(lows, default=None), min(highs, default=None)


def _whole(schema: Schema, keyword: str) -> int | None:
    value = schema.get(keyword)
    if value is None:
        return None
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not is_whole or abs(value) > 10**12:
        raise BadInputError(f"{keyword} can be enforced as a whole number only")
    return int(value)


def literals_of(schema: Schema) -> list[Any]:
    """Return the values that `const` or `enum` lists and that fit `type`."""
    listed = [schema["const"]] if "const" in schema else schema["enum"]
    kinds = kind_of(schema) if "type" in schema else KINDS
    return [value for value in listed if _kinds_of_value(value) & set(kinds)]


def resolved(root: object, name: object) -> tuple[object, bool]:
    """Return what a reference names, and whether that leads back to itself."""
    return _target(root, name), _leads_to(root, str(name), str(name))


def _target(root: object, name: object) -> object:
    if not isinstance(name, str) or not (name == "#" or name.startswith("#/")):
        raise BadInputError("$ref must point into the schema itself, such as #/$defs/name")
    target = root
    for step in name.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and step in target:
            target = target[step]
        elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        else:
            raise BadInputError(f"$ref {name[:80]!r} points to nothing")
    return target


def _leads_to(root: object, start: str, goal: str) -> bool:
    seen: set[str] = set()
    open_names = [start]
    while open_names:
        for name in _references(_target(root, open_names.pop())):
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                open_names.append(name)
    return False


def _references(part: object) -> Iterator[str]:
    """Yield all references in a part of a schema, and in what only looks like one."""
    open_parts = [part]
    while open_parts:
        item = open_parts.pop()
        if isinstance(item, Mapping):
            if isinstance(item.get("$ref"), str):
                yield item["$ref"]
            open_parts += item.values()
        elif isinstance(item, list):
            open_parts += item


def kinds_written(root: object, schema: object) -> frozenset[str]:
    """Return the types of what a part lets an answer write; more than it does is no fault."""
    if not isinstance(schema, Mapping):
        return frozenset(KINDS)
    schema = _followed(root, schema)
    if "const" in schema or "enum" in schema:
        return frozenset().union(*map(_kinds_of_value, literals_of(schema)))
    kinds = kind_of(schema) if not schema.keys() & set(ALONE) else ()
    found = frozenset(kinds or KINDS)
    return found | {"number", "integer"} if found & {"number", "integer"} else found


def distinct(root: object, ways: Sequence[object]) -> bool:
    """Tell whether what one part lets an answer write is never valid under another."""
    parts = [_followed(root, way) for way in ways if isinstance(way, Mapping)]
    if len(parts) < len(ways):
        return False
    return all(
        _differ(root, one, other) for place, one in enumerate(parts) for other in parts[:place]
    )


def _differ(root: object, one: Schema, other: Schema) -> bool:
    if not _accepted(one) & _accepted(other):
        return True
    mine, theirs = _texts(one), _texts(other)
    if mine is not None and theirs is not None:
        return not mine & theirs
    both = set(one.get("required", ())) & set(other.get("required", ()))
    return any(_told_apart(root, one, other, name) for name in both)


def _told_apart(root: object, one: Schema, other: Schema, name: str) -> bool:
    found = []
    for schema in (one, other):
        member = schema.get("properties", {}).get(name)
        texts = _texts(_followed(root, member)) if isinstance(member, Mapping) else None
        found.append(texts)
    mine, theirs = found
    return mine is not None and theirs is not None and not mine & theirs


def _accepted(schema: Schema) -> frozenset[str]:
    """Return the types of all values that may be valid, written by us or not."""
    if "const" in schema or "enum" in schema:
        return frozenset().union(*map(_kinds_of_value, literals_of(schema)))
    if "type" not in schema or schema.keys() & set(ALONE):
        return frozenset(KINDS)
    kinds = frozenset(kind_of(schema))
    return kinds | {"integer"} if "number" in kinds else kinds


def _texts(schema: Schema) -> frozenset[str] | None:
    if "const" not in schema and "enum" not in schema:
        return None
    return frozenset(json.dumps(value, sort_keys=True) for value in literals_of(schema))


def _followed(root: object, schema: Schema) -> Schema:
    """Follow references (and an allOf of one) to what they stand for."""
    for _ in range(16):
        if "$ref" in schema:
            target = _target(root, schema["$ref"])
        elif isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            target = schema["allOf"][0]
        else:
            return schema
        schema = target if isinstance(target, Mapping) else {}
    return schema


def _kinds_of_value(value: object) -> frozenset[str]:
    match value:
        case bool():
            return frozenset({"boolean"})
        case int():
            return frozenset({"integer", "number"})
        case float():
            return frozenset({"integer", "number"} if value.is_integer() else {"number"})
        case str():
            return frozenset({"string"})
        case None:
            return frozenset({"null"})
        case list():
            return frozenset({"array"})
        case _:
            return frozenset({"object"})
