"""Whether an answer repeats what identifies a person: a name, a date of birth, a record number.

Guarantee: case, accents, spaces and punctuation make no difference, a date is found in its other
common ways of writing, and a name also with its parts swapped. A match begins and ends where a
run of letters or digits does, so `Ann` is not found in `planning`, nor 1234 in 12345.
What it does not find: nicknames, translations, an age instead of a date, digits spelt as words.
Pure.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

_RUNS = re.compile(r"[^\W\d_]+|\d+")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip


def repeated(identifiers: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Return those identifiers that stand in `text` in any of their forms, as they were given."""
    runs = _runs(text)
    compact = "".join(runs)
    starts, ends, at = set(), set(), 0
    for run in runs:
        starts.add(at)
        at += len(run)
        ends.add(at)

    def stands(form: str) -> bool:
        found = compact.find(form)
        while found >= 0:
            if found in starts and found + len(form) in ends:
                return True
            found = compact.find(form, found + 1)
        return False

    return tuple(item for item in identifiers if any(map(stands, _forms(item))))


def _runs(text: str) -> list[str]:
    """Return the runs of letters and of digits, without case and accents."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return _RUNS.findall("".join(c for c in plain if not unicodedata.combining(c)))


def _forms(identifier: str) -> set[str]:
    """Return every way of writing that counts as the same, compact; never an empty one."""
    written = _ISO_DATE.fullmatch(identifier.strip())
    if written is not None:
        return {"".join(_runs(form)) for form in _dates(*map(int, written.groups()))}
    runs = _runs(identifier)
    forms = {"".join(runs)}
    if len(runs) > 1 and all(run.isalpha() for run in runs):
        forms.add("".join([runs[-1], *runs[:-1]]))  # "Doe, Jane"
    return {form for form in forms if form}


def _dates(year: int, month: int, day: int) -> set[str]:
    """Return the common ways to write a date, two-digit years included."""
    try:
        date(year, month, day)
    except ValueError:
        return {f"{year:04}-{month:02}-{day:02}"}
    years = (f"{year}", f"{year % 100:02}")
    days = {f"{day}", f"{day:02}"}
    names = {MONTHS[month - 1], MONTHS[month - 1][:3]}
    forms = {f"{year} {m} {d}" for m in names | {f"{month}", f"{month:02}"} for d in days}
    for y in years:
        for d in days:
            for m in names | {f"{month}", f"{month:02}"}:
                forms |= {f"{d} {m} {y}", f"{m} {d} {y}"}
            for m in names:
                forms |= {f"{d}{suffix} {m} {y}" for suffix in ("st", "nd", "rd", "th")}
                forms |= {f"{d}{suffix} of {m} {y}" for suffix in ("st", "nd", "rd", "th")}
                forms |= {f"{m} {d}{suffix} {y}" for suffix in ("st", "nd", "rd", "th")}
    return forms
