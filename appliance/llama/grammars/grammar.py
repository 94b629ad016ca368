"""A JSON Schema as a grammar that llama.cpp follows while it writes.

Pure. Guarantee: every complete answer under the grammar is JSON that is valid under the schema.
The grammar may allow less than the schema does (members in the schema's order, none but those it
describes, nesting up to a bound), never more: a keyword that it cannot enforce is refused by its
name. Size, nesting and ambiguity are bounded, so that no schema can hold the engine up.
Source: JSON Schema, draft 2020-12; `definitions` of older drafts is read like `$defs`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import BadInputError
from appliance.llama.grammars import patterns, values
from appliance.llama.grammars.rules import Ref, Rules, too_large
from appliance.llama.grammars.schema_facts import (
    ANY_OBJECT,
    Schema,
    check,
    count_of,
    distinct,
    kind_of,
    kinds_written,
    literals_of,
    resolved,
    whole_bounds,
)

MAX_SCHEMA_BYTES = 65_536
# How often a definition may come back inside itself, and how deep values of any kind may nest.
MAX_RECURSION = 8
MAX_ANY_DEPTH = 5
MAX_DEPTH = 48
MAX_PARTS = 6_000
# How many ways to go on an answer may have at one place; each costs time for each token.
MAX_AT_ONCE = 128


@dataclass(frozen=True)
class _Value:
    """A rule for a value, and how many ways through it may be open at once."""

    rule: Ref
    at_once: int = 1


def of_response_format(value: object) -> str | None:
    """Return the grammar of OpenAI's `response_format`, None when any text will do."""
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return of_schema(ANY_OBJECT)
    described = value.get("json_schema") if isinstance(value, Mapping) else None
    schema = described.get("schema") if isinstance(described, Mapping) else None
    if kind != "json_schema" or schema is None:
        raise BadInputError(
            "response_format must be of type text, json_object or json_schema with a schema"
        )
    return of_schema(schema)


def of_schema(schema: object) -> str:
    """Return the grammar; raise BadInputError that names what cannot be enforced."""
    rules = Rules()
    return rules.text(rule_of(schema, rules))


def rule_of(schema: object, rules: Rules) -> Ref:
    """Add what a schema needs to `rules`; return the rule of a whole value."""
    _bound(schema)
    value = _Reader(schema, rules).value(schema, MAX_RECURSION, 0)
    if value is None:
        raise BadInputError("no answer of bounded nesting can be valid under this schema")
    return value.rule


def _bound(schema: object) -> None:
    try:
        size = len(json.dumps(schema, allow_nan=False).encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInputError("the schema is not JSON, or nested too deeply") from error
    if size > MAX_SCHEMA_BYTES:
        raise BadInputError(f"the schema has {size} bytes; at most {MAX_SCHEMA_BYTES} can be used")


class _Reader:
    """Turns the parts of one schema into rules; a part that nothing can satisfy is None."""

    def __init__(self, root: object, rules: Rules) -> None:
        self._root = root
        self._rules = rules
        self._parts = 0
        self._targets: dict[str, tuple[object, bool]] = {}
        self._known: dict[tuple[str, int], _Value | None] = {}

    def value(self, schema: object, recursion: int, depth: int) -> _Value | None:
        """Return the rule for a value; each $ref within itself uses up one of `recursion`."""
        self._parts += 1
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            raise too_large()
        if isinstance(schema, bool):
            return self._anything() if schema else None
        known = check(schema)
        if "$ref" in known:
            return self._reference(known["$ref"], recursion, depth)
        if "allOf" in known:
            return self.value(known["allOf"][0], recursion, depth + 1)
        for union in ("anyOf", "oneOf"):
            if union in known:
                return self._union(union, known[union], recursion, depth)
        if "const" in known or "enum" in known:
            return self._listed(known)
        return self._typed(known, recursion, depth)

    def _reference(self, name: object, recursion: int, depth: int) -> _Value | None:
        if str(name) not in self._targets:
            self._targets[str(name)] = resolved(self._root, name)
        target, recursive = self._targets[str(name)]
        recursion -= recursive
        if recursion < 0:
            return None
        key = (str(name), recursion)
        if key not in self._known:
            self._known[key] = self.value(target, recursion, depth + 1)
        return self._known[key]

    def _union(self, keyword: str, ways: object, recursion: int, depth: int) -> _Value | None:
        assert isinstance(ways, list)  # noqa: S101 - `check` has seen to it
        if keyword == "oneOf" and not distinct(self._root, ways):
            raise BadInputError(
                "oneOf can be enforced where its parts differ by type, by what they list, or by a "
                "required member with another const each; otherwise use anyOf"
            )
        found = [(way, self.value(way, recursion, depth + 1)) for way in ways]
        kinds = [
            (kinds_written(self._root, way), value) for way, value in found if value is not None
        ]
        if not kinds:
            return None
        # Parts that begin alike stay open beside each other for a while.
        at_once = max(
            sum(value.at_once for other, value in kinds if mine & other) for mine, _ in kinds
        )
        return self._checked(self._rules.add(*([value.rule] for _, value in kinds)), at_once)

    def _listed(self, known: Schema) -> _Value | None:
        texts = [values.as_json(value) for value in literals_of(known)]
        return _Value(values.listed(self._rules, texts)) if texts else None

    def _typed(self, known: Schema, recursion: int, depth: int) -> _Value | None:
        kinds = kind_of(known)
        if not kinds:
            return self._anything()
        found = [self._of_kind(kind, known, recursion, depth) for kind in kinds]
        possible = [value for value in found if value is not None]
        if not possible:
            return None
        at_once = max(value.at_once for value in possible)
        return self._checked(self._rules.add(*([value.rule] for value in possible)), at_once)

    def _of_kind(self, kind: str, known: Schema, recursion: int, depth: int) -> _Value | None:
        match kind:
            case "object":
                return self._object(known, recursion, depth)
            case "array":
                return self._array(known, recursion, depth)
            case "string":
                return _Value(self._string(known))
            case "integer":
                return _Value(values.integer(self._rules, *whole_bounds(known, True)))
            case "number":
                return _Value(values.number(self._rules, *whole_bounds(known, False)), 3)
            case "boolean":
                return _Value(self._rules.literals(["true", "false"]))
            case _:
                return _Value(self._rules.literals(["null"]))

    def _string(self, known: Schema) -> Ref:
        if "pattern" in known:
            return patterns.matching(self._rules, known["pattern"])
        if "format" in known:
            return patterns.of_format(self._rules, known["format"])
        low, high = count_of(known, "minLength") or 0, count_of(known, "maxLength")
        return patterns.string(self._rules, low, high)

    def _object(self, known: Schema, recursion: int, depth: int) -> _Value | None:
        others = known.get("additionalProperties", True)
        described = dict(known.get("properties", {}))
        required = frozenset(known.get("required", ()))
        described |= dict.fromkeys(sorted(required - described.keys()), others)
        if not described:
            return self._mapping(others, recursion, depth)
        found: dict[str, Ref] = {}
        at_once = run = 0
        for name, schema in described.items():
            value = self.value(schema, recursion, depth + 1)
            if value is not None:
                found[name] = value.rule
                at_once = max(at_once, value.at_once)
            elif name in required:
                return None
            run = 0 if name in required else run + 1
            # All names that may come next begin with the same quote.
            at_once = max(at_once, run + 1)
        return self._checked(values.members(self._rules, found, required), at_once)

    def _mapping(self, others: object, recursion: int, depth: int) -> _Value | None:
        value = self.value(others, recursion, depth + 1)
        if value is None:
            return _Value(values.members(self._rules, {}, frozenset()))
        return self._checked(values.mapping(self._rules, value.rule), value.at_once)

    def _array(self, known: Schema, recursion: int, depth: int) -> _Value | None:
        low, high = count_of(known, "minItems") or 0, count_of(known, "maxItems")
        if "prefixItems" in known:
            return self._tuple(known["prefixItems"], low, high, recursion, depth)
        item = self.value(known.get("items", True), recursion, depth + 1)
        if item is None:
            return None if low else _Value(values.items_of(self._rules, ()))
        rule = values.array(self._rules, item.rule, low, high)
        return self._checked(rule, item.at_once + 1)

    def _tuple(
        self, parts: list[object], low: int, high: int | None, recursion: int, depth: int
    ) -> _Value | None:
        if low > len(parts) or (high is not None and high < len(parts)):
            raise BadInputError(
                "minItems and maxItems can be enforced as the length of prefixItems"
            )
        found = [self.value(part, recursion, depth + 1) for part in parts]
        items = [value for value in found if value is not None]
        if len(items) < len(parts):
            return None
        at_once = max((value.at_once for value in items), default=1)
        return _Value(values.items_of(self._rules, [item.rule for item in items]), at_once)

    def _anything(self) -> _Value:
        return _Value(values.anything(self._rules, MAX_ANY_DEPTH), 4)

    def _checked(self, rule: Ref, at_once: int) -> _Value:
        if at_once > MAX_AT_ONCE:
            raise too_large()
        return _Value(rule, at_once)
