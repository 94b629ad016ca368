"""The models of this appliance: weights by digest, and one of them active.

Guarantees: a file lies in the library only under the SHA-256 of its content, read-only, put
there whole by a rename; the engine is told of a model only after it was approved. Which model is
active is decided by the database; `active.json`, which the engine reads, follows it.
Not here: who may do what, and what is recorded (operations); verification itself (`importer`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from appliance import durable
from appliance.bundles import importer, trust
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.media import file_digest
from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.states import State
from appliance.bundles.store import ModelStore
from appliance.clock import Clock, new_id
from appliance.database import Database
from appliance.errors import BadInputError, NotFoundError

ACTIVE_FILE = "active.json"

__all__ = ["Library", "ModelInfo", "PublisherInfo"]


class Library:
    """Publishers, models and the files that belong to them."""

    def __init__(self, database: Database, folder: Path, staging: Path, clock: Clock) -> None:
        self.folder = folder
        self.staging = staging
        self._store = ModelStore(database)
        self._clock = clock
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

    def import_bundle(
        self,
        folder: Path,
        now: float,
        imported_by: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[ModelInfo, ...]:
        """Verify a bundle and put its models into the library as `imported`; all or none.

        `progress` is called with (bytes done, bytes in all). Importing the same bundle again
        changes nothing and returns the same models. Raises a BundleError for what is wrong with
        the bundle, MediumError, DiskFullError, or ConflictError when another import is running.
        """
        shelf = importer.Shelf(store=self._store, library=self.folder, staging=self.staging)
        return importer.import_bundle(shelf, folder, now, imported_by, progress)

    def models(self) -> list[ModelInfo]:
        """Return every model, by name, newest first."""
        return self._store.models()

    def get(self, model_id: str) -> ModelInfo:
        """Return one model; raise NotFoundError."""
        return self._store.model(model_id)

    def by_name(self, name: str, version: str | None = None) -> ModelInfo:
        """Return a version of a model; without `version` the active one, else the newest."""
        found = [
            model
            for model in self._store.models()
            if model.name == name and version in (None, model.version)
        ]
        if not found:
            raise NotFoundError(f"there is no model {name}" + (f" {version}" if version else ""))
        return next((model for model in found if model.state is State.ACTIVE), found[0])

    def set_approved(self, model_id: str, by: str, roles: Iterable[str]) -> ModelInfo:
        """Approve an imported model for the named roles; at least one."""
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

    def set_active(self, model_id: str) -> ModelInfo:
        """Make an approved model the one that the engine loads; the former one stays approved.

        Does not hash the file: the caller does (`verify`), and the engine does when it loads.
        """
        if not self.path_of(self._store.model(model_id).digest).exists():
            raise DamagedModelError(f"the file of model {model_id} is missing from the library")
        try:
            return self._store.activate(model_id, self._clock.now(), self._write_active)
        except BaseException:
            # The rows were rolled back; the engine's note must not be ahead of them.
            self.settle()
            raise

    def quarantine(self, model_id: str, reason: str) -> ModelInfo:
        """Take a model out of use; when it was the active one, no model is active any more."""
        model = self._store.model(model_id)
        if model.state is not State.QUARANTINED:
            now = self._clock.now()
            model = self._store.change(model_id, State.QUARANTINED, now, reason=reason)
        self.settle()
        return model

    def verify(self, model_id: str) -> ModelInfo:
        """Return the model when its file still has its digest; raise DamagedModelError if not."""
        model = self._store.model(model_id)
        path = self.path_of(model.digest)
        try:
            found = file_digest(path)
        except FileNotFoundError:
            raise DamagedModelError(
                f"the file of model {model.name} {model.version} is missing"
            ) from None
        if found != model.digest:
            raise DamagedModelError(
                f"the file of model {model.name} {model.version} was altered: "
                f"its SHA-256 is {found}, signed was {model.digest}"
            )
        return model

    def settle(self) -> None:
        """Make `active.json` say what the database says; called after a crash or a rollback."""
        active = [model for model in self._store.models() if model.state is State.ACTIVE]
        if active:
            self._write_active(active[0])
        else:
            (self.folder / ACTIVE_FILE).unlink(missing_ok=True)
            durable.sync_folder(self.folder)

    def path_of(self, digest: str) -> Path:
        """Return where weights of that digest lie, or would lie."""
        return importer.library_path(self.folder, digest)

    def orphans(self) -> tuple[Path, ...]:
        """Return weights without a row, left by a crash just before the row was written.

        They are harmless: nothing loads them, and importing their bundle again verifies and
        adopts them.
        """
        known = {model.digest for model in self._store.models()}
        files = sorted(self.folder.glob("*.gguf"))
        return tuple(path for path in files if path.stem not in known)

    def _write_active(self, model: ModelInfo) -> None:
        value = {
            "model": {
                "name": model.name,
                "version": model.version,
                "digest": model.digest,
                "context_tokens": model.context_tokens,
            }
        }
        path = self.folder / ACTIVE_FILE
        data = json.dumps(value, indent=1).encode() + b"\n"
        if not path.exists() or path.read_bytes() != data:
            durable.write(path, data, mode=0o644)
