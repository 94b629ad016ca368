"""Bring in signed bundles: verify, copy, check, evaluate; every step is recorded as it is reached.

Guarantees: what an import does to the library is `bundles/importer.py`, and nothing else; the
record says who began it, each step it came to, and how it ended, with the code of the refusal and
the last step. A model is evaluated only after it is in the library, because an engine is given
nothing from anywhere else; an evaluation that cannot be done leaves the model imported, and says
so. Not here: approval, activation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.bundles.imports.steps import Step, Watch
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.media import leave_checkpoint
from appliance.bundles.reviewing import Review
from appliance.bundles.states import State
from appliance.clock import new_id
from appliance.errors import ApplianceError
from appliance.identity.permissions import Actor, Permission
from appliance.operations import floors
from appliance.operations.quarantining import Quarantining
from appliance.operations.recording import Change, Recorder

EVALUATED, NOT_EVALUATED = "evaluated", "not_evaluated"
CHECKPOINT, NO_CHECKPOINT = "checkpoint_left", "checkpoint_not_left"
QUARANTINED = "quarantined"


@dataclass(frozen=True)
class ImportEvent:
    """Either a step that was reached, with what is known of it, or (step None) progress.

    `done` of `total` are bytes while `what` is "copy", golden prompts while it is "evaluate".
    """

    step: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    what: str = "copy"
    done: int = 0
    total: int = 0


Tell = Callable[[ImportEvent], None]


class Evaluator(Protocol):
    """What evaluates a model that has just come in."""

    def evaluate_imported(
        self, actor: Actor, model: ModelInfo, progress: Callable[[int, int], None]
    ) -> EvaluationInfo:
        """Ask the model its golden prompts and keep the results."""
        ...


def quiet(event: ImportEvent) -> None:
    """Tell nobody."""


class Imports:
    """What a steward does with a bundle. Without an evaluator models stay `imported`."""

    def __init__(
        self, appliance: Appliance, evaluator: Evaluator | None, *, returns: bool = True
    ) -> None:
        """`returns`: whether a checkpoint of the record is left on the media afterwards."""
        self._library = appliance.library
        self._ledger = appliance.ledger
        self._clock = appliance.clock
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)
        self._evaluator = evaluator
        self._returns = returns

    def import_bundle(
        self, actor: Actor, folders: Sequence[Path], tell: Tell = quiet
    ) -> tuple[ModelInfo, ...]:
        """Bring in the models that the media in `folders` carry, and evaluate them; all or none.

        Returns those models, also the ones that were here before. What is found on the way is
        told as events. Raises a BundleError, IncompleteError (run again with the next medium),
        MediumError, DiskFullError or ConflictError.
        """
        import_id = new_id("imp")
        with self._recorder.change(
            actor, Permission.MODELS_IMPORT, "bundle.import", import_id, media=len(folders)
        ) as change:
            models = self._library.import_bundle(
                folders,
                self._clock.now(),
                actor.user,
                _Recording(self._recorder, actor, change, tell),
                import_id=import_id,
                quarantine=partial(self._quarantine, actor, tell),
                floors=floors.recorded(self._ledger),
            )
            change.facts["models"] = [_facts(model) for model in models]
        if self._evaluator is not None:
            self._evaluate(self._evaluator, actor, models, tell)
        if self._returns:
            self._leave_checkpoint(actor, folders, tell)
        return tuple(self._library.get(model.id) for model in models)

    def verify_bundle(self, actor: Actor, folders: Sequence[Path], tell: Tell = quiet) -> Review:
        """Check every byte and signature of a bundle as an import would; nothing is changed."""
        return self._review(actor, "bundle.verify", folders, tell, read=True)

    def inspect_bundle(self, actor: Actor, folders: Sequence[Path], tell: Tell = quiet) -> Review:
        """Say what a bundle lists and carries, by its verified metadata; nothing is changed."""
        return self._review(actor, "bundle.inspect", folders, tell, read=False)

    def _review(
        self, actor: Actor, action: str, folders: Sequence[Path], tell: Tell, *, read: bool
    ) -> Review:
        with self._recorder.change(
            actor, Permission.MODELS_IMPORT, action, None, media=len(folders)
        ) as change:
            watch = _Telling(change, tell)
            known = floors.recorded(self._ledger)
            review = self._library.review(
                folders, self._clock.now(), watch, read=read, floors=known
            )
            change.facts["models"] = [
                {"name": model.name, "version": model.version, "digest": model.sha256}
                for model in review.carried
            ]
        return review

    def _quarantine(self, actor: Actor, tell: Tell, model: ModelInfo, reason: str) -> None:
        self._quarantining.take(actor, model, reason)
        tell(ImportEvent(QUARANTINED, {**_facts(model), "reason": reason}))

    def _evaluate(
        self, evaluator: Evaluator, actor: Actor, models: Sequence[ModelInfo], tell: Tell
    ) -> None:
        """Evaluate what is new; also what an earlier run was kept from evaluating."""
        for model in models:
            if model.state is not State.IMPORTED:
                continue
            known = _facts(model)
            try:
                done = evaluator.evaluate_imported(actor, model, partial(_evaluating, tell))
            except ApplianceError as error:
                # The model is in; whoever wants to use it has to evaluate it first.
                why = {"code": error.code, "message": error.message, "next": error.hint}
                tell(ImportEvent(NOT_EVALUATED, {**known, **why}))
            else:
                counts = {"passed": done.passed, "failed": done.failed}
                tell(ImportEvent(EVALUATED, {**known, **counts}))

    def _leave_checkpoint(self, actor: Actor, folders: Sequence[Path], tell: Tell) -> None:
        """Give the media a checkpoint of the record to carry away: a place no forger reaches."""
        with contextlib.suppress(ApplianceError):
            note = self._ledger.checkpoint()
            signed = SignedCheckpoint.parse(note).checkpoint
            name = f"{signed.origin.replace('/', '_')}.checkpoint"
            for number, folder in enumerate(folders):
                try:
                    leave_checkpoint(folder, name, note.encode())
                except (OSError, ValueError) as error:
                    why = getattr(error, "strerror", None) or str(error)
                    tell(ImportEvent(NO_CHECKPOINT, {"folder": str(folder), "reason": why}))
                    continue
                facts = {"form": "medium", "medium": number, "size": signed.size}
                self._recorder.note(actor, "record.checkpoint", Outcome.SUCCESS, content=facts)
                tell(ImportEvent(CHECKPOINT, {"folder": str(folder), "size": signed.size}))


class _Telling(Watch):
    """Passes on what happens, and keeps the last step for the outcome in the record."""

    def __init__(self, change: Change, tell: Tell) -> None:
        self._change = change
        self._tell = tell

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        self._change.facts["step"] = str(step)
        self._tell(ImportEvent(str(step), facts))

    def verified(self, facts: Mapping[str, object]) -> None:
        # The outcome carries it, also a refusal's: the floor outlives the database in the record.
        self._change.facts.update(facts)

    def progress(self, done: int, total: int) -> None:
        self._tell(ImportEvent(done=done, total=total))


class _Recording(_Telling):
    """Records each step before it is told."""

    def __init__(self, recorder: Recorder, actor: Actor, change: Change, tell: Tell) -> None:
        super().__init__(change, tell)
        self._recorder = recorder
        self._actor = actor

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        content: dict[str, Any] = {**facts, "step": str(step), "import": self._change.entity}
        self._recorder.note(
            self._actor, "bundle.step", Outcome.SUCCESS,
            entity=self._change.entity, content=content,
        )  # fmt: skip
        super().step(step, facts)


def _evaluating(tell: Tell, done: int, total: int) -> None:
    tell(ImportEvent(what="evaluate", done=done, total=total))


def _facts(model: ModelInfo) -> dict[str, object]:
    return {"name": model.name, "version": model.version, "digest": model.digest}
