"""The models of this appliance: weights by digest, and at most two of them active.

Guarantees: a file lies in the library only under the SHA-256 of its content, read-only, put
there whole by a rename; the engine is told of a model only after it was approved. Which model is
active is decided by the database; `active.json`, which the engine reads, follows it.
Not here: who may do what, and what is recorded (operations); verification itself (`importer`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from appliance import durable
from appliance.bundles import active, admission, importer, opening, reviewing, trust
from appliance.bundles.floors import Floors
from appliance.bundles.imports.steps import Watch
from appliance.bundles.imports.store import ImportInfo, ImportStore
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.media import file_digest
from appliance.bundles.places import library_file
from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.reviewing import Review
from appliance.bundles.staging import KEEP_FREE_BYTES
from appliance.bundles.states import State
from appliance.bundles.store import ModelStore
from appliance.clock import Clock, new_id
from appliance.database import Database
from appliance.errors import BadInputError, ConflictError, NotFoundError

# On this many, two digests at once slow an import down, and none is left to re-hash beside.
FEW_CORES = 2

__all__ = ["Library", "ModelInfo", "PublisherInfo"]


def many_cores() -> bool:
    """Tell whether there are processors to spare for hashing chunks beside the whole."""
    return len(os.sched_getaffinity(0)) > FEW_CORES


class Library:
    """Publishers, models and the files that belong to them."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        staging: Path,
        clock: Clock,
        keep_free: int = KEEP_FREE_BYTES,
        list_chunks: bool | None = None,
    ) -> None:
        """`keep_free` is how many bytes an import leaves free for everything else.

        `list_chunks` says whether weights get a list of chunk digests for a re-hash on all cores;
        by default they do where there are more than two.
        """
        self.folder = folder
        self.staging = staging
        self._store = ModelStore(database)
        self._imports = ImportStore(database)
        self._clock = clock
        self._keep_free = keep_free
        self._list_chunks = many_cores() if list_chunks is None else list_chunks
        for path in (folder, staging):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add_publisher(
        self, name: str, root_bytes: bytes, fingerprint: str, added_by: str
    ) -> PublisherInfo:
        """Trust a publisher whose root has the SHA-256 `fingerprint` that a person confirmed.

        Raises WrongFingerprintError, SignatureError, BadInputError (name), or ConflictError when
        the name or root is known already.
        """
        if not 0 < len(name) <= 100 or not name.isprintable() or name != name.strip():
            raise BadInputError("a publisher's name has 1 to 100 printable characters")
        root = trust.pin(root_bytes, fingerprint)
        publisher = PublisherInfo(
            id=new_id("pub"),
            name=name,
            root_sha256=root.fingerprint,
            root=root.data,
            root_version=root.version,
            timestamp=None,
            snapshot=None,
            targets=None,
            targets_version=0,
            added_by=added_by,
            created=self._clock.now(),
        )
        self._store.add_publisher(publisher)
        return publisher

    def publishers(self) -> list[PublisherInfo]:
        """Return the trusted publishers, by name."""
        return self._store.publishers()

    def keep_root(self, publisher_id: str, root: trust.TrustedRoot) -> None:
        """Make a root that follows from the trusted one the trusted one; never an older one."""
        self._store.keep_root(publisher_id, root.data, root.version)

    def revoke_publisher(self, publisher_id: str, by: str) -> PublisherInfo:
        """Accept no bundle of this publisher any more; raise ConflictError when that is so."""
        return self._store.revoke_publisher(publisher_id, by, self._clock.now())

    def import_bundle(
        self,
        folders: Sequence[Path],
        now: float,
        imported_by: str,
        watch: Watch | None = None,
        *,
        import_id: str | None = None,
        quarantine: importer.Quarantine | None = None,
        floors: Floors = importer.NO_FLOORS,
    ) -> tuple[ModelInfo, ...]:
        """Verify a bundle and put the models it carries into the library; all or none.

        `folders` are the media that are at hand, one or more. `quarantine(model, reason)` takes
        models that the publisher took back out of use; `floors` is what the record tells of
        publishers, beside what the database does. Importing the same bundle again changes
        nothing and returns the same models. Raises a BundleError for what is wrong with the
        bundle, IncompleteError when files lie on none of the media, MediumError, DiskFullError,
        or ConflictError when another import is running.
        """
        shelf = importer.Shelf(
            store=self._store,
            imports=self._imports,
            library=self.folder,
            staging=self.staging,
            keep_free=self._keep_free,
            list_chunks=self._list_chunks,
            quarantine=quarantine or (lambda model, why: self.quarantine(model.id, why)),
        )
        order = importer.Order(
            folders, now, imported_by, import_id or new_id("imp"), watch or Watch(), floors
        )
        return importer.import_bundle(shelf, order)

    def review(
        self,
        folders: Sequence[Path],
        now: float,
        watch: Watch | None = None,
        *,
        read: bool,
        floors: Floors = importer.NO_FLOORS,
    ) -> Review:
        """Return what the media hold, without changing a thing; with `read`, check every byte."""
        reviewer = reviewing.verify_bundle if read else reviewing.inspect_bundle
        return reviewer(self._store, folders, now, watch or Watch(), floors)

    def imports(self) -> list[ImportInfo]:
        """Return every import there was, newest first."""
        return self._imports.all()

    def withdrawn(self) -> list[tuple[ModelInfo, str]]:
        """Return the models that must not be used any more, and why; none is changed.

        Those that their publisher has taken back by the newest metadata that was accepted here,
        and all of a publisher that is no longer trusted.
        """
        known = self._store.models()
        found: list[tuple[ModelInfo, str]] = []
        for publisher in self._store.publishers():
            lists = opening.listed(publisher.targets) if publisher.targets else None
            if publisher.revoked is not None:
                why = f"trust in its publisher {publisher.name} was taken back"
                own = [model for model in known if model.publisher == publisher.id]
                found += [(m, why) for m in own if m.state not in admission.OUT_OF_USE]
            elif lists is not None:
                taken = admission.withdrawn(known, publisher, *lists)
                found += [(item.model, item.reason) for item in taken]
        return found

    def models(self) -> list[ModelInfo]:
        """Return every model, by name, newest first."""
        return self._store.models()

    def get(self, model_id: str) -> ModelInfo:
        """Return one model; raise NotFoundError."""
        return self._store.model(model_id)

    def by_name(self, name: str, version: str | None = None) -> ModelInfo:
        """Return a version of a model; without `version` the active one, else the newest.

        Two active models never have the same name.
        """
        found = [
            model
            for model in self._store.models()
            if model.name == name and version in (None, model.version)
        ]
        if not found:
            raise NotFoundError(f"there is no model {name}" + (f" {version}" if version else ""))
        return next((model for model in found if model.state is State.ACTIVE), found[0])

    def set_approved(self, model_id: str, by: str, roles: Iterable[str]) -> ModelInfo:
        """Approve an evaluated model for the named roles; at least one."""
        names = sorted(set(roles))
        if not names or not all(name.isidentifier() for name in names):
            raise BadInputError("name at least one role that may use the model")
        return self._store.change(
            model_id,
            State.APPROVED,
            self._clock.now(),
            approved_by=by,
            roles=",".join(names),
        )

    def set_evaluated(self, model_id: str) -> ModelInfo:
        """Note that an imported model was tried on this machine; again is no error."""
        return self._store.change(model_id, State.EVALUATED, self._clock.now())

    def set_active(self, model_id: str, *, beside: bool = False) -> ModelInfo:
        """Make an approved model one that the engine loads; the former one stays approved.

        With `beside`, in the second place. Does not hash the file: the caller does (`verify`),
        and the engine does when it loads.
        """
        if not self.path_of(self._store.model(model_id).digest).exists():
            raise DamagedModelError(f"the file of model {model_id} is missing from the library")
        try:
            return self._store.activate(
                model_id, self._clock.now(), partial(active.note, self.folder), beside=beside
            )
        except BaseException:
            # The rows were rolled back; the engine's note must not be ahead of them.
            self.settle()
            raise

    def step_down(self, model_id: str) -> ModelInfo:
        """Let an active model answer no more, with none in its place; it stays approved."""
        try:
            return self._store.step_down(
                model_id, self._clock.now(), partial(active.note, self.folder)
            )
        except BaseException:
            self.settle()
            raise

    def quarantine(self, model_id: str, reason: str) -> ModelInfo:
        """Take a model out of use; when it was active, no model is active in its place."""
        model = self._store.quarantine(model_id, reason, self._clock.now())
        self.settle()
        return model

    def retire(self, model_id: str, reason: str) -> ModelInfo:
        """Take a model that is not active out of use for good; its weights stay for now."""
        return self._store.change(model_id, State.RETIRED, self._clock.now(), reason=reason)

    def forget_weights(self, model_id: str) -> int:
        """Delete a retired model's weights; return the bytes freed, 0 when they were gone.

        The small files beside them (card, template, signature) stay: they say what it was.
        """
        model = self._store.model(model_id)
        if model.state is not State.RETIRED:
            raise ConflictError(f"model {model.name} {model.version} is {model.state}")
        freed = 0
        for path in (self.path_of(model.digest), self.folder / f"{model.digest}.chunks"):
            with contextlib.suppress(FileNotFoundError):
                freed += path.stat().st_size
                path.unlink()
        durable.sync_folder(self.folder)
        return freed

    def verify(self, model_id: str) -> ModelInfo:
        """Return the model when its files still have their digests; raise DamagedModelError."""
        model = self._store.model(model_id)
        what = f"model {model.name} {model.version}"
        # A row from before a0004 names no other files.
        for role, digest in {"weights": model.digest, **model.files}.items():
            named = model.digest if role == "chunks" else digest
            try:
                found = file_digest(library_file(self.folder, named, role))
            except FileNotFoundError:
                raise DamagedModelError(f"the {role} file of {what} is missing") from None
            if found != digest:
                raise DamagedModelError(
                    f"the {role} file of {what} was altered: "
                    f"its SHA-256 is {found}, signed was {digest}"
                )
        return model

    def settle(self) -> None:
        """Make `active.json` say what the database says; called after a crash or a rollback."""
        self._store.with_active(partial(active.note, self.folder))

    def path_of(self, digest: str) -> Path:
        """Return where weights of that digest lie, or would lie."""
        return library_file(self.folder, digest)
