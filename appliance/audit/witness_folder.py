"""A witness's own folder: its key, and how far it saw the log.

    witness.key          Ed25519 seed of 32 bytes, 0400; made once, never leaves the machine
    witness.json         its name, and the state (`witness.WitnessState`); replaced durably
    cosigned.checkpoint  the newest checkpoint with this witness's signature under it
    evidence/            checkpoints that the log signed and should not have; keep them
    witness.lock         held while a process uses the folder

The state is on disk before a signature leaves. Whoever puts back an older copy of this folder
makes the witness forget: back it up never, and make a new witness when it is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance import durable
from appliance.audit.checkpoint import COSIGNATURE, SignedCheckpoint, Signer, VerifierKey
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    ADD_KEY,
    SIZE_TYPE,
    AddCheckpoint,
    Step,
)
from appliance.audit.witness import (
    Refused,
    WitnessState,
    consider_checkpoint,
    consider_key,
    stated_key,
)
from appliance.clock import Clock
from appliance.errors import BadInputError, NotInitialisedError, VerificationError

log = structlog.get_logger(__name__)

KEY_BYTES = 32
MOST_EVIDENCE = 1_000
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the witness says to one request, in the terms of HTTP.

    `refused` says why, where it signed nothing; the text of a 409 is a size alone.
    """

    status: int
    text: str
    media_type: str = PLAIN
    refused: Refused | None = None


class WitnessFolder:
    """One witness for one log. Threads may share it; two processes may not."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Open an existing folder; raise NotInitialisedError or VerificationError."""
        self._folder, self._clock = folder, clock
        self._lock = threading.Lock()
        name, self.state = _read_state(folder / "witness.json")
        self._signer = _read_key(folder / "witness.key", name)

    @classmethod
    def create(cls, folder: Path, name: str, log_key: VerifierKey, clock: Clock) -> WitnessFolder:
        """Make the folder (0700) with a fresh key; raise ConflictError where there is one."""
        secret = Ed25519PrivateKey.generate()
        Signer(name, secret, COSIGNATURE)  # refuses a name that cannot stand in a note
        if log_key.algorithm == COSIGNATURE:
            raise BadInputError(
                "that is the key of a witness, not of a record",
                hint="`appliance audit keys` on the appliance prints the right one",
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        raw = secret.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        durable.create(folder / "witness.key", raw, mode=0o400)
        _write_state(folder / "witness.json", name, WitnessState(log_key))
        return cls(folder, clock)

    @property
    def key(self) -> VerifierKey:
        """The witness's own public key, which the appliance pins."""
        return self._signer.key

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process out of the folder; raise ConflictError when one is in."""
        with durable.exclusive(self._folder / "witness.lock", f"the witness {self._folder}"):
            # What another process stored before the lock was had.
            _, self.state = _read_state(self._folder / "witness.json")
            yield

    def newest(self) -> str | None:
        """Return the checkpoint that was cosigned last, with both signatures, or None."""
        try:
            return (self._folder / "cosigned.checkpoint").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keys(self) -> str:
        """Return the log's keys as this witness knows them, one to a line, the newest last."""
        known = (self.state.previous, self.state.key)
        return "".join(f"{key}\n" for key in known if key is not None)

    def answer(self, step: Step) -> Answer:
        """Decide on one request; what is accepted is durable before this returns."""
        with self._lock:
            if step.kind == ADD_CHECKPOINT:
                return self._add_checkpoint(step.body)
            return self._add_key(step.body)

    def pending(self, steps: Sequence[Step]) -> Sequence[Step]:
        """Return the steps of a request file from the newest key on that is known already."""
        known = [
            number
            for number, step in enumerate(steps)
            if step.kind == ADD_KEY and stated_key(step.body) == str(self.state.key)
        ]
        return steps[known[-1] + 1 :] if known else steps

    def fitted(self, step: Step) -> Step:
        """Return a step of a request file so that it can be accepted where it is harmless.

        A file cannot ask first how far this witness is. Its proof is not needed for the very
        first checkpoint, nor for the one that was cosigned last: that answer may have been lost.
        """
        if step.kind != ADD_CHECKPOINT:
            return step
        asked = AddCheckpoint.parse(step.body)
        new = asked.signed.checkpoint
        if (new.size, new.root) != (self.state.size, self.state.root) and self.state.size:
            return step
        return Step(step.kind, AddCheckpoint(self.state.size, (), asked.signed).body())

    def _add_checkpoint(self, body: bytes) -> Answer:
        decision = consider_checkpoint(self.state, body)
        if isinstance(decision, Refused):
            return self._refused(ADD_CHECKPOINT, decision, body)
        signed = AddCheckpoint.parse(body).signed
        self._store(decision.state)
        cosignature = self._signer.cosign(signed.checkpoint, int(self._clock.now()))
        # Not whatever else was sent along: the log's own signature alone was verified.
        key = self.state.key_at(signed.checkpoint.size)
        own = [line for line in signed.signatures if (line.name, line.key_id) == (key.name, key.id)]
        ours = SignedCheckpoint(signed.checkpoint, (own[0], cosignature))
        durable.write(self._folder / "cosigned.checkpoint", ours.note().encode())
        return Answer(200, cosignature.line())

    def _add_key(self, body: bytes) -> Answer:
        decision = consider_key(self.state, body)
        if isinstance(decision, Refused):
            return self._refused(ADD_KEY, decision, body)
        if decision.state != self.state:
            self._store(decision.state)
            log.warning("the log has a new key", epoch=self.state.epoch, key=str(self.state.key))
        return Answer(200, f"{self.state.key}\n")

    def _store(self, state: WitnessState) -> None:
        """Write first, remember after: a state that could not be written is not acted upon."""
        _write_state(self._folder / "witness.json", self._signer.key.name, state)
        self.state = state

    def _refused(self, kind: str, refused: Refused, body: bytes) -> Answer:
        say = log.error if refused.suspicious else log.warning
        say("refused", request=kind, status=refused.status, why=refused.why)
        if refused.suspicious:
            self._keep(body)
        if kind == ADD_CHECKPOINT and refused.status == 409:
            return Answer(409, f"{self.state.size}\n", SIZE_TYPE, refused)
        return Answer(refused.status, f"{refused.why}\n", refused=refused)

    def _keep(self, body: bytes) -> None:
        """Keep what the log signed: two roots of one size are a proof that needs no witness.

        One file for each signed checkpoint: only the log's key makes new ones, so a stranger
        who sends old ones with false proofs does not fill the disk.
        """
        _, _, note = body.partition(b"\n\n")
        folder = self._folder / "evidence"
        try:
            checkpoint = SignedCheckpoint.parse(note).checkpoint
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{checkpoint.size}-{checkpoint.root.hex()[:16]}.request"
            if not path.exists() and sum(1 for _ in folder.iterdir()) < MOST_EVIDENCE:
                durable.write(path, body)
        except (BadInputError, OSError) as error:
            log.error("what was refused could not be kept", error=type(error).__name__)


def _write_state(path: Path, name: str, state: WitnessState) -> None:
    text = json.dumps({"name": name, **state.to_json()}, indent=1)
    durable.write(path, text.encode() + b"\n")


def _read_state(path: Path) -> tuple[str, WitnessState]:
    try:
        value = json.loads(path.read_bytes())
        return str(value["name"]), WitnessState.from_json(value)
    except FileNotFoundError as error:
        raise NotInitialisedError(
            f"{path.parent} holds no witness", hint="make one: appliance audit witness init --help"
        ) from error
    except (ValueError, KeyError, TypeError, BadInputError) as error:
        raise VerificationError(
            f"{path} cannot be read: the witness does not know how far it saw the log",
            hint="make a new witness in another folder; this one must not sign again",
        ) from error


def _read_key(path: Path, name: str) -> Signer:
    try:
        mode, raw = os.stat(path).st_mode, path.read_bytes()
    except FileNotFoundError as error:
        raise NotInitialisedError(
            f"the witness's key {path} is missing",
            hint="make a new witness in another folder, and give its key to the appliance",
        ) from error
    if mode & 0o077:
        raise VerificationError(
            f"the witness's key {path} can be read by others",
            hint="whoever read it can sign in its place: make a new witness in another folder",
        )
    if len(raw) != KEY_BYTES:
        raise VerificationError(f"the witness's key {path} has the wrong length")
    return Signer(name, Ed25519PrivateKey.from_private_bytes(raw), COSIGNATURE)
