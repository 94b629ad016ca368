"""Strings of a JSON answer: their characters, lengths, patterns and formats, as grammar rules.

Pure. Guarantee: what a rule lets through is a JSON string whose value has the length, matches the
pattern or has the format. A pattern must be anchored at both ends and use plain regular
expressions (ECMA-262 without look-around, back references, word boundaries and lazy repetition).
Shorthands such as `\\w`, and what is left of a class when something is taken out of it, are kept
to ASCII where readers of patterns differ about the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from appliance.errors import BadInputError
from appliance.llama.grammars.rules import Alternative, Chars, Item, Ref, Rules, Text

MAX_PATTERN = 512
MAX_POSITIONS = 500
MAX_GROUPS = 64
Ranges = tuple[tuple[int, int], ...]

# Everything that may stand unescaped. C1 and DEL may in JSON, but answers are shown without them;
# surrogates are no characters; quote and backslash are escaped.
RAW: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0xA0, 0xD7FF), (0xE000, 0x10FFFF))
ASCII: Ranges = ((0x20, 0x7E),)
DIGITS: Ranges = ((0x30, 0x39),)
WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
HEX: Ranges = ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))
BOTH: Ranges = ((0x22, 0x22), (0x5C, 0x5C))
# Of the characters that ECMA's `.` leaves out, those that may stand unescaped.
LINE_ENDS: Ranges = ((0x2028, 0x2029),)
ESCAPED: Mapping[int, str] = {0x22: '\\"', 0x5C: "\\\\", 0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
SHORTHAND: Mapping[str, Ranges] = {"d": DIGITS, "w": WORD, "s": ((0x20, 0x20),)}
CONTROL_ESCAPES: Mapping[str, int] = {"t": 0x09, "n": 0x0A, "r": 0x0D}
_YEAR = "[1-9][0-9]{3}"
_LEAP = "([1-9][0-9](0[48]|[2468][048]|[13579][26])|2000)"
_DATE = (
    f"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
FORMATS: Mapping[str, str] = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "uuid": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "ipv4": rf"^{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}$",
    "email": rf"^{_LABEL}([._+]{_LABEL})?@({_LABEL}\.){{1,3}}[A-Za-z]{{2,8}}$",
}


def string(rules: Rules, low: int, high: int | None) -> Ref:
    """Return a rule for a string of `low` to `high` characters."""
    digit = Chars(HEX)
    # A code point of \\u, without the halves of pairs.
    code: list[Alternative] = [
        (Chars(((0x30, 0x39), (0x41, 0x43), (0x45, 0x46), (0x61, 0x63), (0x65, 0x66))), digit),
        (Chars(((0x44, 0x44), (0x64, 0x64))), Chars(((0x30, 0x37),))),
    ]
    simple = Chars(tuple((ord(sign), ord(sign)) for sign in sorted('"\\/bfnrt')))
    escape = rules.add([simple], [Text("u"), rules.add(*code), digit, digit])
    character = rules.add([Chars(RAW)], [Text("\\"), escape])
    return rules.add([Text('"'), rules.repeat(character, low, high), Text('"')])


def of_format(rules: Rules, name: str) -> Ref:
    """Return a rule for a string of this format; raise BadInputError for one not known here."""
    if name not in FORMATS:
        known = ", ".join(FORMATS)
        raise BadInputError(f"format {name[:40]!r} cannot be enforced; only {known} can")
    return matching(rules, FORMATS[name])


def matching(rules: Rules, pattern: str) -> Ref:
    """Return a rule for a string that matches; raise BadInputError for what cannot be enforced."""
    if len(pattern) > MAX_PATTERN:
        raise BadInputError(f"pattern has more than {MAX_PATTERN} characters")
    anchored = pattern.startswith("^") and pattern.endswith("$") and not pattern.endswith("\\$")
    if not anchored:
        raise BadInputError("pattern must begin with ^ and end with $ to be enforced")
    reader = _Pattern(rules, pattern[1:-1])
    return rules.add([Text('"'), reader.read(), Text('"')])


def except_for(ranges: Ranges, taken: Ranges) -> Ranges:
    """Return the code points of `ranges` that are not in `taken`."""
    left = list(ranges)
    for low, high in taken:
        cut: list[tuple[int, int]] = []
        for start, end in left:
            cut += [(start, min(end, low - 1)), (max(start, high + 1), end)]
        left = [(start, end) for start, end in cut if start <= end]
    return tuple(left)


class _Pattern:
    """Reads one pattern from left to right."""

    def __init__(self, rules: Rules, pattern: str) -> None:
        self._rules = rules
        self._pattern = pattern
        self._at = 0
        self._groups = 0

    def read(self) -> Ref:
        found, positions = self._alternatives()
        if self._at < len(self._pattern):
            raise BadInputError("pattern closes a group that it does not open")
        if positions > MAX_POSITIONS:
            raise BadInputError("pattern is too long once its repetitions are written out")
        return found

    def _alternatives(self) -> tuple[Ref, int]:
        items, total = self._sequence()
        ways = [items]
        while self._next() == "|":
            self._at += 1
            items, positions = self._sequence()
            ways.append(items)
            total += positions
        return self._rules.add(*ways), total

    def _sequence(self) -> tuple[list[Item], int]:
        items: list[Item] = []
        total = 0
        while self._next() not in ("", "|", ")"):
            item, positions = self._atom()
            low, high = self._quantity()
            total += positions * max(1, low, high or 0)
            if (low, high) == (0, 1):
                items.append(self._rules.add([item], []))
            elif (low, high) != (1, 1):
                items.append(self._rules.repeat(item, low, high))
            else:
                items.append(item)
        return items, total

    def _atom(self) -> tuple[Ref, int]:
        sign = self._take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class(), 1
        if sign == ".":
            return self._one_of(except_for(RAW + BOTH, LINE_ENDS)), 1
        if sign == "\\":
            return self._one_of(self._escape()), 1
        if sign in "^$*+?{}":
            raise BadInputError(f"pattern uses {sign} where it cannot be enforced")
        return self._one_of(((ord(sign), ord(sign)),)), 1

    def _group(self) -> tuple[Ref, int]:
        self._groups += 1
        if self._groups > MAX_GROUPS:
            raise BadInputError("pattern has too many groups")
        if self._next() == "?":
            self._at += 1
            if self._take() != ":":
                raise BadInputError("pattern uses (?, which cannot be enforced; only (?: can")
        found = self._alternatives()
        if self._take() != ")":
            raise BadInputError("pattern does not close a group")
        return found

    def _quantity(self) -> tuple[int, int | None]:
        sign = self._next()
        known: Mapping[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        quantity: tuple[int, int | None] = (1, 1)
        if sign in known:
            self._at += 1
            quantity = known[sign]
        elif sign == "{":
            self._at += 1
            quantity = self._counts()
        if quantity != (1, 1) and self._next() in ("?", "+", "*", "{"):
            raise BadInputError("pattern repeats a repetition, which cannot be enforced")
        return quantity

    def _counts(self) -> tuple[int, int | None]:
        end = self._pattern.find("}", self._at)
        counts = self._pattern[self._at : end].split(",") if end > 0 else []
        self._at = end + 1
        plain = [count.isascii() and count.isdigit() and len(count) < 6 for count in counts]
        if len(counts) == 1 and all(plain):
            return int(counts[0]), int(counts[0])
        if len(counts) == 2 and plain[0] and (plain[1] or not counts[1]):
            return int(counts[0]), int(counts[1]) if counts[1] else None
        raise BadInputError("pattern has a { that is no repetition")

    def _class(self) -> Ref:
        inverse = self._next() == "^"
        self._at += inverse
        found: list[tuple[int, int]] = []
        shorthand = False
        while (sign := self._take()) != "]":
            ranges = self._escape() if sign == "\\" else ((ord(sign), ord(sign)),)
            single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
            shorthand = shorthand or not single
            if (
                single
                and self._next() == "-"
                and self._pattern[self._at + 1 :][:1] not in ("]", "")
            ):
                self._at += 1
                ranges = ((ranges[0][0], self._range_end()),)
                if ranges[0][1] < ranges[0][0]:
                    raise BadInputError("pattern has a range that ends before it begins")
            found += ranges
        if not inverse:
            return self._one_of(tuple(found))
        everything = ASCII if shorthand else RAW + BOTH
        return self._one_of(except_for(everything, tuple(found)))

    def _range_end(self) -> int:
        sign = self._take()
        ranges = self._escape() if sign == "\\" else ((ord(sign), ord(sign)),)
        if len(ranges) != 1 or ranges[0][0] != ranges[0][1]:
            raise BadInputError("pattern has a range that does not end in a character")
        return ranges[0][0]

    def _escape(self) -> Ranges:
        sign = self._take()
        if sign in SHORTHAND:
            return SHORTHAND[sign]
        if sign.lower() in SHORTHAND:
            return except_for(ASCII, SHORTHAND[sign.lower()])
        if sign in CONTROL_ESCAPES:
            return ((CONTROL_ESCAPES[sign],) * 2,)
        if sign in ("u", "x"):
            return self._code_point(4 if sign == "u" else 2)
        if sign.isalnum():
            raise BadInputError(f"pattern uses \\{sign}, which cannot be enforced")
        return ((ord(sign), ord(sign)),)

    def _code_point(self, length: int) -> Ranges:
        digits = self._pattern[self._at : self._at + length]
        self._at += length
        if len(digits) < length or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise BadInputError("pattern has a code point that is not written in hex")
        return ((int(digits, 16),) * 2,)

    def _one_of(self, ranges: Ranges) -> Ref:
        """Return a rule for one character of a string's value, escaped where JSON wants it so."""
        ways: list[Alternative] = []
        merged = _merged(ranges)
        raw = tuple(
            (max(low, start), min(high, end))
            for low, high in merged
            for start, end in RAW
            if max(low, start) <= min(high, end)
        )
        if raw:
            ways.append((Chars(raw),))
        ways += [
            (Text(text),)
            for code, text in ESCAPED.items()
            if any(low <= code <= high for low, high in merged)
        ]
        if not ways:
            raise BadInputError("pattern asks for a character that no answer has")
        return self._rules.add(*ways)

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        sign = self._next()
        if not sign:
            raise BadInputError("pattern ends in its middle")
        self._at += 1
        return sign


def _merged(ranges: Ranges) -> Ranges:
    """Return the same code points in order and without overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)
