"""What the record tells of publishers and of models taken out of use: it outlives the database.

Guarantee: read from the record alone, so a lost database, or one put back from an older backup,
is seen to be older. What was pruned from the record is not told any more.
Not here: what follows from it (`bundles/floors`, `trusting`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.audit.actions import Outcome
from appliance.audit.ledger import Ledger
from appliance.audit.query import MAX_LIMIT, Query
from appliance.bundles.floors import Accepted, Floors

Entry = Mapping[str, Any]


def recorded(ledger: Ledger) -> Floors:
    """Return what the record tells of every publisher that was ever trusted here."""
    prints: dict[str, set[str]] = defaultdict(set)
    for publisher, pinned in _pinned(ledger).items():
        prints[publisher].add(pinned)
    found: dict[str, Accepted] = {}
    for content in _verified(ledger):
        publisher, root = str(content.get("publisher")), content.get("root_sha256")
        if isinstance(root, str):
            prints[publisher].add(root)
        found[publisher] = _higher(found.get(publisher, Accepted()), content)
    accepted: dict[str, Accepted] = {}
    for publisher, floor in found.items():
        for known in prints[publisher]:
            accepted[known] = _merged(accepted.get(known, Accepted()), floor)
    return Floors(accepted, revoked(ledger))


def revoked(ledger: Ledger) -> frozenset[str]:
    """Return the SHA-256 of each first root from which trust was taken back."""
    gone = [entry.get("entity") for entry in entries(ledger, "publisher.revoke", Outcome.SUCCESS)]
    pinned = _pinned(ledger) if gone else {}
    return frozenset(pinned[each] for each in gone if each in pinned)


def out_of_use(ledger: Ledger) -> dict[str, str]:
    """Return the weights that by the record are quarantined, by digest, and why.

    One that a later import brought in again is not among them.
    """
    taken: dict[str, tuple[int, str]] = {}
    for entry in entries(ledger, "model.quarantine", Outcome.SUCCESS):
        content = _content(entry)
        # The newest comes first.
        taken.setdefault(str(content.get("digest")), (entry["seq"], str(content.get("reason"))))
    if not taken:
        return {}
    brought: dict[str, int] = {}
    for entry in entries(ledger, "bundle.import", Outcome.SUCCESS):
        for model in _content(entry).get("models") or ():
            brought.setdefault(str(model.get("digest")), entry["seq"])
    return {
        digest: reason for digest, (seq, reason) in taken.items() if seq > brought.get(digest, -1)
    }


def entries(ledger: Ledger, action: str, outcome: Outcome | None = None) -> Iterator[Entry]:
    """Yield every entry of an action, newest first."""
    before: int | None = None
    wanted = None if outcome is None else str(outcome)
    while True:
        page = ledger.search(
            Query(action=action, outcome=wanted, before_seq=before, limit=MAX_LIMIT)
        )
        yield from page.entries
        before = page.next_before
        if before is None:
            return


def _pinned(ledger: Ledger) -> dict[str, str]:
    """Return the first root of each publisher, by the publisher's id."""
    found = {}
    for entry in entries(ledger, "publisher.trust", Outcome.SUCCESS):
        root, publisher = _content(entry).get("fingerprint"), entry.get("entity")
        if isinstance(root, str) and isinstance(publisher, str):
            found[publisher] = root
    return found


def _verified(ledger: Ledger) -> Iterator[Entry]:
    """Yield what was stated of metadata that was verified and kept, in one form."""
    for action in ("bundle.step", "bundle.import"):
        for entry in entries(ledger, action):
            content = _content(entry)
            if isinstance(content.get("publisher"), str):
                yield content
    for entry in entries(ledger, "publisher.rotate", Outcome.SUCCESS):
        content = _content(entry)
        yield {"publisher": entry.get("entity"), "root": content.get("to")}


def _higher(floor: Accepted, content: Entry) -> Accepted:
    named = content.get("signers")
    # Entries of before do not say who signed.
    signers = frozenset(map(str, named)) if isinstance(named, list) else frozenset[str]()
    targets = {signers: _number(content.get("targets"))}
    return _merged(floor, Accepted(_number(content.get("root")), targets))


def _merged(one: Accepted, other: Accepted) -> Accepted:
    both = one.targets.keys() | other.targets.keys()
    targets = {who: max(one.targets.get(who, 0), other.targets.get(who, 0)) for who in both}
    return Accepted(max(one.root_version, other.root_version), targets)


def _number(value: object) -> int:
    return value if type(value) is int else 0


def _content(entry: Entry) -> Entry:
    content = entry.get("content")
    return content if isinstance(content, dict) else {}
