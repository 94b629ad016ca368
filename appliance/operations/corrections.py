"""Corrections: an entry is never changed, but a later one can say what was wrong with it.

A correction can be corrected too. What it is made of stands in `audit/corrections.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.corrections import ACTION, NEVER, REASONS, Correction, claim, facts
from appliance.audit.query import MAX_LIMIT, Query
from appliance.errors import BadInputError, ConflictError
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations import readings
from appliance.operations.proving import prove
from appliance.operations.recording import REFUSALS, Recorder


@dataclass(frozen=True)
class Corrected:
    """The number of the entry, its leaf hash in hex, and the number of the one that corrects it."""

    seq: int
    leaf: str
    by: int


class Corrections:
    """Who may correct what."""

    def __init__(self, appliance: Appliance) -> None:
        self._ledger = appliance.ledger
        self._policy = appliance.config.policy
        self._recorder = Recorder(appliance.ledger)

    @property
    def purposes(self) -> list[str]:
        """The purposes that can be named as the right one."""
        return list(dict.fromkeys((*self._policy.purposes, *self._policy.record_purposes)))

    def correct(self, actor: Actor, seq: int, correction: Correction) -> Corrected:
        """Append what is right instead of entry `seq`, which stays as it is.

        Raises NotFoundError when the entry is not there (any more), BadInputError for a reason,
        purpose or case that is none, ConflictError for an entry that cannot be corrected.
        """
        self._recorder.authorise(actor, Permission.RECORD_CORRECT, ACTION)
        try:
            self._check(correction)
            original = prove(self._ledger, seq).entry
            if original["action"] in NEVER:
                raise ConflictError(
                    f"an entry {original['action']} cannot be corrected",
                    hint="verification reads it as it stands; `appliance audit verify` checks it",
                )
        except REFUSALS as error:
            self._recorder.refuse(actor, ACTION, error)
            raise
        # The intent is an entry, and so is what it intends: there is nothing else to do.
        entity, said = original["entity"], facts(original, correction)
        self._recorder.note(actor, ACTION, Outcome.INTENT, entity=entity, content=said)
        receipt = self._recorder.note(actor, ACTION, Outcome.SUCCESS, entity=entity, content=said)
        return Corrected(seq, original["leaf"], receipt.seq)

    def marks(self, actor: Actor, entries: Iterable[Mapping[str, Any]]) -> dict[int, int] | None:
        """Return which of these entries were corrected, each with the newest entry that does so.

        None means that one search cannot tell: too much was corrected after these entries.
        """
        require(actor, Permission.RECORD_READ)
        leaves = {entry["seq"]: entry["leaf"] for entry in entries}
        if not leaves:
            return {}
        query = Query(action=ACTION, outcome=str(Outcome.SUCCESS), limit=MAX_LIMIT)
        page = self._ledger.search(query)
        if page.next_before is not None and page.next_before > min(leaves) + 1:
            return None
        marks: dict[int, int] = {}
        for entry in page.entries:
            seq, leaf = claim(entry) or (-1, "")
            if leaves.get(seq) == leaf:
                marks.setdefault(seq, entry["seq"])
        return marks

    def _check(self, correction: Correction) -> None:
        if correction.reason not in REASONS:
            raise BadInputError(
                "there is no such reason for a correction",
                hint=f"choose one of {', '.join(REASONS)}",
            )
        if correction.purpose is not None and correction.purpose not in self.purposes:
            raise BadInputError(
                "there is no such purpose", hint=f"choose one of {', '.join(self.purposes)}"
            )
        readings.check_case(correction.case)
