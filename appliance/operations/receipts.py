"""Receipts: proof that one answer is in the record, which shows no other entry.

A receipt is a C2SP tlog-proof: the entry that ended the answer, its place in the tree, and a
signed checkpoint. The author of an answer may have its receipt, and whoever may prove entries.
Who the author is, is read from the record itself, so a receipt outlives the text: it can be had
after the content was erased. Getting one is recorded.

The short form leaves the entry out, so that it fits into a QR code. It is a tlog-proof too, and
proves the entry to everyone who has that from elsewhere: an export, or the record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import leaf_hash
from appliance.audit.proof import TlogProof
from appliance.audit.query import Query
from appliance.errors import ConflictError, NotFoundError
from appliance.identity.permissions import Actor, Permission
from appliance.operations import readings
from appliance.operations.finding import found
from appliance.operations.outcomes import ENDED, ENDINGS
from appliance.operations.readings import UNSTATED, Reading
from appliance.operations.recording import REFUSALS, Recorder

EXTRA = "extra "


@dataclass(frozen=True)
class AnswerReceipt:
    """One proof, read: `text` is the file, `entry` what it proves, `size` that of the checkpoint.

    `leaf` and `root` are 32-byte hashes, `key_id` names the key of the signature in hex.
    """

    text: str = field(repr=False)
    seq: int
    entry: dict[str, Any]
    leaf: bytes
    origin: str
    size: int
    root: bytes
    key_id: str

    @property
    def short(self) -> str:
        """Return the proof without the entry."""
        lines = self.text.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(EXTRA))

    @classmethod
    def read(cls, text: str) -> AnswerReceipt:
        """Read what the ledger proved."""
        proof = TlogProof.parse(text)
        signed = proof.signed
        return cls(
            text=text,
            seq=proof.seq,
            entry=json.loads(proof.entry),
            leaf=leaf_hash(proof.entry),
            origin=signed.checkpoint.origin,
            size=signed.checkpoint.size,
            root=signed.checkpoint.root,
            key_id=signed.signatures[0].key_id.hex(),
        )


class Receipts:
    """Who gets a proof of which entry."""

    def __init__(self, appliance: Appliance) -> None:
        self._ledger = appliance.ledger
        self._policy = appliance.config.policy
        self._recorder = Recorder(appliance.ledger)

    def of_own_answer(self, actor: Actor, answer_id: str) -> AnswerReceipt:
        """Return the receipt of an answer that the actor asked for.

        Raises NotFoundError also when it is someone else's, ConflictError while its outcome is
        not in the record.
        """
        self._recorder.authorise(actor, Permission.RECEIPTS_OWN, "record.prove", answer_id)
        try:
            seq = self._outcome(answer_id, actor.user)
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.prove", error, answer_id)
            raise
        return self._proved(actor, seq)

    def of_answer(
        self, actor: Actor, answer_id: str, purpose: str | None = None, case: str | None = None
    ) -> AnswerReceipt:
        """Return the receipt of anyone's answer, to whoever may prove entries."""
        reading = self._may_prove(actor, Reading(purpose, case))
        try:
            seq = self._outcome(answer_id, None)
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.prove", error, answer_id)
            raise
        return self._proved(actor, seq, reading)

    def of_entry(
        self, actor: Actor, seq: int, purpose: str | None = None, case: str | None = None
    ) -> AnswerReceipt:
        """Return the proof of any entry, to whoever may prove entries."""
        return self._proved(actor, seq, self._may_prove(actor, Reading(purpose, case)))

    def _may_prove(self, actor: Actor, reading: Reading) -> Reading:
        """A proof shows an entry, so whoever must say why they read must say it here too."""
        self._recorder.authorise(actor, Permission.RECORD_PROVE, "record.prove")
        try:
            readings.check(self._policy, actor, reading)
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.prove", error)
            raise
        return reading

    def _proved(self, actor: Actor, seq: int, reading: Reading = UNSTATED) -> AnswerReceipt:
        try:
            receipt = AnswerReceipt.read(self._ledger.prove(seq))
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.prove", error)
            raise
        self._recorder.note(
            actor,
            "record.prove",
            Outcome.SUCCESS,
            entity=receipt.entry["entity"],
            purpose=reading.purpose,
            content={"entry": seq, "size": receipt.size, **reading.facts()},
        )
        return receipt

    def _outcome(self, answer_id: str, author: str | None) -> int:
        """Return the number of the entry that ended an answer; the first, if there are more."""
        ends = [
            entry
            for actions in ENDINGS.values()
            for action in actions.values()
            for entry in found(self._ledger, Query(entity=answer_id, action=action))
            if entry["outcome"] in ENDED
        ]
        for entry in sorted(ends, key=lambda end: int(end["seq"])):
            if author is None or author == _author(entry):
                return int(entry["seq"])
        asked = [
            entry
            for intent in ENDINGS
            for entry in found(self._ledger, Query(entity=answer_id, action=intent))
        ]
        if not ends and any(author in (None, _author(entry)) for entry in asked):
            raise ConflictError(
                "this answer has no receipt yet: how it ended is not in the record",
                hint="open the receipt again when the answer has ended, at most a minute later",
            )
        raise NotFoundError(
            "there is no such answer in the record",
            hint="check the id; it begins with msg_, and only whoever asked or audits finds it",
        )


def _author(entry: dict[str, Any]) -> str:
    """Return who asked; an outcome that was recorded late names them in its content."""
    return str((entry["content"] or {}).get("person", entry["agent"]["user"]))
