"""The record's private keys: one file per epoch, and never two epochs' keys for long.

A key that no longer exists cannot sign a rewritten past. So a new one is made before each
hand-over, and the old one is destroyed right after: overwritten, unlinked, both durably. On a
disk that keeps old blocks (an SSD, a snapshot) the overwriting may not reach them; an encrypted
disk is the answer there, and anchors off the machine hold in any case.

Not here: when to hand over (`notary.py`).
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance import durable
from appliance.audit.checkpoint import Signer
from appliance.errors import ConflictError, VerificationError

KEY_BYTES = 32


class KeyFolder:
    """`audit.keys/<epoch>.key`: raw Ed25519 seeds of 32 bytes, readable by their owner alone."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._folder = folder
        self._origin = origin

    def create(self) -> None:
        """Make the folder (0700); raise ConflictError when it holds the keys of a record."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self.present():
            raise ConflictError(
                f"{self._folder} holds a key of another record",
                hint="it was left as it is; if that record is lost, move the folder away first",
            )
        os.chmod(self._folder, 0o700)

    def make(self, epoch: int) -> Signer:
        """Make the key of an epoch durably; one that a crash left unused is replaced."""
        self.destroy(epoch)
        secret = Ed25519PrivateKey.generate()
        raw = secret.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        durable.create(self._path(epoch), raw, mode=0o400)
        return Signer(self._origin, secret)

    def load(self, epoch: int) -> Signer | None:
        """Return the key of an epoch, or None when there is none; raise when it is unsound."""
        path = self._path(epoch)
        try:
            mode, raw = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError:
            return None
        if mode & 0o077:
            raise VerificationError(
                f"the record's key {path} can be read by others",
                hint=f"chmod 0400 {path}; whoever could read it could sign a false record until "
                "the next day's key, so tell the person in charge of security",
            )
        if len(raw) != KEY_BYTES:
            raise VerificationError(f"the record's key {path} has the wrong length")
        return Signer(self._origin, Ed25519PrivateKey.from_private_bytes(raw))

    def present(self) -> list[int]:
        """Return the epochs whose private keys exist."""
        names = [path.stem for path in self._folder.glob("*.key")]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def destroy(self, epoch: int) -> None:
        """Overwrite and remove the key of an epoch; does nothing when there is none."""
        durable.destroy(self._path(epoch))

    def destroy_unfinished(self) -> None:
        """Do the same to what a crash in the middle of `make` left, never to a key in place."""
        kept = {path.stat().st_ino for path in self._folder.glob("*.key")}
        for path in durable.unfinished(self._folder):
            if path.stat().st_ino in kept:  # it was in place already, under both names
                path.unlink()
            else:
                durable.destroy(path)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{epoch}.key"


def folder_of(record: Path) -> Path:
    """Return where the keys of a record lie: beside it."""
    return record.with_suffix(".keys")
