"""From folders that may be a bundle to what its publisher has signed, without changing a thing.

1. every medium's metadata is read, size-capped; all media must carry the same;
2. the publisher is found by a root that is trusted here, and the root advanced;
3. the rest is verified against that root, the clock and the floor;
4. nothing may lie on a medium that was not signed.

What comes out is a promise about names and digests only. Not here: keeping the newer root and
floor (`importer`), reading the files themselves.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets

from appliance.bundles import trust
from appliance.bundles.inventory import PublisherInfo
from appliance.bundles.listing import read_denied, read_models
from appliance.bundles.manifest import Denied, VerifiedManifest, VerifiedModel, VerifiedTarget
from appliance.bundles.media import Medium
from appliance.bundles.refusals import (
    ExpiredError,
    LayoutError,
    RevokedPublisherError,
    UnknownPublisherError,
)


@dataclass(frozen=True)
class Claim:
    """Whose bundle it claims to be: a root that follows from the trusted one, and metadata."""

    publisher: PublisherInfo
    root: trust.TrustedRoot
    metadata: Mapping[str, bytes]


class Carriers:
    """The media of one bundle, and which of them holds which signed file."""

    def __init__(self, media: Sequence[Medium], manifest: VerifiedManifest) -> None:
        signed = {target.stored_path for model in manifest.models for target in model.files}
        self._holders: dict[str, Medium] = {}
        for medium in media:
            found = medium.files()
            if found - signed:
                raise LayoutError(f"targets/{min(found - signed)!r} was not signed")
            for name in found:
                self._holders.setdefault(name, medium)

    def holds(self, target: VerifiedTarget) -> bool:
        """Tell whether a file lies on one of the media."""
        return target.stored_path in self._holders

    def carries(self, model: VerifiedModel) -> bool:
        """Tell whether any file of a model lies on one of the media."""
        return any(self.holds(target) for target in model.files)

    def opened(self, target: VerifiedTarget) -> contextlib.AbstractContextManager[int]:
        """See `Medium.opened`."""
        return self._holders[target.stored_path].opened(target)

    def read(self, target: VerifiedTarget) -> bytes:
        """See `Medium.read`."""
        return self._holders[target.stored_path].read(target)


@contextlib.contextmanager
def opened(folders: Sequence[Path]) -> Iterator[tuple[Medium, ...]]:
    """Yield the media in `folders`; raise MediumError when one cannot be opened."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(Medium.open(folder)) for folder in folders)


def claim(publishers: Sequence[PublisherInfo], media: Sequence[Medium]) -> Claim:
    """Return whose bundle the media claim to hold (steps 1 and 2); nothing more is verified yet."""
    metadata = media[0].metadata(trust.limit_of)
    for other in media[1:]:
        if other.metadata(trust.limit_of) != metadata:
            raise LayoutError(
                "the media do not belong to one bundle: their metadata differ",
                hint="nothing was imported; give only media that were written together",
            )
    publisher = _publisher(publishers, metadata)
    return Claim(publisher, trust.advance(trust.reload(publisher.root), metadata), metadata)


def verified(claimed: Claim, now: float, seen: float) -> VerifiedManifest:
    """Return what was signed (step 3), and nothing else lies among the metadata.

    `seen` is when one of this publisher's was last verified here: a clock that was set back since,
    or lost its battery, does not make an ended bundle valid again. It cannot block newer ones for
    ever, since nothing is verified after its own end.
    """
    publisher, root, metadata = claimed.publisher, claimed.root, claimed.metadata
    floor = trust.Floor(publisher.timestamp, publisher.snapshot)
    manifest = trust.verify(root, metadata, floor, now)
    if manifest.expires <= seen:
        raise ExpiredError(
            f"the bundle expired on {_day(manifest.expires)}; this machine's clock says "
            f"{_day(now)}, but a bundle was verified here on {_day(seen)}"
        )
    roots = {f"{version}.root.json" for version in range(1, manifest.root_version + 1)}
    stray = sorted(metadata.keys() - manifest.metadata_names - roots)
    if stray:
        raise LayoutError(f"metadata/{stray[0]} does not belong to the bundle")
    return manifest


@functools.lru_cache(maxsize=16)
def listed(targets: bytes) -> tuple[tuple[VerifiedModel, ...], tuple[Denied, ...]] | None:
    """Return the good and the denied models of targets that were verified when they were kept.

    None for a list in a form of before that says less than today's: it takes nothing back.
    """
    try:
        signed = Metadata[Targets].from_bytes(targets).signed
        return read_models(signed), read_denied(signed)
    except (LayoutError, RepositoryError):
        return None


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d}"


def _publisher(publishers: Sequence[PublisherInfo], metadata: Mapping[str, bytes]) -> PublisherInfo:
    """Find whose bundle it claims to be; the claim is verified against that publisher's root."""
    prints = {
        trust.fingerprint(data) for name, data in metadata.items() if name.endswith("root.json")
    }
    found = [publisher for publisher in publishers if publisher.root_sha256 in prints]
    # One whose trust was taken back may have been trusted anew by a later root of the same line.
    for publisher in found:
        if publisher.revoked is None:
            return publisher
    if found:
        raise RevokedPublisherError(f"trust in {found[0].name} was taken back here")
    raise UnknownPublisherError("the bundle does not carry the root of any publisher trusted here")
