"""Rules of a grammar in llama.cpp's notation (GBNF), and what they would cost it.

Pure. Guarantee: what `text` returns, llama.cpp can read: no rule refers to itself, nothing empty
is repeated, and size, repetitions and the ways into a rule stay within bounds, so that reading
the grammar takes milliseconds. Rules are added bottom up, equal ones once.
Source: grammars/README.md and src/llama-grammar.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.errors import BadInputError

MAX_RULES = 4_000
# What llama.cpp holds in memory once repetitions are written out.
MAX_ELEMENTS = 60_000
# It follows every way into every rule when it looks for recursion, over and over.
MAX_WAYS = 200_000
# Above this llama.cpp refuses, or repeats without end.
MAX_REPEAT = 1_000
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _:,.{}/@+*<>|=()")


@dataclass(frozen=True)
class Text:
    """These characters."""

    text: str


@dataclass(frozen=True)
class Chars:
    """One character of these ranges of code points, both ends included."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Ref:
    """Another rule, by its number."""

    number: int


@dataclass(frozen=True)
class Repeat:
    """`item` at least `low` and at most `high` times (None: without end)."""

    item: Chars | Ref
    low: int
    high: int | None


Item = Text | Chars | Ref | Repeat
Alternative = tuple[Item, ...]


@dataclass(frozen=True)
class _Cost:
    elements: int
    ways: int
    empty: bool


@dataclass
class Rules:
    """The rules so far."""

    _numbers: dict[tuple[Alternative, ...], int] = field(default_factory=dict)
    _costs: list[_Cost] = field(default_factory=list)
    _elements: int = 0
    _ways: int = 0

    def add(self, *alternatives: Sequence[Item]) -> Ref:
        """Return the rule of these alternatives; raise BadInputError beyond a bound."""
        rule = tuple(map(tuple, alternatives))
        if rule not in self._numbers:
            cost, hidden = self._cost(rule)
            self._elements += cost.elements
            self._ways += cost.ways + hidden
            if (
                len(self._costs) >= MAX_RULES
                or self._elements > MAX_ELEMENTS
                or self._ways > MAX_WAYS
            ):
                raise too_large()
            self._numbers[rule] = len(self._costs)
            self._costs.append(cost)
        return Ref(self._numbers[rule])

    def may_be_empty(self, item: Item) -> bool:
        match item:
            case Text(text):
                return not text
            case Chars():
                return False
            case Ref(number):
                return self._costs[number].empty
            case Repeat(inner, low, _):
                return not low or self.may_be_empty(inner)

    def repeat(self, item: Chars | Ref, low: int, high: int | None) -> Repeat:
        """Return a repetition within the bounds; raise BadInputError for another."""
        if max(low, high or 0) > MAX_REPEAT:
            raise BadInputError(f"a part may be repeated at most {MAX_REPEAT} times")
        if high is not None and high < low:
            raise BadInputError("a part is to be repeated more often at least than at most")
        if self.may_be_empty(item):
            raise BadInputError("a part that may be empty cannot be repeated")
        return Repeat(item, low, high)

    def literals(self, texts: Sequence[str]) -> Ref:
        """Return a rule for one of these texts, such that one character tells them apart."""
        return self._tree(sorted(set(texts)), 0)

    def text(self, root: Ref) -> str:
        """Return the grammar, `root` first."""
        lines = [f"root ::= {_item(root)}"]
        for rule, number in self._numbers.items():
            ways = " | ".join(" ".join(map(_item, items)) or '""' for items in rule)
            lines.append(f"r{number} ::= {ways}")
        return "\n".join(lines) + "\n"

    def _tree(self, texts: Sequence[str], start: int) -> Ref:
        groups: dict[str, list[str]] = {}
        for text in texts:
            groups.setdefault(text[start : start + 1], []).append(text)
        alternatives: list[list[Item]] = []
        for first, members in groups.items():
            if not first:
                alternatives.append([])
                continue
            end = _common_length(members)
            items: list[Item] = [Text(members[0][start:end])]
            if len(members) > 1:
                items.append(self._tree(members, end))
            alternatives.append(items)
        return self.add(*alternatives)

    def _cost(self, rule: tuple[Alternative, ...]) -> tuple[_Cost, int]:
        """Return what a rule costs, and the ways that its repetitions add as rules of theirs."""
        elements, ways, hidden, empty = 1, 1, 0, False
        for items in rule:
            elements += 1
            leading = True
            for item in items:
                elements += _elements(item)
                into = self._ways_into(item)
                if isinstance(item, Repeat):
                    hidden += ((item.high or item.low + 1) - item.low + 1) * into
                ways += into if leading else 0
                leading = leading and self.may_be_empty(item)
            empty = empty or leading
        return _Cost(elements, ways, empty), hidden

    def _ways_into(self, item: Item) -> int:
        match item:
            case Ref(number):
                return self._costs[number].ways
            case Repeat(inner, _, _):
                return 1 + self._ways_into(inner)
            case _:
                return 0


def too_large() -> BadInputError:
    return BadInputError(
        "the schema is too large or too ambiguous to be followed", hint="use a simpler schema"
    )


def _common_length(texts: Sequence[str]) -> int:
    # Sorted texts share what the first and the last one share.
    pairs = zip(texts[0], texts[-1], strict=False)
    shortest = min(len(texts[0]), len(texts[-1]))
    return next((at for at, (one, other) in enumerate(pairs) if one != other), shortest)


def _elements(item: Item) -> int:
    match item:
        case Text(text):
            return len(text)
        case Chars(ranges):
            return 2 * len(ranges)
        case Ref():
            return 1
        case Repeat(inner, low, high):
            once = _elements(inner)
            optional = 1 if high is None else high - low
            return low * once + optional * (once + 3) + 1


def _item(item: Item) -> str:
    match item:
        case Text(text):
            return '"' + "".join(map(_character, text)) + '"'
        case Chars(ranges):
            return "[" + "".join(map(_range, ranges)) + "]"
        case Ref(number):
            return f"r{number}"
        case Repeat(inner, low, high):
            return f"{_item(inner)}{{{low},{'' if high is None else high}}}"


def _range(ends: tuple[int, int]) -> str:
    low, high = (f"\\U{end:08X}" for end in ends)
    return low if low == high else f"{low}-{high}"


def _character(character: str) -> str:
    return character if character in PLAIN else f"\\U{ord(character):08X}"
