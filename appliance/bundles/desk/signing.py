"""Adds one person's signature to a draft, and completes it when it has enough.

1. the key has a part in the list of models, or in its freshness (snapshot and timestamp);
2. everything that the draft carries is read (`contents`), then shown to the person;
3. models without an OMS signature get one, by the first person who signs;
4. the list is signed; each person's signature lies in the same file;
5. with enough of them, whoever may signs snapshot and timestamp, the whole is verified as a
   hospital does it, and only then the mark of a draft is removed.

Interrupted at any point, it can be run again. Not here: asking the person, opening the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from securesystemslib.signer import Signer
from tuf.api.metadata import (
    Snapshot,
    Targets,
    Timestamp,
)

from appliance import durable
from appliance.bundles import building, publisher, trust
from appliance.bundles.desk import contents, roots
from appliance.bundles.desk.contents import Contents
from appliance.bundles.desk.drafts import Draft, read_metadata
from appliance.bundles.desk.roots import Missing
from appliance.bundles.manifest import VerifiedManifest
from appliance.errors import ConflictError

Waiting = Literal["targets", "freshness", "nothing"]


@dataclass(frozen=True)
class Outcome:
    """How far a draft is: what it waits for, and whose signatures on the list it has."""

    waits_for: Waiting
    missing: Missing
    may_finish: tuple[str, ...]
    manifest: VerifiedManifest | None = None


def must_read(draft: Draft, signer: Signer) -> bool:
    """Tell whether `signer` is to sign the list, so that `contents.read` comes first.

    Raises ConflictError for a key that has no part in this publisher's bundles.
    """
    held = roots.roles_of(draft.root.root, signer.public_key.keyid)
    if "targets" not in held and not _finishes(held):
        raise ConflictError(
            f"the key {roots.describe(signer.public_key)} has no part in this publisher's bundles",
            hint="nothing was signed; `appliance publisher show` lists whose keys have",
        )
    return "targets" in held and signer.public_key.keyid not in draft.metadata.signatures


def sign(draft: Draft, signer: Signer, found: Contents | None, now: datetime) -> Outcome:
    """Add `signer`'s signature to what was read and confirmed; return how far the draft is.

    `found` may be None only when `must_read` says so. Raises ConflictError.
    """
    root, held = draft.root.root, roots.roles_of(draft.root.root, signer.public_key.keyid)
    if must_read(draft, signer):
        if found is None:
            raise ConflictError("nothing is signed that was not read", hint="read the draft first")
        _sign_models(draft, found, signer)
        publisher.add_signature(draft.metadata, signer)
        draft.write({draft.targets_name: draft.metadata.to_bytes()})
    progress = roots.verdict(root, Targets.type, draft.metadata)
    if not progress.done:
        if "targets" not in held:
            raise ConflictError(
                "the list of models comes first, and lacks signatures",
                hint=f"nothing was signed; waiting for {' or '.join(progress.open)}",
            )
        return Outcome("targets", progress, ())
    finishers = tuple(
        roots.describe(root.keys[item])
        for item in root.roles["timestamp"].keyids
        if item in root.roles["snapshot"].keyids
    )
    if not _finishes(held):
        return Outcome("freshness", progress, finishers)
    return Outcome("nothing", progress, finishers, _finish(draft, signer, now))


def _finishes(held: tuple[str, ...]) -> bool:
    return "snapshot" in held and "timestamp" in held


def _sign_models(draft: Draft, found: Contents, signer: Signer) -> None:
    """Make the OMS signature of each model that has none; it becomes part of the list."""
    made: list[Path] = []
    key = signer.public_key.keyval["public"].encode()
    targets = draft.metadata.signed
    try:
        for model in found.unsigned:
            place = contents.medium_of(draft, model)
            listed = (item for item in model.files if item.role != "oms")
            files = [targets.targets[item.path] for item in listed]
            target = building.sign_model(place, files, key, publisher.sign_with(signer))
            stored = f"{model.folder}/{target.hashes['sha256']}.{target.path.partition('/')[2]}"
            made.append(place / stored)
            targets.targets[target.path] = target
            durable.sync_folder(made[-1].parent)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _finish(draft: Draft, signer: Signer, now: datetime) -> VerifiedManifest:
    """Sign snapshot and timestamp, verify all as a hospital would, and end the draft."""
    version, expires = draft.info.version, draft.metadata.signed.expires
    meta = publisher.describe_meta(version, draft.metadata.to_bytes())
    snapshot = publisher.sign(
        Snapshot(version, expires=expires, meta={"targets.json": meta}), [signer]
    )
    meta = publisher.describe_meta(version, snapshot)
    timestamp = publisher.sign(Timestamp(version, expires=expires, snapshot_meta=meta), [signer])
    draft.write(
        {
            draft.targets_name: draft.metadata.to_bytes(),
            f"{version}.snapshot.json": snapshot,
            "timestamp.json": timestamp,
        }
    )
    verified = [check_complete(folder, draft.chain[0], now) for folder in draft.folders]
    draft.close()
    return verified[0]


def check_complete(folder: Path, first_root: bytes, now: datetime) -> VerifiedManifest:
    """Return what a bundle holds, verified from its first root as a hospital verifies it."""
    metadata = read_metadata(folder)
    trusted = trust.advance(trust.reload(first_root), metadata)
    return trust.verify(trusted, metadata, trust.Floor(), now.timestamp())
