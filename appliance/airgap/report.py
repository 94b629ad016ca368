"""One look at the air gap, as it is kept: canonical bytes whose digest stands in the record (pure).

The record signs the digest with everything else in it, so the file is proved by the entry's
receipt (`.tlog-proof`) and needs no signature of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance import canonical
from appliance.airgap.judging import ITSELF, Line
from appliance.airgap.stack import Role
from appliance.errors import BadInputError

FORMAT = "appliance-airgap/1"
MAX_BYTES = 262_144
# More would not fit into an entry; the digest covers all of them.
MAX_NAMED = 100
VERDICTS = frozenset({"ok", "warn", "fail"})
FIELDS = frozenset({"check", "verdict", "found", "expected", "next"})


@dataclass(frozen=True)
class Report:
    """Where and when somebody looked, and what they found. `t` is RFC 3339."""

    role: Role
    t: str
    lines: tuple[Line, ...]

    @property
    def ways_out(self) -> tuple[str, ...]:
        """Return what is open, or could not be looked at."""
        return tuple(line.check for line in self.lines if line.verdict == "fail")

    @property
    def is_closed(self) -> bool:
        return bool(self.lines) and not self.ways_out

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "role": str(self.role), "t": self.t, "closed": self.is_closed,
            "lines": [line.to_json() for line in self.lines],
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        """Return the file: RFC 8785, so that its digest can be computed again by anybody."""
        return canonical.encode(self.to_json())

    def facts(self) -> dict[str, Any]:
        """Return what the entry holds; the names of what is open, and the digest of the rest."""
        return {
            "role": str(self.role),
            "looked": self.t,
            "closed": self.is_closed,
            "checks": len(self.lines),
            "open": list(self.ways_out[:MAX_NAMED]),
            "sha256": canonical.sha256(self.to_bytes()).hex(),
        }


def parse(data: bytes) -> Report:
    """Read what another part printed; raise BadInputError for anything that is not a report."""
    if len(data) > MAX_BYTES:
        raise BadInputError("the report is too large")
    try:
        value = canonical.decode(data.strip())
        if set(value) != {"format", "role", "t", "closed", "lines"} or value["format"] != FORMAT:
            raise ValueError("not its fields")  # noqa: TRY301 - one way out for all of them
        datetime.fromisoformat(_text(value["t"]))
        report = Report(Role(value["role"]), value["t"], _lines(value["lines"]))
    except (KeyError, TypeError, ValueError, BadInputError) as error:
        raise BadInputError(
            f"not a report of the air gap: {error}",
            hint="give what `appliance doctor --airgap --out -` printed, unchanged",
        ) from error
    if value["closed"] is not report.is_closed:
        raise BadInputError("the report contradicts itself", hint="run the check again")
    return report


def _lines(value: Sequence[Mapping[str, Any]]) -> tuple[Line, ...]:
    lines = []
    if not isinstance(value, list):
        raise TypeError("no list of lines")
    for item in value:
        if set(item) != FIELDS or item["verdict"] not in VERDICTS:
            raise ValueError("a line is not as it should be")
        lines.append(Line(**{name: _text(text) for name, text in item.items()}))  # type: ignore[arg-type]  # the verdict was looked at
    if ITSELF not in {line.check for line in lines}:
        raise ValueError("it does not say whether the check itself works")
    return tuple(lines)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("a text is not as it should be")
    return value
