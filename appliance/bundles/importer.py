"""From media to the library: the order of the steps, and nothing that skips one.

INSERTED        locked, so that one import runs at a time; the media opened;
METADATA_OK     metadata read once, size-capped; the publisher's root advanced and kept; the rest
                verified against the floor, then kept as the new floor; what the publisher took
                back is quarantined; against the library: no other content for a version, no lower
                security epoch, no name of another publisher, no denied model, no engine too old;
SPACE_RESERVED  staging of other bundles cleared, room for all files allocated;
STREAMED        each file read once, hashed while written, fsynced; what an earlier run had read
                is hashed again instead;
SIGNATURE_OK    the signature of each model itself (OMS) over the digests just found;
INSPECTED       card, bill of materials and golden prompts read; the weights' header looked into
                by a locked-down process;
COMMITTED       renamed into the library (0444), folder fsynced, rows in one transaction.

A kill or a pulled stick leaves verified and half-read files in staging, from which the next run
goes on; a refusal leaves nothing. A crash between rename and rows leaves whole files in the
library that the next run hashes and adopts. A model that the library holds is not read again.
Not here: authorising, recording and evaluating (operations).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import durable
from appliance.bundles import admission, opening
from appliance.bundles.checking import Checked, SideFiles, Whole, inspected, signer_of
from appliance.bundles.floors import Floors
from appliance.bundles.imports.steps import Step, Watch
from appliance.bundles.imports.store import REFUSED, WAITING, ImportInfo, ImportStore
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.manifest import (
    SIDE_FILES,
    VerifiedManifest,
    VerifiedModel,
    VerifiedTarget,
)
from appliance.bundles.media import Medium
from appliance.bundles.opening import Carriers
from appliance.bundles.places import library_file
from appliance.bundles.progress import Counter, engine_version, incomplete, total_bytes
from appliance.bundles.refusals import StorageError
from appliance.bundles.staging import Staging
from appliance.bundles.states import State
from appliance.bundles.store import ModelStore
from appliance.bundles.writing import written
from appliance.errors import ApplianceError, DiskFullError, VerificationError

NO_FLOORS = Floors()
LOCK_FILE = ".import.lock"
Quarantine = Callable[[ModelInfo, str], object]


@dataclass(frozen=True)
class Shelf:
    """Where an import works: the rows, the folders, and how a model is taken out of use."""

    store: ModelStore
    imports: ImportStore
    library: Path
    staging: Path
    keep_free: int
    list_chunks: bool
    quarantine: Quarantine


@dataclass(frozen=True)
class Order:
    """One run: from which folders, when, for whom, under which id, and who is told."""

    folders: Sequence[Path]
    now: float
    imported_by: str
    import_id: str
    watch: Watch
    floors: Floors = NO_FLOORS


def import_bundle(shelf: Shelf, order: Order) -> tuple[ModelInfo, ...]:
    """Import every model that the media carry, or none; see the steps above.

    Returns those models in the order of their names, new or known before. Raises IncompleteError
    when files of a carried model lie on none of the media.
    """
    run = _Run(shelf, order)
    with (
        durable.exclusive(shelf.staging / LOCK_FILE, "the import of models"),
        opening.opened(order.folders) as media,
        _journal(shelf, order, run),
    ):
        order.watch.step(Step.INSERTED, {})
        return run.through(media)


@contextlib.contextmanager
def _journal(shelf: Shelf, order: Order, run: _Run) -> Iterator[None]:
    """Note how the run ended; after a refusal or on a bad disk, leave nothing in staging.

    Until a bundle's metadata was found good, what lies there is of another one that waits to be
    gone on with: a wrong stick put in by mistake does not cost it.
    What was written before a disk failed is not gone on with: after a failed fsync the kernel may
    show bytes that never reached the disk.
    """
    try:
        with _own_disk():
            yield
    except ApplianceError as error:
        refused = isinstance(error, VerificationError)
        if run.staging_is_ours and (refused or isinstance(error, DiskFullError | StorageError)):
            with contextlib.suppress(OSError):
                Staging(shelf.staging, shelf.library).clean()
        # The error itself matters more than its note.
        with contextlib.suppress(ApplianceError):
            state = REFUSED if refused else WAITING
            shelf.imports.note(order.import_id, state, order.now, error.message)
        raise


@contextlib.contextmanager
def _own_disk() -> Iterator[None]:
    """Turn what goes wrong on the appliance's own disk into words; a medium has its own."""
    try:
        with written():
            yield
    except BrokenPipeError:
        raise  # whoever watches has gone; the disk is sound
    except OSError as error:
        raise StorageError(
            f"the disk of the state folder failed ({error.strerror or error}); nothing was imported"
        ) from error


class _Run:
    """One import, step by step."""

    def __init__(self, shelf: Shelf, order: Order) -> None:
        self._shelf = shelf
        self._order = order
        self._staging = Staging(
            shelf.staging, shelf.library, shelf.keep_free, list_chunks=shelf.list_chunks
        )
        self.staging_is_ours = False
        self._floor: dict[str, object] = {}

    def through(self, media: Sequence[Medium]) -> tuple[ModelInfo, ...]:
        """Go through the steps after the first."""
        publisher, manifest = self._verify(media)
        known = self._withdraw(publisher, manifest)
        carriers = Carriers(media, manifest)
        carried = [model for model in manifest.models if carriers.carries(model)]
        new = admission.new_models(known, publisher, manifest, carried, engine_version())
        self._reached(Step.METADATA_OK, **self._floor)
        self.staging_is_ours = True
        self._staging.clean(manifest.models)
        self._staging.adopt(new)
        self._staging.reserve(new)
        self._reached(Step.SPACE_RESERVED, bytes=sum(total_bytes(model) for model in new))
        wholes = self._stream(new, carriers)
        self._reached(Step.STREAMED, models=[_name(model) for model in new])
        signers = [signer_of(w.model, w.read("oms"), manifest.oms_keys) for w in wholes]
        self._reached(Step.SIGNATURE_OK, keys=sorted({signer.key_sha256 for signer in signers}))
        checked = [inspected(*pair) for pair in zip(wholes, signers, strict=True)]
        # With digests: when the record fails after this, it still tells what may have come in.
        digests = [model.sha256 for model in new]
        self._reached(Step.INSPECTED, models=[_name(model) for model in new], digests=digests)
        self._commit(checked, publisher, manifest)
        self._order.watch.step(Step.COMMITTED, {"models": [_name(model) for model in new]})
        wanted = {(model.name, model.version) for model in carried}
        models = [m for m in self._shelf.store.models() if (m.name, m.version) in wanted]
        return tuple(sorted(models, key=lambda info: (info.name, info.version)))

    def _reached(self, step: Step, **facts: object) -> None:
        self._shelf.imports.note(self._order.import_id, step, self._order.now)
        self._order.watch.step(step, facts)

    def _verify(self, media: Sequence[Medium]) -> tuple[PublisherInfo, VerifiedManifest]:
        store, now, floors = self._shelf.store, self._order.now, self._order.floors
        claim = opening.claim(store.publishers(), media)
        floors.require_trusted(claim.publisher)
        # Kept even if the bundle is refused below: a root that revokes keys must not be forgotten.
        store.keep_root(claim.publisher.id, claim.root.data, claim.root.version)
        manifest = opening.verified(claim, now, store.last_verified(claim.publisher.id))
        floors.require_not_older(claim.publisher, claim.root.root, claim.metadata, manifest)
        store.keep_floor(claim.publisher.id, manifest)
        self._floor = {
            "publisher": claim.publisher.id,
            "root": manifest.root_version,
            "root_sha256": claim.root.fingerprint,
            "targets": manifest.targets_version,
            "signers": list(manifest.signers),
        }
        self._order.watch.verified(self._floor)
        self._shelf.imports.begin(
            ImportInfo(
                id=self._order.import_id,
                publisher=claim.publisher.id,
                targets_sha256=hashlib.sha256(manifest.targets).hexdigest(),
                state=Step.METADATA_OK,
                reason="",
                imported_by=self._order.imported_by,
                created=now,
                changed=now,
            )
        )
        return claim.publisher, manifest

    def _withdraw(
        self, publisher: PublisherInfo, manifest: VerifiedManifest
    ) -> Sequence[ModelInfo]:
        """Quarantine what was taken back, before anything else; return the models as they are."""
        known = self._shelf.store.models()
        found = admission.withdrawn(known, publisher, manifest.models, manifest.denied)
        for item in found:
            self._shelf.quarantine(item.model, item.reason)
        return self._shelf.store.models() if found else known

    def _stream(self, models: Sequence[VerifiedModel], carriers: Carriers) -> list[Whole]:
        """Read everything that the media have; raise IncompleteError if that is not enough."""
        counter = Counter(sum(total_bytes(model) for model in models), self._order.watch)
        wholes: list[Whole] = []
        missing: list[VerifiedTarget] = []
        for model in models:
            side: SideFiles = {}
            for role in SIDE_FILES:
                path = self._staging.side(model, role, carriers, counter.add)
                if path is None:
                    missing.append(model.file(role))
                else:
                    side[role] = path
            staged = self._staging.weights(model, carriers, counter.add)
            if isinstance(staged, tuple):
                missing += staged
            else:
                wholes.append(Whole(model, staged, side))
        if missing:
            raise incomplete(missing)
        return wholes

    def _commit(
        self, checked: Sequence[Checked], publisher: PublisherInfo, manifest: VerifiedManifest
    ) -> None:
        moves: dict[Path, Path] = {}
        rows = []
        for item in checked:
            model = item.whole.model
            row = item.row(publisher, manifest, self._order.imported_by, self._order.now)
            listed = self._staging.chunks(model, item.whole.staged)
            if listed is not None:
                moves[self._place(model.sha256, "chunks")] = listed[0]
                row = replace(row, files={**row.files, "chunks": listed[1]})
            for role, path in item.whole.side.items():
                moves[self._place(model.file(role).sha256, role)] = path
            # The weights come last: without them the rest is nothing that anybody looks for.
            moves[self._place(model.sha256, "weights")] = item.whole.staged.weights
            rows.append(row)
        with _moved(moves, self._shelf.library):
            self._shelf.store.add_models(
                rows, manifest.root_version, self._order.import_id, self._order.now
            )
        models = self._shelf.store.models()
        held = {info.digest for info in models if info.state is not State.QUARANTINED}
        # Another model of the list may have come in half, from a medium that is not here now.
        self._staging.clean([model for model in manifest.models if model.sha256 not in held])

    def _place(self, digest: str, role: str) -> Path:
        return library_file(self._shelf.library, digest, role)


@contextlib.contextmanager
def _moved(moves: Mapping[Path, Path], library: Path) -> Iterator[None]:
    """Rename files to their places in the library; back again when the block raises."""
    done: dict[Path, Path] = {}
    try:
        for place, source in moves.items():
            if place != source:
                source.replace(place)
                done[place] = source
        durable.sync_folder(library)
        yield
    except BaseException:
        for place, source in done.items():
            place.replace(source)
        raise


def _name(model: VerifiedModel) -> str:
    return f"{model.name} {model.version}"
