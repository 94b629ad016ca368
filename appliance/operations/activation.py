"""Which model answers: make it another one, go back by one step, note what the engine made of it.

Guarantees: the new model has written a token before the old one lets go, so no question falls in
between, and answers that run go on with the model that began them; what cannot answer never
becomes active; one activation runs at a time. Where no engine runs, the database decides and the
engine follows when it starts.
Not here: approval and pins (`models`), quarantine (`quarantining`), the processes (`inference`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from appliance import durable
from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.bundles.activations.store import ActivationInfo, Kind
from appliance.bundles.admission import outdated_by
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.refusals import RollbackError
from appliance.bundles.states import State
from appliance.clock import new_id
from appliance.errors import (
    ConflictError,
    EngineDownError,
    EngineUnavailableError,
    NotFoundError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.inference.engine import EngineModel
from appliance.operations.quarantining import Quarantining
from appliance.operations.recording import Change, Recorder, system

MAY_ANSWER = frozenset({State.APPROVED, State.ACTIVE})


class Activation:
    """What approvers do with approved models, and the one look at what the engine loaded."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._engine = appliance.engine
        self._pins = appliance.pins
        self._activations = appliance.activations
        self._clock = appliance.clock
        self._paths = appliance.config.paths
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)
        self._noted: tuple[str, str | None] | None = None

    def activate(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Make an approved model the one that answers, once it can; return it.

        Raises ConflictError when it is not approved, a pin says otherwise, or another activation
        runs; VerificationError when its files were altered (it is quarantined then);
        EngineUnavailableError when it cannot answer. In all these cases the old one answers on.
        """
        with (
            self._recorder.change(actor, Permission.MODELS_ACTIVATE, "model.activate") as change,
            self._alone(),
        ):
            model = self._named(name, version)
            return self._switch(actor, change, model, "activate")

    def rollback(self, actor: Actor) -> ModelInfo:
        """Go back to the model that was active before this one; return it.

        Raises ConflictError when there was none, or it may not answer any more; further as
        `activate`.
        """
        with (
            self._recorder.change(actor, Permission.MODELS_ACTIVATE, "model.rollback") as change,
            self._alone(),
        ):
            model = self._before()
            if model is None:
                raise ConflictError(
                    "no other model was active before; nothing was changed",
                    hint="activate an approved model by its name",
                )
            return self._switch(actor, change, model, "rollback")

    def previous(self, actor: Actor) -> ModelInfo | None:
        """Return the model that a rollback would bring back, None when it could bring none."""
        require(actor, Permission.MODELS_LIST)
        model = self._before()
        if model is None or model.state is not State.APPROVED:
            return None
        return None if outdated_by(model, self._library.models()) else model

    def note_loading(self) -> None:
        """Record what the engine made of the active model: loaded, or refused and why.

        Called every minute; each finding is recorded once. Weights that no longer have their
        digest are quarantined.
        """
        active, status = self._active(), self._engine.status()
        if active is None or status.state not in {"ready", "empty"}:
            return
        finding = (active.digest, status.digest)
        loaded = status.digest == active.digest
        if finding == self._noted or not (loaded or self._still_finds(finding)):
            return
        self._recorder.note(
            system("gateway"),
            "model.load",
            Outcome.SUCCESS if loaded else Outcome.FAILURE,
            entity=active.id,
            model=ModelRef(active.name, active.version, active.digest),
        )
        self._noted = finding
        if not loaded:
            self._quarantining.verified(system("gateway"), active)

    def _still_finds(self, finding: tuple[str, str | None]) -> bool:
        """Tell whether a finding holds while no activation runs; one may have come between."""
        with contextlib.suppress(ConflictError), self._alone():
            active, status = self._active(), self._engine.status()
            return active is not None and (active.digest, status.digest) == finding
        return False

    # --- the switch

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no second activation run meanwhile, from a browser or a terminal."""
        self._paths.run.mkdir(mode=0o700, exist_ok=True)
        with contextlib.ExitStack() as held:
            try:
                lock = durable.exclusive(self._paths.activation_lock, "the activation of models")
                held.enter_context(lock)
            except ConflictError as error:
                raise ConflictError(
                    "another activation is under way; nothing was changed",
                    hint="look at which model answers when it has ended",
                ) from error
            yield

    def _switch(self, actor: Actor, change: Change, model: ModelInfo, kind: Kind) -> ModelInfo:
        former = self._active()
        change.entity = model.id
        change.facts["digest"] = model.digest
        if former is not None and former.id != model.id:
            change.facts["previous"] = former.id
        self._check_allowed(model, former)
        self._prepare(actor, model)
        if former is not None and former.id == model.id:
            self._library.settle()
            self._tell_released(None)
            return former
        return self._take_over(actor, model, former, kind)

    def _take_over(
        self, actor: Actor, model: ModelInfo, former: ModelInfo | None, kind: Kind
    ) -> ModelInfo:
        previous, now = former.id if former else None, self._clock.now()
        row = ActivationInfo(new_id("act"), model.id, previous, kind, actor.user, now)
        try:
            # Loading takes minutes, and meanwhile somebody may have pinned another.
            self._check_allowed(self._library.get(model.id), former)
            self._activations.add(row)
            active = self._library.set_active(model.id)
        except BaseException:
            self._tell_released(model)
            self._activations.remove(row.id)
            raise
        self._tell_released(former)
        return active

    def _check_allowed(self, model: ModelInfo, former: ModelInfo | None) -> None:
        what = f"{model.name} {model.version}"
        if model.state not in MAY_ANSWER:
            raise ConflictError(
                f"{what} is {model.state}, so it cannot answer; nothing was changed",
                hint="only an approved model can be activated",
            )
        newer = outdated_by(model, self._library.models())
        if newer is not None:
            raise RollbackError(
                f"{what} has security epoch {model.security_epoch}, and {newer.version} with epoch "
                f"{newer.security_epoch} is agreed to here; nothing was changed",
                hint="the publisher asks that nobody go back; activate the newer one, or another "
                "model",
            )
        self._pins.require_not_elsewhere(model.name, model.version)
        pin = self._pins.get(former.name) if former else None
        if former and pin and pin.model == former.id != model.id:
            raise ConflictError(
                f"{former.name} is pinned to {former.version} ({pin.reason}) and answers at "
                f"present; {what} was not activated",
                hint=f"if {what} should answer, unpin {former.name} first",
            )

    def _prepare(self, actor: Actor, model: ModelInfo) -> None:
        """Let the engine load the model beside the old one, its bytes verified."""
        try:
            self._engine.prepare(engine_model(model))
        except EngineDownError:
            # Nobody is there to load it: it is checked here, and loaded when the engine starts.
            self._quarantining.verified(actor, model)
        except EngineUnavailableError:
            # The engine hashes what it loads. Only altered files are a matter of quarantine.
            self._quarantining.verified(actor, model)
            raise

    def _tell_released(self, model: ModelInfo | None) -> None:
        # An engine that is down reads what is active when it starts.
        with contextlib.suppress(EngineUnavailableError):
            if model is None:
                self._engine.reload()
            else:
                self._engine.release(model.digest)

    # --- which model

    def _active(self) -> ModelInfo | None:
        return next((m for m in self._library.models() if m.state is State.ACTIVE), None)

    def _named(self, name: str, version: str | None) -> ModelInfo:
        """Return the version that was named; without one, the newest that may answer."""
        for model in self._library.models():
            if model.name == name and version is None and model.state in MAY_ANSWER:
                return model
        return self._library.by_name(name, version)

    def _before(self) -> ModelInfo | None:
        """Return the model that was active before; after a quarantine, before that one."""
        active = self._active()
        newest = self._activations.newest(active.id if active else None)
        if newest is None or newest.previous is None:
            return None
        with contextlib.suppress(NotFoundError):
            return self._library.get(newest.previous)
        return None


def engine_model(model: ModelInfo) -> EngineModel:
    """Return what an engine needs to load exactly this model."""
    return EngineModel(
        model.name,
        model.version,
        model.digest,
        model.context_tokens,
        model.files.get("template"),
        model.files.get("chunks"),
    )
