"""Searches that go on by themselves: one search looks only so far back in a long record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.audit.ledger import Ledger
from appliance.audit.query import Query


def found(ledger: Ledger, query: Query) -> list[dict[str, Any]]:
    """Return the newest matching entries, newest first: the first page that is not empty."""
    page = ledger.search(query)
    while not page.entries and page.next_before is not None:
        page = ledger.search(replace(query, before_seq=page.next_before))
    return list(page.entries)


def found_since(
    ledger: Ledger, query: Query, after: int, pages: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return matching entries above number `after`, newest first, and whether those are all.

    At most `pages` pages are read, so that nobody can make one question read for ever.
    """
    entries: list[dict[str, Any]] = []
    for _ in range(pages):
        page = ledger.search(query)
        entries += [entry for entry in page.entries if entry["seq"] > after]
        if page.next_before is None or page.next_before <= after + 1:
            return entries, True
        query = replace(query, before_seq=page.next_before)
    return entries, False
