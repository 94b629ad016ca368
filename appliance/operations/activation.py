"""Which models answer: make it another one, go back by one step, note what the engine made of it.

One answers by default, and one may answer beside it, asked by its name: two places under the same
rules. They never have the same name.

Guarantees: the new model has written a token before the old one lets go, so no question falls in
between, and answers that run go on with the model that began them; what cannot answer never
becomes active; one activation runs at a time. Where no engine runs, the database decides and the
engine follows when it starts.
Not here: what may go where (`places`), approval and pins (`models`), quarantine
(`quarantining`), the processes (`inference`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from appliance import durable
from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.bundles.activations.store import ActivationInfo, Kind
from appliance.bundles.admission import outdated_by
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.states import State
from appliance.clock import new_id
from appliance.errors import (
    ConflictError,
    EngineDownError,
    EngineUnavailableError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.inference.engine import EngineModel
from appliance.operations.places import Places
from appliance.operations.quarantining import Quarantining
from appliance.operations.recording import Change, Recorder, system

# The digest that is to answer in a place, and the one that the engine says it loaded.
Finding = tuple[str, str | None]


class Activation:
    """What approvers do with approved models, and the one look at what the engine loaded."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._engine = appliance.engine
        self._places = Places(appliance)
        self._activations = appliance.activations
        self._clock = appliance.clock
        self._paths = appliance.config.paths
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)
        self._noted: set[Finding] = set()

    def activate(
        self, actor: Actor, name: str, version: str | None = None, *, beside: bool = False
    ) -> ModelInfo:
        """Make an approved model the one that answers, once it can; return it.

        `beside`: asked by its name, and without touching the one that answers by default. Raises
        ConflictError when it is not approved, a pin says otherwise, or another activation runs;
        VerificationError when its files were altered (it is quarantined then);
        EngineUnavailableError when it cannot answer. In all these cases the old one answers on.
        """
        with (
            self._changing(actor, "model.activate", beside=beside) as change,
            self._alone(),
        ):
            model = self._places.named(name, version)
            kind: Kind = "activate-beside" if beside else "activate"
            return self._switch(actor, change, model, kind, beside=beside)

    def rollback(self, actor: Actor, *, beside: bool = False) -> ModelInfo:
        """Go back to the model that was active in this place before this one; return it.

        Raises ConflictError when there was none, or it may not answer any more; further as
        `activate`.
        """
        with (
            self._changing(actor, "model.rollback", beside=beside) as change,
            self._alone(),
        ):
            model = self._places.before(beside)
            if model is None:
                raise ConflictError(
                    "no other model was active before; nothing was changed",
                    hint="activate an approved model by its name",
                )
            kind: Kind = "rollback-beside" if beside else "rollback"
            return self._switch(actor, change, model, kind, beside=beside)

    def release(self, actor: Actor, name: str) -> ModelInfo:
        """Let the model beside the default answer no more; it stays approved. Return it.

        Its running answers end first. Raises ConflictError when none of that name answers so.
        """
        with (
            self._changing(actor, "model.release", beside=True) as change,
            self._alone(),
        ):
            model = self._places.taken(beside=True)
            if model is None or model.name != name:
                raise ConflictError(
                    f"no model {name} answers beside another; nothing was changed",
                    hint="the model that answers by default is replaced, not released",
                )
            self._note_what(change, model, None)
            self._places.check_pin(model, None)
            released = self._library.step_down(model.id)
            self._tell_released(model)
            return released

    def previous(self, actor: Actor, *, beside: bool = False) -> ModelInfo | None:
        """Return the model that a rollback would bring back, None when it could bring none."""
        require(actor, Permission.MODELS_LIST)
        model = self._places.before(beside)
        if model is None or model.state is not State.APPROVED:
            return None
        return None if outdated_by(model, self._library.models()) else model

    def can_answer(self) -> bool:
        """Tell whether every active model can answer at this moment, and there is one."""
        beside = [model.digest for model in self._places.active()[1:]]
        return all(self._engine.status(digest).state == "ready" for digest in (None, *beside))

    def note_loading(self) -> None:
        """Record what the engine made of each active model: loaded, or refused and why.

        Called every minute; each finding is recorded once. Weights that no longer have their
        digest are quarantined.
        """
        active = self._places.active()
        self._noted = {noted for noted in self._noted if noted[0] in {m.digest for m in active}}
        for place in range(len(active)):
            self._note_loading(place)

    def _note_loading(self, place: int) -> None:
        active, state, finding = self._look(place)
        if active is None or state not in {"ready", "empty"} or finding in self._noted:
            return
        loaded = finding[0] == finding[1]
        if not (loaded or self._still_finds(place, finding)):
            return
        self._recorder.note(
            system("gateway"),
            "model.load",
            Outcome.SUCCESS if loaded else Outcome.FAILURE,
            entity=active.id,
            model=ModelRef(active.name, active.version, active.digest),
        )
        self._noted = {noted for noted in self._noted if noted[0] != active.digest} | {finding}
        if not loaded:
            self._quarantining.verified(system("gateway"), active)

    def _look(self, place: int) -> tuple[ModelInfo | None, str, Finding]:
        """Return the model of a place, and what the engine makes of it at this moment."""
        active = [*self._places.active(), None, None][place]
        # Of the default, whatever the engine holds for it; of the other, what it says by name.
        status = self._engine.status(active.digest if active and place else None)
        return active, status.state, (active.digest if active else "", status.digest)

    def _still_finds(self, place: int, finding: Finding) -> bool:
        """Tell whether a finding holds while no activation runs; one may have come between."""
        with contextlib.suppress(ConflictError), self._alone():
            return self._look(place)[2] == finding
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

    def _changing(
        self, actor: Actor, action: str, *, beside: bool
    ) -> contextlib.AbstractContextManager[Change]:
        facts: dict[str, Any] = {"beside": True} if beside else {}
        return self._recorder.change(actor, Permission.MODELS_ACTIVATE, action, **facts)

    def _note_what(self, change: Change, model: ModelInfo, former: ModelInfo | None) -> None:
        change.entity = model.id
        change.facts["digest"] = model.digest
        if former is not None and former.id != model.id:
            change.facts["previous"] = former.id

    def _switch(
        self, actor: Actor, change: Change, model: ModelInfo, kind: Kind, *, beside: bool
    ) -> ModelInfo:
        former = self._places.taken(beside=beside)
        self._note_what(change, model, former)
        self._places.check_allowed(model, former)
        self._places.check_free(model, beside=beside)
        self._prepare(actor, model)
        if former is not None and former.id == model.id:
            self._library.settle()
            self._tell_released(None)
            return former
        return self._take_over(actor, model, former, kind, beside=beside)

    def _take_over(
        self, actor: Actor, model: ModelInfo, former: ModelInfo | None, kind: Kind, *, beside: bool
    ) -> ModelInfo:
        previous, now = former.id if former else None, self._clock.now()
        row = ActivationInfo(new_id("act"), model.id, previous, kind, actor.user, now)
        try:
            # Loading takes minutes, and meanwhile somebody may have pinned another.
            self._places.check_allowed(self._library.get(model.id), former)
            self._activations.add(row)
            active = self._library.set_active(model.id, beside=beside)
        except BaseException:
            self._tell_released(model)
            self._activations.remove(row.id)
            raise
        self._tell_released(former)
        return active

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
