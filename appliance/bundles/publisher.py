"""The publisher's end: signs the metadata of a bundle that `importer` accepts.

A bundle appears whole under its name or not at all. Nothing here is trusted by the importing
side, which checks everything again. Keys come in as signers and are never written.
Not here: keeping keys and several people's signatures (`desk`), laying models out (`building`).
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    Key,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from appliance import durable
from appliance.bundles import building, oms
from appliance.bundles.building import ModelSource
from appliance.bundles.manifest import DENIED_FIELD, PART_BYTES, Denied
from appliance.bundles.signatures import EC_SCHEMES
from appliance.errors import BadInputError, ConflictError

ROLE_NAMES = ("root", "timestamp", "snapshot", "targets")

__all__ = ["ModelSource", "Signers", "build_bundle", "make_metadata", "make_root", "sign"]


@dataclass(frozen=True)
class Signers:
    """Who signs each role, and how many of them it takes (1 unless said otherwise)."""

    root: tuple[Signer, ...]
    timestamp: tuple[Signer, ...]
    snapshot: tuple[Signer, ...]
    targets: tuple[Signer, ...]
    thresholds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def one(cls, signer: Signer) -> Signers:
        """Return signers where one key does everything."""
        return cls((signer,), (signer,), (signer,), (signer,))

    def of(self, role: str) -> tuple[Signer, ...]:
        found: tuple[Signer, ...] = getattr(self, role)
        return found

    @property
    def for_models(self) -> Signer:
        """Return who signs models: the first EC key of the targets role; BadInputError if none."""
        for signer in self.targets:
            if signer.public_key.scheme in EC_SCHEMES:
                return signer
        raise BadInputError("no targets key is an EC key, and models are signed with one")


def build_bundle(
    folder: Path,
    models: Sequence[ModelSource],
    signers: Signers,
    *,
    expires: datetime,
    version: int = 1,
    roots: Sequence[bytes] = (),
    denied: Sequence[Denied] = (),
    part_bytes: int = PART_BYTES,
) -> str:
    """Write a signed bundle to the new folder `folder`; return the SHA-256 of its first root.

    `version` numbers timestamp, snapshot and targets, and must grow with every bundle of a
    publisher. `roots` are all roots so far, oldest first; without any a first one is made.
    """
    if folder.exists():
        raise ConflictError(f"{folder} exists already", hint="nothing was written; name a new one")
    chain = list(roots) or [make_root(signers, expires=expires)]
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    try:
        (draft / "metadata").mkdir(parents=True)
        (draft / "targets").mkdir()
        listed = _lay_out(draft / "targets", models, signers, part_bytes)
        targets = make_targets(listed, expires=expires, version=version, denied=denied)
        for name, data in make_metadata(signers, targets, expires).items():
            durable.write(draft / "metadata" / name, data, mode=0o644)
        for number, data in enumerate(chain, start=1):
            durable.write(draft / "metadata" / f"{number}.root.json", data, mode=0o644)
        draft.rename(folder)
        durable.sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return hashlib.sha256(chain[0]).hexdigest()


def make_targets(
    listed: Sequence[TargetFile],
    *,
    expires: datetime,
    version: int,
    denied: Sequence[Denied] = (),
) -> Targets:
    """Return the publisher's whole list of good models, and of those withdrawn; unsigned."""
    withdrawn = {DENIED_FIELD: [dict(vars(item)) for item in denied]} if denied else {}
    files = {target.path: target for target in listed}
    return Targets(version=version, expires=expires, targets=files, unrecognized_fields=withdrawn)


def make_root(
    signers: Signers,
    *,
    expires: datetime,
    version: int = 1,
    former: Sequence[Signer] = (),
) -> bytes:
    """Return a signed root; a successor must be signed by `former`, the old root's signers."""
    keys: dict[str, Key] = {}
    roles: dict[str, Role] = {}
    for name in ROLE_NAMES:
        own = signers.of(name)
        keys.update({signer.public_key.keyid: signer.public_key for signer in own})
        threshold = signers.thresholds.get(name, 1)
        roles[name] = Role([signer.public_key.keyid for signer in own], threshold)
    root = Root(version, expires=expires, keys=keys, roles=roles, consistent_snapshot=True)
    return sign(root, (*signers.root, *former))


def make_metadata(signers: Signers, targets: Targets, expires: datetime) -> dict[str, bytes]:
    """Return targets, snapshot and timestamp by file name, each vouching for the one before."""
    version = targets.version
    targets_data = sign(targets, signers.targets)
    snapshot = Snapshot(
        version, expires=expires, meta={"targets.json": describe_meta(version, targets_data)}
    )
    snapshot_data = sign(snapshot, signers.snapshot)
    timestamp = Timestamp(
        version, expires=expires, snapshot_meta=describe_meta(version, snapshot_data)
    )
    return {
        f"{version}.targets.json": targets_data,
        f"{version}.snapshot.json": snapshot_data,
        "timestamp.json": sign(timestamp, signers.timestamp),
    }


def sign(signed: Root | Timestamp | Snapshot | Targets, signers: Sequence[Signer]) -> bytes:
    """Return metadata with one signature of each signer."""
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        add_signature(metadata, signer)
    return metadata.to_bytes()


def add_signature(metadata: Metadata[Any], signer: Signer) -> None:
    """Add one signature; what the signer raises comes through as it is.

    The library's own way wraps each error, so a wrong PIN would look like a fault of the program.
    """
    signature = signer.sign(metadata.signed_bytes)
    metadata.signatures[signature.keyid] = signature


def sign_with(signer: Signer) -> oms.Sign:
    """Return how a signer signs plain bytes: ECDSA in DER, with the curve's own hash."""
    return lambda message: bytes.fromhex(signer.sign(message).signature)


def describe_meta(version: int, data: bytes) -> MetaFile:
    """Return how one piece of metadata names another: version, length and SHA-256."""
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _lay_out(
    targets: Path, models: Sequence[ModelSource], signers: Signers, part_bytes: int
) -> list[TargetFile]:
    listed: list[TargetFile] = []
    moment = datetime.now(tz=UTC)
    for model in models:
        files = building.describe(model, targets, moment, part_bytes=part_bytes)
        signer = signers.for_models
        key = signer.public_key.keyval["public"].encode()
        listed += [*files, building.sign_model(targets, files, key, sign_with(signer))]
    return listed
