"""May this be asked now? Permission, the question itself, the policy function, and room.

Room is taken under a lock and given back when the answer has ended or never began, so that many
requests at once cannot pass the limits together. What had to wait is looked at once more before an
engine sees it (`check_still_askable`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from appliance.assembly import Appliance
from appliance.bundles.inventory import active_first
from appliance.bundles.states import State
from appliance.errors import (
    BadInputError,
    BusyError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations.questions import Question
from appliance.policy.decision import Decision, ModelFacts, decide

MAX_UNDER_WAY_PER_PERSON = 4
# Each answer holds one of its model's threads (`MODEL_THREADS` in `cli/serve.py`: more than this).
MAX_UNDER_WAY = 96


class Admission:
    """Decides on questions, and counts the answers under way."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closed = False
        self._held: set[str] = set()

    def models_for(self, actor: Actor) -> list[ModelFacts]:
        """Return the models this actor may ask, as the policy function says."""
        return [facts for facts in self._all_models() if self._decide(actor, facts).allowed]

    def decide(self, actor: Actor, question: Question) -> tuple[ModelFacts, Decision]:
        """Return model and decision; raise ForbiddenError, NotFoundError or BadInputError."""
        require(actor, Permission.ASK)
        question.check()
        if question.conversation_id is not None:
            self._appliance.conversations.get(question.conversation_id, actor.user)
        return self.choose(actor, question.model, question.purpose)

    def choose(
        self, actor: Actor, name: str | None, purpose: str | None
    ) -> tuple[ModelFacts, Decision]:
        """Return the model of that name and the decision on it; raise what `decide` raises."""
        require(actor, Permission.ASK)
        model = self._choose(actor, name)
        decision = self._decide(actor, model, purpose)
        if decision.rule == "purpose-unknown":
            allowed = ", ".join(self._appliance.config.policy.purposes)
            raise BadInputError(decision.reason, hint=f"choose one of {allowed}")
        if model is None or decision.rule == "model-unknown":
            raise NotFoundError(decision.reason, hint="the model list shows what you may use")
        if not decision.allowed:
            raise ForbiddenError(decision.reason)
        return model, decision

    def take_room(self, actor: Actor) -> None:
        """Count one more answer of this actor; raise BusyError when there is no room."""
        with self._lock:
            if self._closed:
                raise UnavailableError("the appliance is stopping", hint="ask again in a minute")
            if (
                self._under_way[actor.user] >= MAX_UNDER_WAY_PER_PERSON
                or self._under_way.total() >= MAX_UNDER_WAY
            ):
                raise BusyError("too many answers are under way")
            self._under_way[actor.user] += 1

    def give_back(self, user: str) -> None:
        """Count one answer of this person less."""
        with self._lock:
            self._under_way[user] -= 1
            if self._under_way[user] <= 0:
                del self._under_way[user]

    @contextlib.contextmanager
    def holding(self, entity: str) -> Iterator[None]:
        """Keep what a request thread works on (not an answer) from being closed as interrupted."""
        with self._lock:
            self._held.add(entity)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(entity)

    @property
    def held(self) -> set[str]:
        """Which of them are under way."""
        with self._lock:
            return set(self._held)

    def close(self) -> None:
        """Admit nothing any more."""
        with self._lock:
            self._closed = True

    @property
    def under_way(self) -> int:
        """How many answers have not ended."""
        with self._lock:
            return self._under_way.total()

    def _all_models(self) -> list[ModelFacts]:
        return [
            ModelFacts(
                name=model.name,
                version=model.version,
                digest=model.digest,
                state=model.state,
                roles=model.roles,
                demo=model.demo,
            )
            for model in active_first(self._appliance.library.models())
        ]

    def _choose(self, actor: Actor, name: str | None) -> ModelFacts | None:
        if name is None:
            return next(iter(self.models_for(actor)), None)
        named = [facts for facts in self._all_models() if facts.name == name]
        active = [facts for facts in named if facts.state == "active"]
        return next(iter(active or named), None)

    def _decide(
        self, actor: Actor, model: ModelFacts | None, purpose: str | None = None
    ) -> Decision:
        policy = self._appliance.config.policy
        purpose = purpose or policy.default_purpose
        return decide(str(actor.role), model, purpose, policy.purposes)


def check_still_askable(appliance: Appliance, conversation_id: str, model: ModelFacts) -> None:
    """Raise unless what was admitted may go to an engine now, though it had to wait for one.

    ConflictError when the conversation was erased meanwhile, ForbiddenError when the model was
    withdrawn. One that another model has replaced finishes what it was asked.
    """
    if appliance.conversations.custody.is_erased(conversation_id):
        raise ConflictError("the conversation was erased before the model was asked")
    digests = (m.digest for m in appliance.library.models() if m.state is not State.QUARANTINED)
    if model.digest not in digests:
        raise ForbiddenError(f"{model.name} {model.version} was taken out of use meanwhile")
