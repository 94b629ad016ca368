"""Managing models through another server's API: always refused, always recorded.

Weights come in on signed media and go live when two people agree; there is no other way, so what
Ollama offers for pulling, pushing, making, copying and deleting models answers 403 to everyone.
Not here: who may manage models, and how (`models.py`, `imports.py`, `activation.py`).
"""

from __future__ import annotations

from typing import NoReturn

from appliance.errors import ForbiddenError
from appliance.identity.permissions import Actor
from appliance.operations.refusals import Refusals

ACTION = "model.manage"
WORDS = "models are not managed through this API; nothing was done"
HINT = "models come in on signed media and are released by two people, on the models page"


class ManagingModelsRefusal:
    """The one answer to every wish of that kind."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def refuse(self, actor: Actor, wish: str) -> NoReturn:
        """Record that this was refused, then raise ForbiddenError.

        `wish` is a word of a fixed list, never what was sent: the record is for ever. More than
        a certain number a minute are counted, as every refusal is.
        """
        error = ForbiddenError(WORDS, hint=HINT)
        self._refusals.note(actor, ACTION, error, route=wish)
        raise error
