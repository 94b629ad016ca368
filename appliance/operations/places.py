"""Which model stands in which place, and which one may go there: asked before any engine is.

Two places: that of the model that answers by default, and the one beside it, asked by its name.
Pins and security epochs hold for both, and two models of one name never answer at once. Nothing
is changed in here.
"""

from __future__ import annotations

import contextlib

from appliance.assembly import Appliance
from appliance.bundles.admission import outdated_by
from appliance.bundles.inventory import ModelInfo, active_first
from appliance.bundles.refusals import RollbackError
from appliance.bundles.states import State
from appliance.errors import ConflictError, NotFoundError

MAY_ANSWER = frozenset({State.APPROVED, State.ACTIVE})


class Places:
    """Reads the library, the pins and the activations there were."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._pins = appliance.pins
        self._activations = appliance.activations

    def active(self) -> list[ModelInfo]:
        """Return the active models, the one that answers by default first."""
        return active_first(m for m in self._library.models() if m.state is State.ACTIVE)

    def taken(self, *, beside: bool) -> ModelInfo | None:
        return next((model for model in self.active() if model.beside == beside), None)

    def named(self, name: str, version: str | None) -> ModelInfo:
        """Return the version that was named; without one, the newest that may answer."""
        for model in self._library.models():
            if model.name == name and version is None and model.state in MAY_ANSWER:
                return model
        return self._library.by_name(name, version)

    def before(self, beside: bool) -> ModelInfo | None:
        """Return the model that was in this place before; after a quarantine, before that one."""
        active = self.taken(beside=beside)
        newest = self._activations.newest(active.id if active else None, beside=beside)
        if newest is None or newest.previous is None:
            return None
        with contextlib.suppress(NotFoundError):
            return self._library.get(newest.previous)
        return None

    def check_allowed(self, model: ModelInfo, former: ModelInfo | None) -> None:
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
        if former and former.id != model.id:
            self.check_pin(former, model)

    def check_pin(self, former: ModelInfo, model: ModelInfo | None) -> None:
        pin = self._pins.get(former.name)
        if pin is None or pin.model != former.id:
            return
        instead = f"{model.name} {model.version} was not activated" if model else "it was not ended"
        raise ConflictError(
            f"{former.name} is pinned to {former.version} ({pin.reason}) and answers at present; "
            f"{instead}",
            hint=f"unpin {former.name} first, if it should not answer any more",
        )

    def check_free(self, model: ModelInfo, *, beside: bool) -> None:
        """Raise ConflictError where asking by name, or asking for none, would not be clear."""
        what, other = f"{model.name} {model.version}", self.taken(beside=not beside)
        if beside and other is None:
            raise ConflictError(
                f"no model answers by default, so {what} has none to answer beside; "
                "nothing was changed",
                hint="activate it as the one that answers",
            )
        if other is None or (other.id == model.id and not beside):
            return
        if other.id == model.id:
            raise ConflictError(
                f"{what} answers by default already; nothing was changed",
                hint="activate another model in its place, then this one beside it",
            )
        if other.name == model.name:
            raise ConflictError(
                f"{other.name} {other.version} answers in the other place, and two models of one "
                f"name cannot be told apart; {what} was not activated",
                hint="activate it in that one's place",
            )
