"""The publisher's end: makes a bundle that `importer` accepts.

A bundle appears whole under its name or not at all. Nothing here is trusted by the importing
side, which checks everything again. Keys come in as signers and are never written.
Not here: keeping keys, splitting weights for FAT32.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # see trust
from tuf.api.metadata import (  # type: ignore[attr-defined]  # see trust
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
from appliance.bundles import card
from appliance.bundles.inspection import inspect_file
from appliance.bundles.media import CHUNK
from appliance.errors import ConflictError

ROLE_NAMES = ("root", "timestamp", "snapshot", "targets")


@dataclass(frozen=True)
class Signers:
    """Who signs each role, and how many of them it takes (1 unless said otherwise)."""

    root: tuple[CryptoSigner, ...]
    timestamp: tuple[CryptoSigner, ...]
    snapshot: tuple[CryptoSigner, ...]
    targets: tuple[CryptoSigner, ...]
    thresholds: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def one(cls, signer: CryptoSigner) -> Signers:
        """Return signers where one key does everything."""
        return cls((signer,), (signer,), (signer,), (signer,))

    def of(self, role: str) -> tuple[CryptoSigner, ...]:
        found: tuple[CryptoSigner, ...] = getattr(self, role)
        return found


@dataclass(frozen=True)
class ModelSource:
    """A model to publish: its GGUF file and its card (TOML), which names it."""

    gguf: Path
    card: Path
    security_epoch: int = 1
    min_engine: str = "0.3"


def build_bundle(
    folder: Path,
    models: Sequence[ModelSource],
    signers: Signers,
    *,
    expires: datetime,
    version: int = 1,
    roots: Sequence[bytes] = (),
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
        targets = Targets(version=version, expires=expires, targets={})
        for model in models:
            for target in _add_model(draft / "targets", model):
                targets.targets[target.path] = target
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


def make_root(
    signers: Signers,
    *,
    expires: datetime,
    version: int = 1,
    former: Sequence[CryptoSigner] = (),
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
        version, expires=expires, meta={"targets.json": _meta(version, targets_data)}
    )
    snapshot_data = sign(snapshot, signers.snapshot)
    timestamp = Timestamp(version, expires=expires, snapshot_meta=_meta(version, snapshot_data))
    return {
        f"{version}.targets.json": targets_data,
        f"{version}.snapshot.json": snapshot_data,
        "timestamp.json": sign(timestamp, signers.timestamp),
    }


def sign(signed: Root | Timestamp | Snapshot | Targets, signers: Sequence[CryptoSigner]) -> bytes:
    """Return metadata with one signature of each signer."""
    metadata: Metadata[Any] = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


def _add_model(targets: Path, source: ModelSource) -> list[TargetFile]:
    """Copy a model's files below `targets` under their digests; return what to sign."""
    data = source.card.read_bytes()
    parsed = card.parse(data)
    facts = inspect_file(source.gguf)
    name = f"{parsed.name}-{parsed.version}"
    (targets / name).mkdir(parents=True)
    custom = {
        "role": "weights",
        "model": parsed.name,
        "version": parsed.version,
        "security_epoch": source.security_epoch,
        "min_engine": source.min_engine,
        "chat_template_sha256": facts.chat_template_sha256,
        "architecture": facts.architecture,
        "licence": parsed.licence,
        "parts": 1,
    }
    weights = _place(source.gguf, targets / name, f"{parsed.name}.gguf", custom)
    return [weights, _place(source.card, targets / name, "card.toml", {"role": "card"})]


def _place(source: Path, folder: Path, name: str, custom: Mapping[str, Any]) -> TargetFile:
    """Copy a file to `<sha256>.<name>`, reading it once."""
    draft = folder / f".{name}.part"
    digest, length = hashlib.sha256(), 0
    with source.open("rb") as reader, durable.open_new(draft, 0o644) as descriptor:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            length += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    draft.rename(folder / f"{digest.hexdigest()}.{name}")
    durable.sync_folder(folder)
    hashes = {"sha256": digest.hexdigest()}
    return TargetFile(length, hashes, f"{folder.name}/{name}", {"custom": dict(custom)})
