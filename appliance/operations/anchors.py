"""Keeps checkpoints where a forger cannot reach: on paper, in a file, at a collector, a witness.

Each place is an intent and an outcome in the record, with size and root of what was kept. What a
witness signed stands there too, so that the record itself holds the dates that somebody else gave.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from appliance.assembly import Appliance
from appliance.audit import anchor_file, syslog_anchor
from appliance.audit.actions import Outcome
from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, VerifierKey
from appliance.audit.ledger import EpochKey
from appliance.audit.syslog_anchor import Collector
from appliance.audit.witness_client import WitnessClient
from appliance.clock import rfc3339
from appliance.identity.permissions import Actor, Permission
from appliance.identity.roles import Role
from appliance.operations.recording import Change, Recorder
from appliance.operations.witnessing import Cosigned, Witnessing

PAGE, FILE, SYSLOG, WITNESS = "page", "file", "syslog", "witness"


@dataclass(frozen=True, slots=True)
class Issued:
    """A signed checkpoint that was handed out: the note, and what it says."""

    note: str
    checkpoint: Checkpoint


class Anchors:
    """What may be done with checkpoints. Every method raises ForbiddenError for who may not."""

    def __init__(self, appliance: Appliance) -> None:
        self._ledger = appliance.ledger
        self._clock = appliance.clock
        self._recorder = Recorder(appliance.ledger)

    def checkpoint(self, actor: Actor, form: str) -> Issued:
        """Return the newest checkpoint to print or take along as `form`; that is recorded."""
        self._recorder.authorise(actor, Permission.RECORD_ANCHOR, "record.checkpoint")
        issued = self._newest()
        facts = {"form": form, **issued.checkpoint.facts()}
        self._recorder.note(actor, "record.checkpoint", Outcome.SUCCESS, content=facts)
        return issued

    def keys(self, actor: Actor) -> list[EpochKey]:
        """Return every key that the record was signed with, the first one first."""
        self._recorder.authorise(actor, Permission.RECORD_VERIFY, "record.read")
        keys = self._ledger.keys()
        facts = {"what": "keys", "count": len(keys)}
        self._recorder.note(actor, "record.read", Outcome.SUCCESS, content=facts)
        return keys

    def to_folder(
        self, actor: Actor, folder: Path, *, place: int | None = None
    ) -> tuple[Path, Issued]:
        """Write the newest checkpoint as a new file into `folder` and read it back.

        `place` is the folder's number in the settings; its path is not recorded.
        Raises NotFoundError, ConflictError, UnavailableError or VerificationError; see
        `anchor_file.write_new`.
        """
        facts: dict[str, int | str] = {} if place is None else {"place": place}
        with self._change(actor, "record.anchor", kind=FILE, **facts) as change:
            issued = self._newest()
            change.facts.update(issued.checkpoint.facts())
            path = anchor_file.write_new(folder, issued.checkpoint, issued.note)
        return path, issued

    def to_syslog(
        self,
        actor: Actor,
        collector: Collector,
        timeout_s: float = syslog_anchor.TIMEOUT_S,
    ) -> Issued:
        """Send the newest checkpoint to a log collector.

        Raises VerificationError when it is another one than it should be, UnavailableError when
        it does not take the message.
        """
        with self._change(actor, "record.anchor", kind=SYSLOG, to=collector.address) as change:
            issued = self._newest()
            change.facts.update(issued.checkpoint.facts())
            data = syslog_anchor.message(issued.checkpoint, issued.note, self._clock.now())
            syslog_anchor.send(collector, data, timeout_s=timeout_s)
        return issued

    def to_witness(self, actor: Actor, client: WitnessClient, witness: VerifierKey) -> Cosigned:
        """Have the newest checkpoint signed by the witness with this key; see `Witnessing`."""
        return self._witnessed(actor, witness, "http", lambda by: by.over_http(client))

    def take_answer(self, actor: Actor, note: bytes, witness: VerifierKey) -> Cosigned:
        """Take what a witness without a network signed; see `Witnessing.take`."""
        return self._witnessed(actor, witness, "file", lambda by: by.take(note))

    def witness_request(self, actor: Actor, witness: VerifierKey, size: int | None) -> bytes:
        """Return a request file for a witness without a network; see `Witnessing.request`."""
        facts = {"kind": WITNESS, "way": "request", "witness": str(witness)}
        with self._change(actor, "record.witness", **facts):
            return Witnessing(self._ledger, witness).request(size)

    def _witnessed(
        self,
        actor: Actor,
        witness: VerifierKey,
        way: str,
        ask: Callable[[Witnessing], Cosigned],
    ) -> Cosigned:
        facts = {"kind": WITNESS, "way": way, "witness": str(witness)}
        with self._change(actor, "record.witness", **facts) as change:
            cosigned = ask(Witnessing(self._ledger, witness))
            change.facts.update(cosigned.signed.checkpoint.facts())
            change.facts["time"] = rfc3339(cosigned.unix_time)
            change.facts["cosignature"] = cosigned.cosignature.line().strip()
        return cosigned

    def _change(
        self, actor: Actor, action: str, **facts: int | str
    ) -> AbstractContextManager[Change]:
        # The caretaker acts for nobody, so there is no leave to ask; what it does is recorded.
        permission = None if actor.role is Role.SYSTEM else Permission.RECORD_ANCHOR
        return self._recorder.change(actor, permission, action, None, **facts)

    def _newest(self) -> Issued:
        note = self._ledger.checkpoint()
        return Issued(note, SignedCheckpoint.parse(note).checkpoint)
