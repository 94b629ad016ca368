"""Take a model out of use at once and say why, in the record and to the engine.

Not here: finding the reason (`models`, `trusting`, `activation`, `imports`).
"""

from __future__ import annotations

import contextlib

from appliance.assembly import Appliance
from appliance.bundles.inventory import ModelInfo
from appliance.errors import EngineUnavailableError, VerificationError
from appliance.identity.permissions import Actor
from appliance.operations.recording import Recorder


class Quarantining:
    """The one way into quarantine; it needs no permission, because nobody may prevent it."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._engine = appliance.engine
        self._recorder = Recorder(appliance.ledger)

    def take(self, actor: Actor, model: ModelInfo, reason: str) -> ModelInfo:
        """Quarantine a model; when it was the active one, nothing answers any more."""
        with self._recorder.change(
            actor, None, "model.quarantine", model.id, digest=model.digest, reason=reason
        ):
            taken = self._library.quarantine(model.id, reason)
        # An engine that is down reads what is active when it starts.
        with contextlib.suppress(EngineUnavailableError):
            self._engine.stop(model.digest)
        return taken

    def verified(self, actor: Actor, model: ModelInfo) -> ModelInfo:
        """Return the model when its files still have their digests; quarantine it otherwise."""
        try:
            return self._library.verify(model.id)
        except VerificationError as error:
            self.take(actor, model, error.message)
            raise
