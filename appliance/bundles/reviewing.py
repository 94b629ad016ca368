"""Looks at a bundle as an import would, and changes nothing: no row, no file, no newer root.

`inspect_bundle` verifies the metadata and says what is listed and what is carried;
`verify_bundle` also reads every carried byte and every signature. Looking into the weights'
header is left to the import, which does it on its own copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.bundles import admission, opening
from appliance.bundles.admission import Withdrawal
from appliance.bundles.checking import check_side_files, signer_of
from appliance.bundles.digesting import PartWorker
from appliance.bundles.floors import Floors
from appliance.bundles.imports.steps import Step, Watch
from appliance.bundles.inventory import PublisherInfo
from appliance.bundles.manifest import (
    SIDE_FILES,
    FileRole,
    VerifiedManifest,
    VerifiedModel,
    VerifiedTarget,
)
from appliance.bundles.media import Medium, check_digest, place_of, pour
from appliance.bundles.opening import Carriers
from appliance.bundles.pipeline import Pipeline, Worker
from appliance.bundles.progress import Counter, engine_version, incomplete, total_bytes
from appliance.bundles.store import ModelStore


@dataclass(frozen=True)
class Review:
    """What the media hold: `carried` are models of which any file is there, `missing` the files
    of those that lie on none of the media, `new` what an import would bring in, `withdrawn` what
    it would take out of use.
    """

    publisher: PublisherInfo
    manifest: VerifiedManifest
    carried: tuple[VerifiedModel, ...]
    missing: tuple[VerifiedTarget, ...]
    new: tuple[VerifiedModel, ...]
    withdrawn: tuple[Withdrawal, ...]


def inspect_bundle(
    store: ModelStore, folders: Sequence[Path], now: float, watch: Watch, floors: Floors
) -> Review:
    """Return what the media hold, by verified metadata alone."""
    with opening.opened(folders) as media:
        watch.step(Step.INSERTED, {})
        claim = opening.claim(store.publishers(), media)
        review, _ = _reviewed(store, claim, media, now, floors)
        watch.step(Step.METADATA_OK, {"publisher": review.publisher.id})
        return review


def verify_bundle(
    store: ModelStore, folders: Sequence[Path], now: float, watch: Watch, floors: Floors
) -> Review:
    """Return what the media hold when every carried byte is what was signed.

    Raises what an import into an empty library would raise, IncompleteError included.
    """
    with opening.opened(folders) as media:
        watch.step(Step.INSERTED, {})
        claim = opening.claim(store.publishers(), media)
        review, carriers = _reviewed(store, claim, media, now, floors)
        watch.step(Step.METADATA_OK, {"publisher": review.publisher.id})
        if review.missing:
            raise incomplete(review.missing)
        counter = Counter(sum(map(total_bytes, review.carried)), watch)
        small = [_read(model, carriers, counter) for model in review.carried]
        watch.step(Step.STREAMED, {})
        for model, files in zip(review.carried, small, strict=True):
            signer_of(model, files["oms"], review.manifest.oms_keys)
        watch.step(Step.SIGNATURE_OK, {})
        for model, files in zip(review.carried, small, strict=True):
            check_side_files(model, files.__getitem__)
        return review


def _reviewed(
    store: ModelStore, claim: opening.Claim, media: Sequence[Medium], now: float, floors: Floors
) -> tuple[Review, Carriers]:
    floors.require_trusted(claim.publisher)
    manifest = opening.verified(claim, now, store.last_verified(claim.publisher.id))
    floors.require_not_older(claim.publisher, claim.root.root, claim.metadata, manifest)
    carriers = Carriers(media, manifest)
    known = store.models()
    carried = tuple(model for model in manifest.models if carriers.carries(model))
    review = Review(
        publisher=claim.publisher,
        manifest=manifest,
        carried=carried,
        missing=tuple(t for model in carried for t in model.files if not carriers.holds(t)),
        new=admission.new_models(known, claim.publisher, manifest, carried, engine_version()),
        withdrawn=admission.withdrawn(known, claim.publisher, manifest.models, manifest.denied),
    )
    return review, carriers


def _read(model: VerifiedModel, carriers: Carriers, counter: Counter) -> dict[FileRole, bytes]:
    """Hash the weights, and return the other files, whose digests are then the signed ones."""
    whole = hashlib.sha256()
    workers: list[Worker] = [whole.update]
    if len(model.parts) > 1:
        workers.append(PartWorker(model.parts, 0))
    with Pipeline(workers) as pipeline:
        for part in model.parts:
            with carriers.opened(part) as source:
                pour(source, part, pipeline, counter.add)
    check_digest(whole.hexdigest(), model.sha256, place_of(model.parts[0]))
    small = {}
    for role in SIDE_FILES:
        small[role] = carriers.read(model.file(role))
        counter.add(len(small[role]))
    return small
