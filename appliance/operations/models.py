"""Models in the library: look, approve, pin, retire, check, lay out for others to check.

Two people agree before a model answers: whoever imported it can never be the one who approves,
and what did not pass its evaluation is approved only by saying how much of it did not.
Not here: bringing models in (`imports`), trying them (`evaluation`), which one answers
(`activation`), whose bundles count (`trusting`), what an approver reads (`dossiers`).
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appliance.assembly import Appliance
from appliance.bundles import exporting
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.pins.store import PinInfo
from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.states import State
from appliance.errors import BadInputError, ConflictError, ForbiddenError
from appliance.identity.permissions import Actor, Permission, require
from appliance.identity.roles import Role
from appliance.operations.quarantining import Quarantining
from appliance.operations.reasons import reason_of
from appliance.operations.recording import Recorder

ASKING_ROLES = frozenset({str(Role.CLINICIAN), str(Role.STEWARD)})
USABLE = frozenset({State.APPROVED, State.ACTIVE})
Progress = Callable[[int, int], None]


class Models:
    """What stewards and approvers do with models that are in the library."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._pins = appliance.pins
        self._evaluations = appliance.evaluations
        self._clock = appliance.clock
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)

    def show(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Return one model with its card; without a version the active one, else the newest."""
        require(actor, Permission.MODELS_LIST)
        return self._library.by_name(name, version)

    def pins(self, actor: Actor) -> Mapping[str, PinInfo]:
        """Return every pin by the name that it holds."""
        require(actor, Permission.MODELS_LIST)
        return {pin.name: pin for pin in self._pins.list()}

    def approve(
        self,
        actor: Actor,
        name: str,
        version: str | None = None,
        roles: frozenset[str] = ASKING_ROLES,
        *,
        accept_failed: int = 0,
        evaluation: str | None = None,
    ) -> ModelInfo:
        """Agree that people in `roles` may use an evaluated model; never the one who imported it.

        `accept_failed` is how many prompts of the newest evaluation did not pass, as the approver
        has read; `evaluation` the id of the one that was read, where a page showed it. Raises
        ConflictError when the library or the evaluation says otherwise.
        """
        with self._recorder.change(
            actor, Permission.MODELS_APPROVE, "model.approve", roles=sorted(roles)
        ) as change:
            model = self._named(name, version, State.EVALUATED)
            change.entity = model.id
            change.facts.update(_vouched(model))
            if not roles or not roles <= ASKING_ROLES:
                raise BadInputError(f"choose roles among {', '.join(sorted(ASKING_ROLES))}")
            _check_second_person(actor, model)
            _check_evaluated(model)
            change.facts.update(self._accepted(model, accept_failed, evaluation))
            return self._library.set_approved(model.id, actor.user, roles)

    def retire(
        self,
        actor: Actor,
        name: str,
        version: str,
        reason: str,
        *,
        delete_weights: bool = False,
    ) -> ModelInfo:
        """Take a version out of use for good; with `delete_weights` its disk space is freed.

        Never the one that answers, nor a pinned one. A version that is retired already may be
        named again to free its disk space. What it was, its card and its record stay.
        """
        with self._recorder.change(actor, Permission.MODELS_RETIRE, "model.retire") as change:
            model = self._library.by_name(name, version)
            change.entity = model.id
            change.facts.update(digest=model.digest, reason=reason_of(reason))
            if model.state is not State.RETIRED:
                self._check_free(model)
                model = self._library.retire(model.id, change.facts["reason"])
            elif not (delete_weights and self.has_weights(model)):
                raise ConflictError(
                    f"model {name} {version} was retired before; nothing was changed",
                    hint="no step is left to do",
                )
            change.facts["bytes_freed"] = (
                self._library.forget_weights(model.id) if delete_weights else 0
            )
        return model

    def pin(self, actor: Actor, name: str, version: str | None, reason: str) -> PinInfo:
        """Hold a name at an approved version until it is unpinned."""
        with self._recorder.change(actor, Permission.MODELS_PIN, "model.pin") as change:
            model = self._library.by_name(name, version)
            change.entity = model.id
            change.facts.update(digest=model.digest, reason=reason_of(reason))
            if model.state not in USABLE:
                raise ConflictError(
                    f"model {name} {model.version} is {model.state}: nothing can be pinned to it",
                    hint="pin a version that was approved",
                )
            pin = PinInfo(
                name=model.name,
                model=model.id,
                version=model.version,
                reason=change.facts["reason"],
                by=actor.user,
                created=self._clock.now(),
            )
            self._pins.put(pin)
        return pin

    def unpin(self, actor: Actor, name: str) -> PinInfo:
        """Let go of a name; any approved version of it may answer again."""
        with self._recorder.change(actor, Permission.MODELS_PIN, "model.unpin") as change:
            pin = self._pins.remove(name)
            change.entity = pin.model
        return pin

    def verify(self, actor: Actor, name: str, version: str | None = None) -> ModelInfo:
        """Hash a model's files again; a mismatch quarantines it, which is recorded."""
        require(actor, Permission.MODELS_LIST)
        model = self._library.by_name(name, version)
        self._require_weights(model)
        return self._quarantining.verified(actor, model)

    def export(
        self,
        actor: Actor,
        name: str,
        version: str | None,
        folder: Path,
        progress: Progress = lambda done, total: None,
    ) -> ModelInfo:
        """Copy a model with its own signature and the key to a new folder, whole or not at all.

        Any tool for OpenSSF Model Signing can then check it (`bundles/exporting.py` has the
        layout). Files that turn out to be altered quarantine the model.
        """
        with self._recorder.change(actor, Permission.MODELS_VALIDATION, "model.export") as change:
            model = self._library.by_name(name, version)
            change.entity = model.id
            change.facts["digest"] = model.digest
            self._require_weights(model)
            try:
                exporting.lay_out(self._library.folder, model, folder, progress)
            except DamagedModelError as error:
                if model.state is not State.QUARANTINED:
                    self._quarantining.take(actor, model, error.message)
                raise
        return model

    def brought_in_by(self, actor: Actor, model: ModelInfo) -> bool:
        """Tell whether this is the person who imported the model, and so cannot approve it."""
        return _same_person(actor, model)

    def has_weights(self, model: ModelInfo) -> bool:
        """Tell whether a model's weights are on the disk."""
        return self._library.path_of(model.digest).exists()

    def _named(self, name: str, version: str | None, wanted: State) -> ModelInfo:
        """Return the version that was named; without one, the newest that is in `wanted`."""
        found = [m for m in self._library.models() if m.name == name and m.state is wanted]
        if version is None and found:
            return found[0]
        return self._library.by_name(name, version)

    def _accepted(self, model: ModelInfo, failed: int, evaluation: str | None) -> dict[str, Any]:
        """Return what an approval says of the newest evaluation, once the numbers agree."""
        newest = self._evaluations.newest(model.id, model.files.get("eval", ""))
        if newest is None:
            raise ConflictError(
                f"no finished evaluation of {model.name} {model.version} is kept here",
                hint=f"run `appliance model evaluate {model.name} --version {model.version}`",
            )
        if evaluation is not None and evaluation != newest.id:
            raise ConflictError(
                "a newer evaluation has finished since the page was shown; nothing was approved",
                hint="read its results, then approve",
            )
        if newest.failed != failed:
            raise ConflictError(
                f"{newest.failed} of {newest.passed + newest.failed} prompts did not pass, and "
                f"{failed} were accepted; nothing was approved",
                hint="read the results; then accept exactly that number, if the site can live "
                "with them",
            )
        return {"evaluation": newest.id, "passed": newest.passed, "accepted_failed": failed}

    def _check_free(self, model: ModelInfo) -> None:
        if model.state is State.ACTIVE:
            raise ConflictError(
                f"model {model.name} {model.version} answers at present and was not retired",
                hint="activate another model, or roll back, then retire it",
            )
        pin = self._pins.get(model.name)
        if pin is not None and pin.model == model.id:
            raise ConflictError(
                f"model {model.name} is pinned to {model.version} ({pin.reason}); not retired",
                hint="unpin it first",
            )

    def _require_weights(self, model: ModelInfo) -> None:
        if model.state is State.RETIRED and not self.has_weights(model):
            raise ConflictError(
                f"the weights of {model.name} {model.version} were deleted when it was retired",
                hint="its card, its evaluation and its record are still here",
            )

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self, actor: Actor) -> builtins.list[ModelInfo]:
        """Return every model in the library, whatever its state."""
        require(actor, Permission.MODELS_LIST)
        return self._library.models()


def _vouched(model: ModelInfo) -> dict[str, Any]:
    """Return what exactly an approval is about."""
    return {
        "digest": model.digest,
        "epoch": model.security_epoch,
        "template": model.files.get("template"),
    }


def _same_person(actor: Actor, model: ModelInfo) -> bool:
    # Models come in at the console, under the login name there; an account of the same name in
    # the browser is the same person.
    return model.imported_by in {actor.user, f"os:{actor.name}"}


def _check_second_person(actor: Actor, model: ModelInfo) -> None:
    if _same_person(actor, model):
        raise ForbiddenError("whoever imported a model cannot approve it", hint="ask a colleague")


def _check_evaluated(model: ModelInfo) -> None:
    if model.state is State.EVALUATED:
        return
    what = f"model {model.name} {model.version}"
    if model.state is State.IMPORTED:
        raise ConflictError(
            f"{what} has not been evaluated on this machine; it was not approved",
            hint=f"run `appliance model evaluate {model.name} --version {model.version}` first",
        )
    if model.state in USABLE:
        raise ConflictError(f"{what} was approved before", hint="nothing was changed")
    raise ConflictError(f"{what} is {model.state} and was not approved", hint="nothing was changed")
