"""JSON's values as grammar rules: numbers within bounds, any value at all, what is listed.

Pure. Guarantee: every rule lets through JSON texts of finite length with bounded nesting, and
nothing but what its arguments say. Blanks are bounded, so that nothing can go on for ever in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from appliance.errors import BadInputError
from appliance.llama.grammars.patterns import DIGITS, string
from appliance.llama.grammars.rules import Chars, Item, Ref, Rules, Text

MAX_LISTED = 1_000
MAX_LISTED_CHARACTERS = 20_000
INDENTATION = 20
NONZERO = Chars(((0x31, 0x39),))
DIGIT = Chars(DIGITS)
# Beyond these a number has no exact, or no finite, form in most readers.
MOST_DIGITS = 15
DECIMALS = 6


def blank(rules: Rules) -> Ref:
    """Return a rule for what may stand between two parts: nothing, a space, a new line."""
    space = Chars(((0x20, 0x20),))
    return rules.add([], [Text(" ")], [Text("\n"), rules.repeat(space, 0, INDENTATION)])


def integer(rules: Rules, low: int | None, high: int | None) -> Ref:
    """Return a rule for whole numbers; raise BadInputError for bounds that no rule can hold."""
    if low is not None and high is not None:
        return listed(rules, _numbers(low, high))
    if high is not None or low not in (None, 0, 1):
        raise BadInputError(
            "minimum and maximum of an integer can be enforced together, or a minimum of 0 or 1"
        )
    positive: list[Item] = [NONZERO, rules.repeat(DIGIT, 0, MOST_DIGITS)]
    if low == 1:
        return rules.add(positive)
    natural = rules.add([Text("0")], positive)
    return natural if low == 0 else rules.add([natural], [Text("-"), natural])


def number(rules: Rules, low: int | None, high: int | None) -> Ref:
    """Return a rule for numbers; raise BadInputError for bounds that no rule can hold."""
    if low is not None and high is not None:
        return _between(rules, low, high)
    if high is not None or low not in (None, 0):
        raise BadInputError(
            "minimum and maximum of a number can be enforced together, or a minimum of 0"
        )
    sign = rules.add([Text("+")], [Text("-")], [])
    exponent = rules.add([Chars(((0x45, 0x45), (0x65, 0x65))), sign, rules.repeat(DIGIT, 1, 2)])
    fraction = rules.add([Text("."), rules.repeat(DIGIT, 1, MOST_DIGITS)])
    whole = rules.add([Text("0")], [NONZERO, rules.repeat(DIGIT, 0, MOST_DIGITS)])
    rest = rules.add([fraction], [exponent], [fraction, exponent], [])
    natural = rules.add([whole, rest])
    return natural if low == 0 else rules.add([natural], [Text("-"), natural])


def _between(rules: Rules, low: int, high: int) -> Ref:
    """Return a rule for numbers from `low` to `high`, written without an exponent."""
    if low < 0:
        raise BadInputError("minimum of a number can be enforced from 0 on")
    fraction = rules.add([Text("."), rules.repeat(DIGIT, 1, DECIMALS)], [])
    below = rules.add([listed(rules, _numbers(low, high - 1)), fraction]) if high > low else None
    last = rules.add([Text(str(high))])
    return rules.add([below], [last]) if below else last


def _numbers(low: int, high: int) -> list[str]:
    if high < low:
        raise BadInputError("minimum is more than maximum")
    if high - low >= MAX_LISTED:
        raise BadInputError(f"minimum and maximum lie more than {MAX_LISTED} apart")
    return [str(value) for value in range(low, high + 1)]


def listed(rules: Rules, texts: Sequence[str]) -> Ref:
    """Return a rule for one of these JSON texts."""
    if len(texts) > MAX_LISTED or sum(map(len, texts)) > MAX_LISTED_CHARACTERS:
        raise BadInputError(f"enum has more than {MAX_LISTED} values, or they are too long")
    return rules.literals(texts)


def as_json(value: object) -> str:
    """Return a value as an answer writes it: in one line, readable, without control characters."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(
        f"\\u{ord(sign):04x}" if "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff" else sign
        for sign in text
    )


def anything(rules: Rules, depth: int) -> Ref:
    """Return a rule for any JSON value with at most `depth` objects and arrays in each other."""
    scalars = [
        string(rules, 0, None),
        number(rules, None, None),
        rules.literals(["true", "false", "null"]),
    ]
    value = rules.add(*([scalar] for scalar in scalars))
    for _ in range(depth):
        ways = [*scalars, mapping(rules, value), array(rules, value, 0, None)]
        value = rules.add(*([way] for way in ways))
    return value


def mapping(rules: Rules, value: Ref) -> Ref:
    """Return a rule for an object with any names and values of one kind."""
    gap = blank(rules)
    member = rules.add([string(rules, 0, None), Text(":"), gap, value])
    more = rules.add([Text(","), gap, member])
    end: list[Item] = [gap, Text("}")]
    tail = rules.add(end, [gap, member, rules.repeat(more, 0, None), *end])
    return rules.add([Text("{"), tail])


def array(rules: Rules, item: Ref, low: int, high: int | None) -> Ref:
    """Return a rule for a list of `low` to `high` items of one kind."""
    gap = blank(rules)
    end: list[Item] = [gap, Text("]")]
    more = rules.add([Text(","), gap, item])
    most = None if high is None else max(high - 1, 0)
    ways: list[list[Item]] = []
    if not low:
        ways.append(end)
    if high != 0:
        ways.append([gap, item, rules.repeat(more, max(low - 1, 0), most), *end])
    return rules.add([Text("["), rules.add(*ways)])


def items_of(rules: Rules, items: Sequence[Ref]) -> Ref:
    """Return a rule for a list of exactly these items."""
    gap = blank(rules)
    parts: list[Item] = [Text("[")]
    for place, item in enumerate(items):
        parts += [*([Text(",")] if place else []), gap, item]
    return rules.add([*parts, gap, Text("]")])


def members(rules: Rules, values: dict[str, Ref], required: frozenset[str]) -> Ref:
    """Return a rule for an object with these members in this order, the required ones at least.

    One rule says what may come at each place, so that the grammar grows with the number of
    members and not with that of their combinations.
    """
    gap = blank(rules)
    end: list[Item] = [gap, Text("}")]
    may_end = True
    following = rules.add(end)  # what may come once a member is written
    first: Ref | None = None  # what may come as a member from here on
    for name in reversed(values):
        optional = name not in required
        member: list[Item] = [Text(as_json(name) + ":"), gap, values[name], following]
        first = rules.add(member, *([[first]] if optional and first else []))
        may_end = may_end and optional
        following = rules.add([Text(","), gap, first], *([end] if may_end else []))
    ways: list[list[Item]] = [[gap, first]] if first else []
    if may_end:
        ways.append(end)
    return rules.add([Text("{"), rules.add(*ways)])
