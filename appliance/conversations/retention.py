"""How long content is kept, what is held, and whether the clock may be believed (pure).

A schedule that runs by itself must not be led to destroy everything by a wrong clock. So it goes
by a time of its own, `TrustedTime`: it advances with the machine's uptime, follows the wall clock
only slowly, and waits for a person when the two are too far apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.errors import BadInputError

PATIENT, CONVERSATION, USER, ALL = "patient", "conversation", "user", "all"
SCOPES = frozenset({PATIENT, CONVERSATION, USER, ALL})
DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S
# While the machine runs, its uptime says how much time went by: more than this beside it is odd.
MOST_AHEAD_S = DAY_S
# While it was off, nothing says so; a machine that was off for longer waits for a person.
MOST_OFF_S = 7 * DAY_S
# So much of a small difference is taken over in one run, so that jumps cannot add up fast.
MOST_FOLLOWED_S = 3_600.0
MAX_WORDS = 160
TILE = 256
SIGNS = frozenset(" .,;:()/-§&+_#")


@dataclass(frozen=True)
class Scope:
    """Which content: `target` is a pseudonym, a conversation's id, an account's id, or empty."""

    kind: str
    target: str = ""

    def __post_init__(self) -> None:
        if self.kind not in SCOPES or (self.kind == ALL) != (not self.target):
            raise BadInputError("say whose content: a patient, a conversation, a person, or all")


@dataclass(frozen=True)
class Hold:
    """A legal hold. Times are seconds since 1970 UTC; `released` is None while it holds."""

    id: str
    scope: Scope
    reason: str
    placed_by: str
    created: float
    released: float | None = None
    released_by: str | None = None
    release_reason: str | None = None


@dataclass(frozen=True)
class Schedule:
    """How many days content is kept after its last use, by where it came from; 0: for ever."""

    content_days: int
    api_days: int
    metadata_years: int

    def days_of(self, origin: str) -> int:
        """Return the days for content of this origin."""
        return self.api_days if origin == "api" else self.content_days

    def due_before(self, origin: str, now: float) -> float | None:
        """Return the moment before which content was last used to be due now; None: never."""
        days = self.days_of(origin)
        return now - days * DAY_S if days else None

    def metadata_before(self, now: float) -> float | None:
        """Return the moment before which entries of the record are due; None: never."""
        return now - self.metadata_years * YEAR_S if self.metadata_years else None

    @property
    def basis(self) -> str:
        """Return the schedule as the record states it."""
        return f"schedule content_days={self.content_days} api_days={self.api_days}"


@dataclass(frozen=True)
class TrustedTime:
    """The schedule's own time: seconds since 1970 UTC, and the uptime it was taken at."""

    trusted: float
    boot: str
    monotonic_ns: int

    def at(self, now: float, boot: str, monotonic_ns: int) -> tuple[TrustedTime, bool]:
        """Return this time moved on to the present, and whether the wall clock fits to it.

        `now` is what the wall clock says; `boot` and `monotonic_ns` are the kernel's.
        """
        if boot == self.boot and monotonic_ns >= self.monotonic_ns:
            moved = self.trusted + (monotonic_ns - self.monotonic_ns) / 1e9
            ahead = MOST_AHEAD_S
        else:
            moved, ahead = self.trusted, MOST_OFF_S
            if now - moved <= ahead:
                moved = max(moved, now)
        difference = now - moved
        fits = difference <= ahead
        if fits and difference > 0:
            moved += min(difference, MOST_FOLLOWED_S)
        return replace(self, trusted=moved, boot=boot, monotonic_ns=monotonic_ns), fits


def whole_epochs(opened: Sequence[tuple[int, float]], before: float, entry: int | None) -> int:
    """Return below which entry the record may be pruned; 0: nothing.

    `opened` has the first entry of each epoch and when it was written, in order. All entries of
    the epochs before the last one that opened before `before` are older than that. `entry` is
    needed, and so is everything after it. Proofs hold for multiples of 256 only.
    """
    boundary = 0
    for seq, when in opened:
        if when >= before:
            break
        boundary = seq
    if entry is not None:
        boundary = min(boundary, entry)
    return boundary - boundary % TILE


def stated(text: str, what: str) -> str:
    """Return a legal basis or a reason as it goes into the record; raise BadInputError.

    It is kept for ever, so it is short, in letters, digits and a few signs: a law and a case
    number, and no name.
    """
    words = " ".join(text.split())
    plain = all(sign in SIGNS or unicodedata.category(sign)[0] in "LN" for sign in words)
    if not 3 <= len(words) <= MAX_WORDS or not plain:
        raise BadInputError(
            f"{what} has 3 to {MAX_WORDS} letters, digits and signs such as ( ) . , / -",
            hint="name the law and the case, for example GDPR Art. 17(1)(a), case 2026-113; "
            "no person's name, because the record keeps it for ever",
        )
    return words
