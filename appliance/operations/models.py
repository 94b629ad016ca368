"""Weights on their way to an answer: trust, import, approve, activate.

Two people agree before a model answers: whoever imports it can never be the one who approves.
"""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable
from pathlib import Path

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.bundles.library import ModelInfo, PublisherInfo
from appliance.errors import (
    BadInputError,
    EngineUnavailableError,
    ForbiddenError,
    VerificationError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.identity.roles import Role
from appliance.operations.recording import Recorder, system

ASKING_ROLES = frozenset({str(Role.CLINICIAN), str(Role.STEWARD)})
Progress = Callable[[int, int], None]


class Models:
    """What stewards and approvers do with models."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._engine = appliance.engine
        self._clock = appliance.clock
        self._recorder = Recorder(appliance.ledger)
        self._noted: tuple[str, str | None] | None = None

    def list(self, actor: Actor) -> builtins.list[ModelInfo]:
        """Return every model in the library, whatever its state."""
        require(actor, Permission.MODELS_LIST)
        return self._library.models()

    def show(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Return one model with its card; without a version the active one, else the newest."""
        require(actor, Permission.MODELS_LIST)
        return self._library.by_name(name, version)

    def publishers(self, actor: Actor) -> builtins.list[PublisherInfo]:
        """Return whose bundles are accepted."""
        require(actor, Permission.MODELS_LIST)
        return self._library.publishers()

    def trust(self, actor: Actor, name: str, root: bytes, fingerprint: str) -> PublisherInfo:
        """Accept a publisher whose root file has the SHA-256 that a person read off paper."""
        with self._recorder.change(
            actor, Permission.PUBLISHERS_TRUST, "publisher.trust", fingerprint=fingerprint
        ) as change:
            publisher = self._library.add_publisher(name, root, fingerprint, actor.user)
            change.entity = publisher.id
        return publisher

    def import_bundle(
        self, actor: Actor, folder: Path, progress: Progress = lambda done, total: None
    ) -> tuple[ModelInfo, ...]:
        """Verify a bundle and copy its models into the library; they wait for approval."""
        with self._recorder.change(actor, Permission.MODELS_IMPORT, "bundle.import") as change:
            imported = self._library.import_bundle(
                folder, now=self._clock.now(), imported_by=actor.user, progress=progress
            )
            change.facts["models"] = [
                {"name": model.name, "version": model.version, "digest": model.digest}
                for model in imported
            ]
        return imported

    def approve(
        self,
        actor: Actor,
        name: str,
        version: str | None = None,
        roles: frozenset[str] = ASKING_ROLES,
    ) -> ModelInfo:
        """Agree that people in `roles` may use a model; never the one who imported it."""
        with self._recorder.change(
            actor, Permission.MODELS_APPROVE, "model.approve", roles=sorted(roles)
        ) as change:
            model = self._library.by_name(name, version)
            change.entity = model.id
            change.facts["digest"] = model.digest
            if not roles or not roles <= ASKING_ROLES:
                raise BadInputError(f"choose roles among {', '.join(sorted(ASKING_ROLES))}")
            if model.imported_by == actor.user:
                raise ForbiddenError(
                    "whoever imported a model cannot approve it", hint="ask a colleague"
                )
            return self._library.set_approved(model.id, actor.user, roles)

    def activate(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Make an approved model the one that answers; its weights are hashed again first."""
        with self._recorder.change(actor, Permission.MODELS_ACTIVATE, "model.activate") as change:
            model = self._library.by_name(name, version)
            change.entity = model.id
            change.facts["digest"] = model.digest
            self._verified(actor, model)
            active = self._library.set_active(model.id)
        self._tell_engine()
        return active

    def verify(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Hash a model's weights again; a mismatch quarantines it, which is recorded."""
        require(actor, Permission.MODELS_LIST)
        model = self._library.by_name(name, version)
        self._verified(actor, model)
        return model

    def _tell_engine(self) -> None:
        # An engine that is down reads what is active when it starts.
        with contextlib.suppress(EngineUnavailableError):
            self._engine.reload()

    def note_loading(self) -> None:
        """Record what the engine made of the active model: loaded, or refused and why.

        Called every minute; each finding is recorded once. Weights that no longer have their
        digest are quarantined.
        """
        active = next((m for m in self._library.models() if m.state == "active"), None)
        status = self._engine.status()
        if active is None or status.state not in {"ready", "empty"}:
            return
        finding = (active.digest, status.digest)
        if finding == self._noted:
            return
        loaded = status.digest == active.digest
        self._recorder.note(
            system("gateway"),
            "model.load",
            Outcome.SUCCESS if loaded else Outcome.FAILURE,
            entity=active.id,
            model=ModelRef(active.name, active.version, active.digest),
        )
        self._noted = finding
        if not loaded:
            self._verified(system("gateway"), active)

    def _verified(self, actor: Actor, model: ModelInfo) -> None:
        try:
            self._library.verify(model.id)
        except VerificationError as error:
            with self._recorder.change(
                actor, None, "model.quarantine", model.id, digest=model.digest
            ):
                self._library.quarantine(model.id, error.message)
            self._tell_engine()
            raise
