"""Verification of a bundle's metadata from a pinned root: bytes in, `VerifiedManifest` out.

The steps are those of the TUF specification, "Detailed client workflow" (5.3 to 5.6), for a
repository that lies on a medium:

1. root: from the trusted one, one version at a time, each signed by enough keys of the old *and*
   of the new; the last one must not have expired (5.3);
2. timestamp: signed by enough keys, version not below the trusted one, not expired (5.4);
3. snapshot: digest and version as the timestamp says, signed, no file of it below its trusted
   version, none gone, not expired (5.5);
4. targets: digest and version as the snapshot says, signed, not expired (5.6).

python-tuf's client is not used: it fetches from a network and writes every target twice. Pure:
reads no file and no clock. Not here: single signatures and keys (`signatures`), keeping the newest
trusted metadata (`importer` hands it to the store), the files themselves (`media`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import (
    MetaFile,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)

from appliance.bundles import oms
from appliance.bundles.listing import read_denied, read_models
from appliance.bundles.manifest import VerifiedManifest
from appliance.bundles.refusals import (
    ExpiredError,
    LayoutError,
    RollbackError,
    SignatureError,
    WrongFingerprintError,
)
from appliance.bundles.signatures import (
    EC_SCHEMES,
    S,
    check_distinct,
    check_threshold,
    good_signers,
    model_keys,
    parse,
    verified,
)

METADATA_NAME = re.compile(r"[1-9][0-9]{0,8}\.(?:root|snapshot|targets)\.json|timestamp\.json")
# Largest accepted files in bytes; those of python-tuf's client.
LIMITS: Mapping[str, int] = {
    "root": 512_000,
    "timestamp": 16_384,
    "snapshot": 2_000_000,
    "targets": 5_000_000,
}
MAX_ROTATIONS = 256


@dataclass(frozen=True)
class TrustedRoot:
    """A root that was pinned by a person, or follows from such a one by signed rotation."""

    data: bytes
    root: Root

    @property
    def version(self) -> int:
        return self.root.version

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.data)


@dataclass(frozen=True)
class Floor:
    """The newest metadata trusted before, as bytes; None when there was none."""

    timestamp: bytes | None = None
    snapshot: bytes | None = None


def fingerprint(data: bytes) -> str:
    """Return what a person compares: the SHA-256 of a root file, in hex."""
    return hashlib.sha256(data).hexdigest()


def limit_of(name: str) -> int:
    """Return the largest size of the metadata file `name`; raise LayoutError for other names."""
    if METADATA_NAME.fullmatch(name) is None:
        raise LayoutError(f"metadata/{name!r} is not a metadata file of a bundle")
    return LIMITS[name.split(".")[-2]]


def pin(data: bytes, confirmed: str) -> TrustedRoot:
    """Return the root whose SHA-256 a person has confirmed; raise WrongFingerprintError."""
    wanted = re.sub(r"[\s:]", "", confirmed).lower()
    found = fingerprint(data)
    if not hmac.compare_digest(wanted.encode(), found.encode()):
        # The right one is not said: whoever is in a hurry would type it in from the screen.
        raise WrongFingerprintError("the root file does not have the fingerprint that was given")
    return reload(data)


def reload(data: bytes) -> TrustedRoot:
    """Return a root that this appliance trusted before; it must still verify by its own keys."""
    if len(data) > LIMITS["root"]:
        raise SignatureError(f"the root is larger than {LIMITS['root']} bytes")
    metadata = parse(Root, data)
    check_threshold(metadata.signed, metadata)
    check_distinct(metadata.signed)
    if not metadata.signed.consistent_snapshot:
        raise SignatureError("the root does not ask for consistent snapshots")
    return TrustedRoot(data, metadata.signed)


def advance(trusted: TrustedRoot, metadata: Mapping[str, bytes]) -> TrustedRoot:
    """Return the newest root that follows from `trusted` by the roots in the bundle (step 1).

    Expiry is not judged here: an expired root can still introduce its successor.
    """
    for _ in range(MAX_ROTATIONS):
        data = metadata.get(f"{trusted.version + 1}.root.json")
        if data is None:
            return trusted
        successor = parse(Root, data)
        check_threshold(trusted.root, successor)
        if successor.signed.version != trusted.version + 1:
            raise RollbackError(
                f"{trusted.version + 1}.root.json holds version {successor.signed.version}"
            )
        trusted = reload(data)
    raise SignatureError(f"the bundle rotates the root more than {MAX_ROTATIONS} times")


def verify(
    trusted: TrustedRoot, metadata: Mapping[str, bytes], floor: Floor, now: float
) -> VerifiedManifest:
    """Return what the bundle holds (steps 2 to 4); `trusted` comes from `advance`.

    `metadata` maps the names under `metadata/` to their bytes; `now` is in seconds since 1970.
    Raises SignatureError, ExpiredError, RollbackError or LayoutError.
    """
    moment = datetime.fromtimestamp(now, tz=UTC)
    root = trusted.root
    _check_fresh(root, moment)
    timestamp, timestamp_data = _timestamp(root, metadata, floor)
    _check_fresh(timestamp, moment)
    snapshot, snapshot_data = _snapshot(root, timestamp, metadata, floor)
    _check_fresh(snapshot, moment)
    targets, targets_data = _targets(root, snapshot, metadata)
    _check_fresh(targets, moment)
    signers = good_signers(root, targets_data)
    return VerifiedManifest(
        root_version=root.version,
        snapshot_version=snapshot.version,
        targets_version=targets.version,
        timestamp=timestamp_data,
        snapshot=snapshot_data,
        targets=targets_data,
        expires=min(s.expires for s in (root, timestamp, snapshot, targets)).timestamp(),
        signers=signers,
        threshold=root.roles[Targets.type].threshold,
        oms_keys=model_keys(root),
        models=read_models(targets),
        denied=read_denied(targets),
    )


def name_of_key(root: bytes, public_key: str) -> str | None:
    """Return the id under which a root trusted before lists a key (PEM); None if it does not.

    The two formats name one key by two digests; people should see one.
    """
    found = reload(root).root
    for keyid in found.roles[Targets.type].keyids:
        key = found.keys[keyid]
        listed = key.keyval["public"].encode()
        if key.scheme in EC_SCHEMES and oms.load(listed).public_key == public_key.encode():
            return keyid
    return None


def threshold(root: bytes) -> int:
    """Return how many people must sign the list of models, by a root trusted before."""
    return int(reload(root).root.roles[Targets.type].threshold)


def _timestamp(root: Root, metadata: Mapping[str, bytes], floor: Floor) -> tuple[Timestamp, bytes]:
    data = _required(metadata, "timestamp.json")
    signed = verified(Timestamp, root, data)
    trusted = _still_trusted(Timestamp, root, floor.timestamp)
    if trusted is None or floor.timestamp is None:
        return signed, data
    _check_not_older("timestamp", signed.version, trusted.version)
    _check_not_older("snapshot", signed.snapshot_meta.version, trusted.snapshot_meta.version)
    if signed.version == trusted.version:
        # Spec 5.4.3.1: of two timestamps of one version the one already trusted counts.
        return trusted, floor.timestamp
    return signed, data


def _snapshot(
    root: Root, timestamp: Timestamp, metadata: Mapping[str, bytes], floor: Floor
) -> tuple[Snapshot, bytes]:
    expected = timestamp.snapshot_meta
    data = _required(metadata, f"{expected.version}.snapshot.json")
    _check_named(expected, data, "the snapshot is not the one that the timestamp names")
    snapshot = verified(Snapshot, root, data)
    if snapshot.version != expected.version:
        raise SignatureError("the snapshot has another version than the timestamp names")
    trusted = _still_trusted(Snapshot, root, floor.snapshot)
    for name, meta in {} if trusted is None else trusted.meta.items():
        if name not in snapshot.meta:
            raise RollbackError(f"the snapshot no longer lists {name}")
        _check_not_older(name, snapshot.meta[name].version, meta.version)
    return snapshot, data


def _targets(
    root: Root, snapshot: Snapshot, metadata: Mapping[str, bytes]
) -> tuple[Targets, bytes]:
    expected = snapshot.meta.get("targets.json")
    if expected is None:
        raise SignatureError("the snapshot does not list targets.json")
    data = _required(metadata, f"{expected.version}.targets.json")
    _check_named(expected, data, "the targets are not those that the snapshot names")
    targets = verified(Targets, root, data)
    if targets.version != expected.version:
        raise SignatureError("the targets have another version than the snapshot names")
    return targets, data


def _check_named(expected: MetaFile, data: bytes, otherwise: str) -> None:
    """Before the data are parsed: what nobody named has no business in a parser."""
    try:
        expected.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise SignatureError(otherwise) from error


def _still_trusted(kind: type[S], root: Root, data: bytes | None) -> S | None:
    """Return metadata trusted before, unless the root has since revoked its keys.

    Spec 5.3.11: after such a revocation the old floor falls, or whoever stole the keys could
    block all updates with an enormous version number. Security epochs of models stay.
    """
    if data is None:
        return None
    try:
        return verified(kind, root, data)
    except SignatureError:
        return None


def _check_fresh(signed: Signed, moment: datetime) -> None:
    if signed.is_expired(moment):
        raise ExpiredError(
            f"the {signed.type} of the bundle expired on {signed.expires:%Y-%m-%d}, "
            f"and this machine's clock says {moment:%Y-%m-%d}"
        )


def _check_not_older(what: str, version: int, floor: int) -> None:
    if version < floor:
        raise RollbackError(
            f"the bundle has version {version} of its {what}; version {floor} was here before"
        )


def _required(metadata: Mapping[str, bytes], name: str) -> bytes:
    if name not in metadata:
        raise LayoutError(f"the file metadata/{name} is missing")
    return metadata[name]
