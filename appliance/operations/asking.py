"""Ask a question: the main job, in the order that the promises demand.

1. authorise the actor, 2. ask the one policy function, 3. seal the question, 4. record the
intent durably, 5. only then let the engine see a token, 6. seal the answer, 7. record the
outcome, whatever it was. Steps 5 to 7 run in a thread of their own (`answering.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.conversations.store import Turn
from appliance.errors import (
    ApplianceError,
    BadInputError,
    BusyError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations.answer_run import AnswerRun
from appliance.operations.answering import Answering
from appliance.operations.outcomes import PATIENCE_S, close_interrupted
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder
from appliance.policy.decision import Decision, ModelFacts, decide

MAX_UNDER_WAY_PER_PERSON = 4
MAX_UNDER_WAY = 256
KEPT_AFTER_END_S = 120.0


class Asking:
    """Questions and the answers under way in this process."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._recorder = Recorder(appliance.ledger)
        self._runs: dict[str, tuple[AnswerRun, threading.Thread]] = {}
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()
        self._unsettled = False
        self._oldest_alive_s = appliance.config.engine.answer_timeout_s + 2 * PATIENCE_S

    def models_for(self, actor: Actor) -> list[ModelFacts]:
        """Return the models this actor may ask, as the policy function says."""
        return [facts for facts in self._all_models() if self._decide(actor, facts).allowed]

    def ask(self, actor: Actor, question: Question) -> AnswerRun:
        """Record and start one question; return a handle on the answer.

        Raises ForbiddenError, NotFoundError, BadInputError or BusyError when refused (recorded),
        RecordUnavailableError when the intent could not be written: then nothing was asked.
        """
        try:
            model, decision = self._admit(actor, question)
        except ApplianceError as error:
            self._recorder.refuse(actor, "answer.refuse", error, question.conversation_id)
            raise
        conversation_id, turn = self._begin(actor, question, model)
        run = self._record_intent(actor, question, model, decision, conversation_id, turn)
        self._start(run, actor, question)
        if self._unsettled:
            # The record is back. Only what is too old to be under way anywhere is looked at.
            self._unsettled = self.reconcile(self._oldest_alive_s) > 0
        return run

    def run_of(self, actor: Actor, answer_id: str) -> AnswerRun | None:
        """Return the handle of an answer of this actor, or null when it is no longer live."""
        with self._lock:
            found = self._runs.get(answer_id)
        if found is None or found[0].user != actor.user:
            return None
        return found[0]

    def stop(self, actor: Actor, answer_id: str) -> None:
        """End an answer of this actor's; its text so far is kept, and the record says stopped."""
        self._recorder.authorise(actor, Permission.ASK, "answer.stop", answer_id)
        run = self.run_of(actor, answer_id)
        if run is None:
            self._appliance.conversations.message(answer_id, actor.user)
            raise ConflictError("the answer has ended already", hint="nothing was changed")
        run.stop("person")

    @property
    def under_way(self) -> int:
        """How many answers have not ended."""
        with self._lock:
            return sum(not run.snapshot().ended for run, _ in self._runs.values())

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Stop every answer and wait until each outcome is recorded."""
        with self._lock:
            runs = list(self._runs.values())
        for run, _ in runs:
            run.stop("shutdown")
        for _, thread in runs:
            thread.join(timeout_s)

    # --- admission

    def _admit(self, actor: Actor, question: Question) -> tuple[ModelFacts, Decision]:
        require(actor, Permission.ASK)
        question.check()
        if question.conversation_id is not None:
            self._appliance.conversations.get(question.conversation_id, actor.user)
        self._check_load(actor)
        model = self._choose(actor, question.model)
        decision = self._decide(actor, model, question.purpose)
        if decision.rule == "purpose-unknown":
            allowed = ", ".join(self._appliance.config.policy.purposes)
            raise BadInputError(decision.reason, hint=f"choose one of {allowed}")
        if model is None or decision.rule == "model-unknown":
            raise NotFoundError(decision.reason, hint="the model list shows what you may use")
        if not decision.allowed:
            raise ForbiddenError(decision.reason)
        return model, decision

    def _check_load(self, actor: Actor) -> None:
        with self._lock:
            live = [run for run, _ in self._runs.values() if not run.snapshot().ended]
        mine = sum(run.user == actor.user for run in live)
        if mine >= MAX_UNDER_WAY_PER_PERSON or len(live) >= MAX_UNDER_WAY:
            raise BusyError("too many answers are under way")

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
            for model in self._appliance.library.models()
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

    # --- the turn and its intent

    def _begin(self, actor: Actor, question: Question, model: ModelFacts) -> tuple[str, Turn]:
        store = self._appliance.conversations
        conversation_id = question.conversation_id
        if conversation_id is None:
            conversation_id = store.create(actor.user, question.title(), question.origin).id
        turn = store.begin_turn(
            conversation_id, actor.user, question.to_seal(), model.name, model.version, model.digest
        )
        return conversation_id, turn

    def _record_intent(
        self,
        actor: Actor,
        question: Question,
        model: ModelFacts,
        decision: Decision,
        conversation_id: str,
        turn: Turn,
    ) -> AnswerRun:
        try:
            receipt = self._recorder.note(
                actor,
                "answer.request",
                Outcome.INTENT,
                entity=turn.answer_id,
                purpose=question.purpose or self._appliance.config.policy.default_purpose,
                model=ModelRef(model.name, model.version, model.digest),
                policy=decision.rule,
                content={
                    "conversation": conversation_id,
                    "question": turn.sealed_question.for_record(),
                    "origin": question.origin,
                },
            )
        except ApplianceError as error:
            # It may have been written all the same: `reconcile` asks the record later.
            self._fail_unrecorded(turn.answer_id, error.code)
            raise
        self._appliance.conversations.set_intent(turn.answer_id, receipt.seq)
        return AnswerRun(turn.answer_id, conversation_id, actor.user, model, receipt.seq)

    def _fail_unrecorded(self, answer_id: str, code: str) -> None:
        self._unsettled = True
        self._appliance.conversations.finish(
            answer_id, state="failed", text="", error_code=code,
            prompt_tokens=None, answer_tokens=None, latency_ms=0,
        )  # fmt: skip

    def _start(self, run: AnswerRun, actor: Actor, question: Question) -> None:
        answering = Answering(self._appliance, self._recorder, run, actor, question)
        thread = threading.Thread(
            target=self._guarded(answering.run, run), name=f"answer {run.answer_id}", daemon=True
        )
        with self._lock:
            self._forget_old()
            self._runs[run.answer_id] = (run, thread)
        thread.start()

    def _guarded(self, work: Callable[[], None], run: AnswerRun) -> Callable[[], None]:
        def body() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._ended[run.answer_id] = self._appliance.clock.monotonic_ns() / 1e9

        return body

    def _forget_old(self) -> None:
        """Drop handles of answers that ended a while ago; the store has them."""
        horizon = self._appliance.clock.monotonic_ns() / 1e9 - KEPT_AFTER_END_S
        for answer_id in [key for key, when in self._ended.items() if when < horizon]:
            self._runs.pop(answer_id, None)
            del self._ended[answer_id]

    def reconcile(self, older_than_s: float = 0) -> int:
        """Close what a crash left open: every request in the record gets its outcome.

        Called at start, before the first question, and later for what is older than any answer
        can be. Returns how many had no outcome yet.
        """
        now, closed = self._appliance.clock.now(), 0
        for answer in self._appliance.conversations.unfinished():
            # A terminal's question runs in a process of its own and may be alive.
            least = self._oldest_alive_s if answer.origin == "console" else older_than_s
            if now - answer.created >= least:
                closed += close_interrupted(self._appliance, self._recorder, answer)
        return closed
