"""What can be asked of the record, and one page of what it answers (pure).

Filters are exact and combine with AND; `text` is searched for. Pages go from the newest entry
back, by sequence number and not by time, because a machine's clock may have been set back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.clock import rfc3339
from appliance.errors import BadInputError

MAX_LIMIT = 1_000
EXACT = (
    "user", "role", "action", "outcome", "model", "purpose", "source", "entity", "subject",
)  # fmt: skip
MAX_FILTER_CHARACTERS = 1_024
_PSEUDONYM = re.compile(r"pat_[0-9a-f]{24}")


@dataclass(frozen=True)
class Query:
    """Which entries: `since` is inclusive, `until` exclusive, a bare date means the whole day.

    `text` finds entries in which a searchable column contains it, or any other value begins with
    it, whatever the case of ASCII letters. `model` is a model's name, `subject` a patient's
    pseudonym. `before_seq` starts a page: only entries older than it. Raises BadInputError when a
    filter cannot be understood.
    """

    text: str | None = None
    user: str | None = None
    role: str | None = None
    action: str | None = None
    outcome: str | None = None
    model: str | None = None
    purpose: str | None = None
    source: str | None = None
    entity: str | None = None
    subject: str | None = None
    since: str | None = None
    until: str | None = None
    before_seq: int | None = None
    limit: int = 100

    def __post_init__(self) -> None:
        for name in ("text", *EXACT, "since", "until"):
            value = getattr(self, name)
            if value is not None and (type(value) is not str or not _sane(value)):
                raise BadInputError(f"the filter {name} must be a text of at most 1,024 characters")
        if self.subject is not None and not _PSEUDONYM.fullmatch(self.subject):
            # Not repeated in the message: what was typed may be a patient's own number.
            raise BadInputError("a patient's pseudonym is pat_ and 24 hex digits")
        if type(self.limit) is not int or not 1 <= self.limit <= MAX_LIMIT:
            raise BadInputError(f"limit must lie between 1 and {MAX_LIMIT}")
        before = self.before_seq
        if before is not None and (type(before) is not int or not 0 <= before < 2**53):
            raise BadInputError("before_seq must be the number of an entry")
        if self.since is not None:
            object.__setattr__(self, "since", moment(self.since))
        if self.until is not None:
            object.__setattr__(self, "until", moment(self.until, end=True))

    def to_json(self) -> dict[str, Any]:
        """Return the filters that are set, as JSON values; also fit for `record.read`."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) is not None
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Query:
        """Read what `to_json` wrote; raise BadInputError on an unknown filter."""
        unknown = set(value) - {item.name for item in fields(cls)}
        if unknown:
            raise BadInputError(f"there is no filter {', '.join(sorted(unknown))}")
        return cls(**value)


@dataclass(frozen=True)
class Page:
    """Entries, newest first, and where the next page starts (None: there is none).

    A page may be short, or empty, and still have a next one: a search looks only so far back at
    once, and `next_before` then says how far it looked.

    Each entry is the stored JSON object with `leaf` added: its leaf hash in hex.
    """

    entries: tuple[dict[str, Any], ...]
    next_before: int | None


def moment(text: str, *, end: bool = False) -> str:
    """Return a date or an RFC 3339 time in the spelling of the record; without zone it is UTC.

    A bare date is the start of that day, or with `end` the start of the next.
    """
    try:
        value = datetime.fromisoformat(text.strip())
        if len(text.strip()) == len("2026-01-31") and end:
            value += timedelta(days=1)
        value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return rfc3339(value.timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise BadInputError(
            f"{text[:40]!r} is not a date or time",
            hint="write it like 2026-01-31 or 2026-01-31T09:30:00Z",
        ) from error


def _sane(value: str) -> bool:
    if len(value) > MAX_FILTER_CHARACTERS:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
