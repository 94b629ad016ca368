"""What became of an entry: the original, proved anew, and everything that corrects it since.

The original is fetched by its number out of the tree's own store and proved under a checkpoint,
so nothing that was appended later can stand in its place. An entry that only claims to correct it
(by another leaf hash) is shown and called what it is.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.corrections import ACTION, claim, corrects
from appliance.audit.entry import leaf_hash
from appliance.audit.ledger import Ledger
from appliance.audit.query import MAX_LIMIT, Query
from appliance.errors import ApplianceError, NotFoundError
from appliance.identity.permissions import Actor, Permission
from appliance.operations import readings
from appliance.operations.finding import found_since
from appliance.operations.proving import Proved, prove
from appliance.operations.readings import Reading
from appliance.operations.recording import REFUSALS, Recorder, identifier

# Of one thing, so many entries are shown from its first on, and so many of them proved.
MOST_ENTRIES = 1_000
MOST_PROOFS = 20
PAGES = 10
DEEPEST = 100
WITHHELD = "(withheld)"
NO_ENTRY = -1


@dataclass(frozen=True)
class Step:
    """One entry of a history, with its `leaf`; for a correction, of which entry.

    `holds` is False for an entry that claims to correct another and names other bytes than its,
    and None where the entry that it names is not among those shown.
    """

    entry: dict[str, Any]
    corrects: int | None
    holds: bool | None

    @property
    def seq(self) -> int:
        """The number of the entry."""
        return int(self.entry["seq"])


@dataclass(frozen=True)
class History:
    """Everything about one entry or one thing, oldest first.

    `proofs` are of the first entry and of those that were corrected. `whole` is False when there
    is more than is shown.
    """

    steps: tuple[Step, ...]
    proofs: tuple[Proved, ...]
    whole: bool


class Histories:
    """Who may see what became of an entry."""

    def __init__(self, appliance: Appliance) -> None:
        self._ledger = appliance.ledger
        self._policy = appliance.config.policy
        self._recorder = Recorder(appliance.ledger)

    def of_entry(
        self, actor: Actor, seq: int, purpose: str | None = None, case: str | None = None
    ) -> History:
        """Return an entry and its corrections; of a correction, the history of what it corrects.

        Raises NotFoundError when the entry is not there, TamperedError when it was altered.
        """
        with self._reading(actor, Reading(purpose, case), {"entry": seq}) as told:
            original = self._original(seq)
            entries, whole = _corrections(self._ledger, original.entry)
            told.append(_history([original.entry, *entries], [original], whole))
        return told[0]

    def of_entity(
        self, actor: Actor, entity: str, purpose: str | None = None, case: str | None = None
    ) -> History:
        """Return all entries about one thing, from the first on; NotFoundError if there is none."""
        stated = {"entity": entity if identifier(entity) else WITHHELD}
        with self._reading(actor, Reading(purpose, case), stated) as told:
            told.append(self._of_entity(entity))
        return told[0]

    def _of_entity(self, entity: str) -> History:
        oldest, whole = _oldest(self._ledger, Query(entity=entity))
        if not oldest:
            raise NotFoundError("nothing is recorded about this", hint="check the id")
        # Searched for by themselves: however much else is recorded about it, they are shown.
        entries, all_found = found_since(self._ledger, _query(entity), NO_ENTRY, PAGES)
        entries = list({entry["seq"]: entry for entry in [*oldest, *entries]}.values())
        proofs, all_proved = self._proofs(oldest[0]["seq"], entries)
        return _history(entries, proofs, whole and all_found and all_proved)

    def _proofs(self, first: int, entries: list[dict[str, Any]]) -> tuple[list[Proved], bool]:
        """Prove the first entry and those that were corrected; return also whether those are all.

        What is shown is looked at first, so that entries which only claim to correct something
        that is not shown cannot use up the number of proofs.
        """
        known = {entry["seq"]: entry for entry in entries}
        shown, others = [], []
        for entry in entries:
            seq, _ = claim(entry) or (first, "")
            if seq in known and corrects(entry, known[seq]):
                shown.append(entry)
            elif seq not in known and seq > first:
                others.append(entry)
        proofs, tries = {first: prove(self._ledger, first)}, MOST_PROOFS
        for entry in [*shown, *others]:
            seq, _ = claim(entry) or (first, "")
            if seq in proofs:
                continue
            if tries == 0:
                return list(proofs.values()), False
            tries -= 1
            with contextlib.suppress(NotFoundError):
                proved = prove(self._ledger, seq)
                if corrects(entry, proved.entry):
                    proofs[seq] = proved
        return list(proofs.values()), True

    def _original(self, seq: int) -> Proved:
        """Return the proved entry, or, if it is a correction, what was corrected first."""
        proved = prove(self._ledger, seq)
        for _ in range(DEEPEST):
            said = claim(proved.entry)
            if said is None:
                break
            try:
                before = prove(self._ledger, said[0])
            except NotFoundError:  # let go, as its schedule says
                break
            if not corrects(proved.entry, before.entry):
                break
            proved = before
        return proved

    @contextlib.contextmanager
    def _reading(
        self, actor: Actor, reading: Reading, filters: Mapping[str, Any]
    ) -> Iterator[list[History]]:
        """Wrap a reading: leave and reason first, what was read and proved afterwards."""
        self._recorder.authorise(actor, Permission.RECORD_READ, "record.read")
        self._recorder.authorise(actor, Permission.RECORD_PROVE, "record.prove")
        told: list[History] = []
        try:
            readings.check(self._policy, actor, reading)
            yield told
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.read", error)
            raise
        except ApplianceError as error:
            # A record that was altered may take no entry either; the finding is told all the same.
            facts = {"filters": dict(filters), "code": error.code}
            with contextlib.suppress(ApplianceError):
                self._recorder.note(actor, "record.read", Outcome.FAILURE, content=facts)
            raise
        self._note(actor, reading, filters, told[0])

    def _note(
        self, actor: Actor, reading: Reading, filters: Mapping[str, Any], history: History
    ) -> None:
        facts = {"filters": dict(filters), "count": len(history.steps), **reading.facts()}
        self._recorder.note(
            actor, "record.read", Outcome.SUCCESS, purpose=reading.purpose, content=facts
        )
        for proved in history.proofs:
            self._recorder.note(
                actor, "record.prove", Outcome.SUCCESS, entity=proved.entry["entity"],
                purpose=reading.purpose, content={**proved.facts(), **reading.facts()},
            )  # fmt: skip


def _query(entity: str | None) -> Query:
    return Query(action=ACTION, outcome=str(Outcome.SUCCESS), entity=entity, limit=MAX_LIMIT)


def _corrections(ledger: Ledger, original: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return what claims to correct the original, or one of its corrections, oldest first."""
    query = _query(original["entity"])
    candidates, whole = found_since(ledger, query, original["seq"], PAGES)
    known, entries = {original["seq"]}, []
    for entry in reversed(candidates):
        said = claim(entry)
        if said is not None and said[0] in known:
            known.add(entry["seq"])
            entries.append(entry)
    return entries, whole


def _history(entries: Iterable[dict[str, Any]], proofs: list[Proved], whole: bool) -> History:
    shown = {entry["seq"]: entry for entry in entries}
    # What was proved takes the place of what a search returned, never the other way round.
    known = {**shown, **{proved.seq: proved.entry for proved in proofs}}
    steps = tuple(_step(known[seq], known) for seq in sorted(shown))
    return History(steps, tuple(proofs), whole)


def _step(entry: dict[str, Any], known: Mapping[int, dict[str, Any]]) -> Step:
    said = claim(entry)
    if said is None:
        return Step(entry, None, True)
    original = known.get(said[0])
    return Step(entry, said[0], None if original is None else corrects(entry, original))


def _oldest(ledger: Ledger, query: Query) -> tuple[list[dict[str, Any]], bool]:
    """Return the oldest matching entries with their leaf hashes, and whether those are all."""
    pieces, read, count = ledger.export("ndjson", query), [], 0
    for piece in pieces:
        read.append(piece)
        count += piece.count(b"\n")
        if count > MOST_ENTRIES:
            break
    if isinstance(pieces, Generator):
        pieces.close()
    lines = b"".join(read).split(b"\n")[:-1]
    entries = [{**json.loads(line), "leaf": leaf_hash(line).hex()} for line in lines]
    return entries[:MOST_ENTRIES], len(entries) <= MOST_ENTRIES
