"""From a medium to the library: the order of the steps, and nothing that skips one.

1. lock, so that one import runs at a time; clear what a crash left in staging;
2. metadata: read once, size-capped; the publisher's root advanced and kept; the rest verified
   against the floor, then kept as the new floor;
3. against the library: no other content for a version, no lower security epoch, no name of
   another publisher, no engine too old;
4. layout: the medium holds the signed files and nothing else;
5. staging: room reserved for all, then each file read once, hashed while written, fsynced;
6. inspection: the card, and the weights' header in a locked-down process;
7. commit: renamed into the library (0444), folder fsynced, rows in one transaction.

A model that the library holds already is not read again, so a repeated import is quick and
changes nothing. A crash before the rows leaves at most a whole, verified file that step 5 finds
and re-hashes instead of copying. Not here: authorising and recording (operations).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import durable
from appliance.bundles import admission, card, trust
from appliance.bundles.card import Card
from appliance.bundles.gguf import Facts
from appliance.bundles.inspection import check_model
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.manifest import VerifiedManifest, VerifiedModel, VerifiedTarget
from appliance.bundles.media import Medium, file_digest, reserved, written
from appliance.bundles.refusals import (
    LayoutError,
    UnknownPublisherError,
)
from appliance.bundles.states import State
from appliance.bundles.store import ModelStore
from appliance.clock import new_id

Progress = Callable[[int, int], None]
LOCK_FILE = ".import.lock"


@dataclass(frozen=True)
class Shelf:
    """Where an import works: the rows, the folder of weights, the folder for staging."""

    store: ModelStore
    library: Path
    staging: Path


@dataclass(frozen=True)
class Inspected:
    """A model whose bytes are the signed ones and whose header was looked at."""

    model: VerifiedModel
    weights: Path
    card: Card
    facts: Facts


def library_path(folder: Path, digest: str) -> Path:
    """Return the one place in `folder` for weights with that digest."""
    return folder / f"{digest}.gguf"


def import_bundle(
    shelf: Shelf, folder: Path, now: float, imported_by: str, progress: Progress | None = None
) -> tuple[ModelInfo, ...]:
    """Import every model of the bundle in `folder`, or none; see the steps above.

    Returns the models of the bundle in the order of their names, new or known before.
    """
    with _workplace(shelf) as workplace, Medium.open(folder) as medium:
        publisher, manifest = _verify(shelf.store, medium, now)
        new = admission.new_models(shelf.store.models(), publisher, manifest, engine_version())
        _check_layout(medium, manifest, new)
        paths = _stage(shelf, medium, workplace, new, progress)
        inspected = [_inspect(model, paths) for model in new]
        _commit(shelf, inspected, publisher, now, imported_by)
    wanted = {(model.name, model.version) for model in manifest.models}
    models = [info for info in shelf.store.models() if (info.name, info.version) in wanted]
    return tuple(sorted(models, key=lambda info: (info.name, info.version)))


@contextlib.contextmanager
def _workplace(shelf: Shelf) -> Iterator[Path]:
    """Yield a fresh folder under staging that is removed afterwards, however it ends."""
    with durable.exclusive(shelf.staging / LOCK_FILE, "the import of models"):
        for leftover in shelf.staging.glob("import-*"):
            shutil.rmtree(leftover)
        workplace = shelf.staging / new_id("import").replace("_", "-")
        with written():
            workplace.mkdir(mode=0o700)
        try:
            yield workplace
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def _verify(
    store: ModelStore, medium: Medium, now: float
) -> tuple[PublisherInfo, VerifiedManifest]:
    metadata = medium.metadata(trust.limit_of)
    publisher = _publisher(store.publishers(), metadata)
    root = trust.advance(trust.reload(publisher.root), metadata)
    # Kept even if the bundle is refused below: a root that revokes keys must not be forgotten.
    store.keep_root(publisher.id, root.data, root.version)
    floor = trust.Floor(publisher.timestamp, publisher.snapshot)
    manifest = trust.verify(root, metadata, floor, now)
    roots = {f"{version}.root.json" for version in range(1, manifest.root_version + 1)}
    stray = sorted(metadata.keys() - manifest.metadata_names - roots)
    if stray:
        raise LayoutError(f"metadata/{stray[0]} does not belong to the bundle")
    kept = (manifest.timestamp, manifest.snapshot, manifest.targets)
    store.keep_floor(publisher.id, kept, manifest.targets_version)
    return publisher, manifest


def _publisher(publishers: list[PublisherInfo], metadata: dict[str, bytes]) -> PublisherInfo:
    """Find whose bundle it claims to be; the claim is verified against that publisher's root."""
    prints = {
        trust.fingerprint(data) for name, data in metadata.items() if name.endswith("root.json")
    }
    for publisher in publishers:
        if publisher.root_sha256 in prints:
            return publisher
    raise UnknownPublisherError("the bundle does not carry the root of any publisher trusted here")


def engine_version() -> str | None:
    """Return the version of the engine installed here, None where there is none."""
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_layout(
    medium: Medium, manifest: VerifiedManifest, new: tuple[VerifiedModel, ...]
) -> None:
    found = medium.files()
    signed = {target.stored_path for model in manifest.models for target in model.files}
    needed = {target.stored_path for model in new for target in model.files}
    if found - signed:
        raise LayoutError(f"targets/{min(found - signed)!r} was not signed")
    if needed - found:
        raise LayoutError(f"targets/{min(needed - found)} is missing")


def _stage(
    shelf: Shelf,
    medium: Medium,
    workplace: Path,
    models: tuple[VerifiedModel, ...],
    progress: Progress | None,
) -> dict[VerifiedTarget, Path]:
    """Return where the verified bytes of each file lie; room for all is set aside first."""
    targets = [target for model in models for target in model.files]
    counter = _Counter(sum(target.length for target in targets), progress)
    paths: dict[VerifiedTarget, Path] = {}
    with contextlib.ExitStack() as stack:
        waiting: list[tuple[VerifiedTarget, int]] = []
        for number, target in enumerate(targets):
            orphan = library_path(shelf.library, target.sha256)
            if target.role == "weights" and _holds(orphan, target.sha256):
                paths[target] = orphan
                counter.add(target.length)
                continue
            paths[target] = workplace / f"{number}.{target.role}"
            waiting.append((target, stack.enter_context(reserved(paths[target], target.length))))
        for target, descriptor in waiting:
            medium.copy(target, descriptor, counter.add)
    return paths


def _holds(path: Path, digest: str) -> bool:
    return path.exists() and file_digest(path) == digest


class _Counter:
    """Adds up bytes and tells who watches."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _inspect(model: VerifiedModel, paths: dict[VerifiedTarget, Path]) -> Inspected:
    parsed = card.parse(paths[model.card].read_bytes())
    card.check(parsed, model)
    weights = paths[model.weights]
    return Inspected(model, weights, parsed, check_model(weights, model))


def _commit(
    shelf: Shelf,
    inspected: list[Inspected],
    publisher: PublisherInfo,
    now: float,
    imported_by: str,
) -> None:
    placed: list[Path] = []
    try:
        for item in inspected:
            place = library_path(shelf.library, item.model.weights.sha256)
            if item.weights != place:
                item.weights.replace(place)
                placed.append(place)
        durable.sync_folder(shelf.library)
        shelf.store.add_models(_row(item, publisher, now, imported_by) for item in inspected)
    except BaseException:
        for place in placed:
            place.unlink(missing_ok=True)
        raise


def _row(item: Inspected, publisher: PublisherInfo, now: float, imported_by: str) -> ModelInfo:
    return ModelInfo(
        id=new_id("mdl"),
        name=item.model.name,
        version=item.model.version,
        digest=item.model.weights.sha256,
        state=State.IMPORTED,
        reason="",
        roles=frozenset(),
        card_text=item.card.text,
        publisher=publisher.id,
        security_epoch=item.model.security_epoch,
        context_tokens=item.facts.context_tokens,
        bytes=item.model.weights.length,
        demo=item.card.demo,
        imported_by=imported_by,
        approved_by=None,
        created=now,
        changed=now,
    )
