"""Ask a question: the main job, in the order that the promises demand.

1. authorise the actor, 2. ask the one policy function, 3. seal the question, 4. record the
intent durably, 5. only then let the engine see a token, 6. seal the answer, 7. record the
outcome, whatever it was. Steps 1 and 2 are in `admission.py`; 5 to 7 are in `answering.py`, in a
thread of their own where somebody watches the answer being written.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import structlog

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.conversations.store import ModelUsed, Turn
from appliance.errors import ApplianceError, ConflictError
from appliance.identity.permissions import Actor, Permission
from appliance.operations.admission import Admission
from appliance.operations.answer_run import AnswerRun, IsGone, nobody_leaves
from appliance.operations.answer_threads import AnswerThreads, Work
from appliance.operations.answering import Answering
from appliance.operations.outcomes import PATIENCE_S, about, close_interrupted, failed_unless_begun
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder, identifier
from appliance.operations.refusals import Refusals
from appliance.policy.decision import Decision, ModelFacts

log = structlog.get_logger(__name__)

Start = Callable[[Work], None]
KEPT_AFTER_END_S = 120.0
SHUTDOWN_WITHIN_S = 6.0


class Asking:
    """Questions and the answers under way in this process."""

    def __init__(self, appliance: Appliance, admission: Admission, refusals: Refusals) -> None:
        self._appliance = appliance
        self._recorder = Recorder(appliance.ledger)
        self._admission = admission
        self._refusals = refusals
        self._runs: dict[str, tuple[AnswerRun, threading.Event]] = {}
        self._threads = AnswerThreads()
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()
        # An answer of another process that is older than this cannot be alive any more.
        self._oldest_alive_s = appliance.config.engine.answer_timeout_s + 2 * PATIENCE_S

    def models_for(self, actor: Actor) -> list[ModelFacts]:
        """Return the models this actor may ask, as the policy function says."""
        return self._admission.models_for(actor)

    def ask(self, actor: Actor, question: Question) -> AnswerRun:
        """Record and start one question; return a handle on the answer.

        Raises ForbiddenError, NotFoundError, BadInputError or BusyError when refused (recorded),
        RecordUnavailableError when the intent could not be written: then nothing was asked.
        """
        return self._admitted(actor, question, self._threads.start)

    def answer(self, actor: Actor, question: Question, is_gone: IsGone) -> AnswerRun:
        """Do the same in this thread; return when the answer has ended, however it has.

        For a caller who gets nothing before the end: no other thread has to be woken, twice. Once
        a second `is_gone` tells whether anybody still waits; otherwise the answer is stopped.
        """
        return self._admitted(actor, question, _at_once, is_gone)

    def _admitted(
        self, actor: Actor, question: Question, start: Start, is_gone: IsGone = nobody_leaves
    ) -> AnswerRun:
        try:
            model, decision = self._admission.decide(actor, question)
            self._admission.take_room(actor)
        except ApplianceError as error:
            self._refused(actor, question, error)
            raise
        try:
            return self._ask(actor, question, model, decision, start, is_gone)
        except BaseException:
            self._admission.give_back(actor.user)
            raise

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
        return self._admission.under_way

    def shutdown(self) -> None:
        """Admit nothing more, stop every answer, and wait a few seconds for their outcomes."""
        self._admission.close()
        with self._lock:
            runs = list(self._runs.values())
        for run, _ in runs:
            run.stop("shutdown")
        deadline = time.monotonic() + SHUTDOWN_WITHIN_S
        for _, done in runs:
            done.wait(max(0.0, deadline - time.monotonic()))

    def reconcile(self, older_than_s: float = 0) -> int:
        """Close what a crash left open: every request in the record gets its outcome.

        Called at start, before the first question, and every minute for what is older than a
        minute and not under way here. One answer that cannot be closed does not keep the others
        open. Returns how many had no outcome yet. Texts of answers that ended a while ago leave
        the memory.
        """
        now, closed = self._appliance.clock.now(), 0
        # Held ones first: what is held no longer by then runs.
        alive = self._admission.held
        with self._lock:
            self._forget_old()
            alive |= {key for key, (_, done) in self._runs.items() if not done.is_set()}
        for answer in self._appliance.conversations.unfinished():
            # A terminal's question runs in a process of its own.
            least = self._oldest_alive_s if answer.origin == "console" else older_than_s
            if answer.answer_id in alive or now - answer.created < least:
                continue
            try:
                closed += close_interrupted(self._appliance, answer)
            except ApplianceError as error:
                log.warning("answer stays open", answer=answer.answer_id, code=error.code)
        return closed

    # --- the turn and its intent

    def _ask(
        self,
        actor: Actor,
        question: Question,
        model: ModelFacts,
        decision: Decision,
        start: Start,
        is_gone: IsGone,
    ) -> AnswerRun:
        try:
            conversation_id, turn = self._begin(actor, question, model)
        except ApplianceError as error:
            self._refused(actor, question, error)
            raise
        with (
            # A slow record may take its time over the intent: until the answer runs, it is held.
            self._admission.holding(turn.answer_id),
            failed_unless_begun(self._appliance.conversations, turn.answer_id),
        ):
            seq = self._record_intent(actor, question, model, decision, conversation_id, turn)
            run = AnswerRun(turn.answer_id, conversation_id, actor.user, model, seq, turn.subject)
            answering = Answering(self._appliance, self._recorder, run, actor, question, is_gone)
            self._start(run, answering, start)
        return run

    def _refused(self, actor: Actor, question: Question, error: ApplianceError) -> None:
        entity = identifier(question.conversation_id)
        self._refusals.note(actor, "answer.refuse", error, entity)

    def _begin(self, actor: Actor, question: Question, model: ModelFacts) -> tuple[str, Turn]:
        store = self._appliance.conversations
        subject = None if question.patient is None else store.subjects.ensure(question.patient)
        asked, used = question.to_seal(), ModelUsed(model.name, model.version, model.digest)
        if question.conversation_id is None:
            return store.begin(actor.user, question.title(), question.origin, asked, used, subject)
        turn = store.begin_turn(question.conversation_id, actor.user, asked, used, subject)
        return question.conversation_id, turn

    def _record_intent(
        self,
        actor: Actor,
        question: Question,
        model: ModelFacts,
        decision: Decision,
        conversation_id: str,
        turn: Turn,
    ) -> int:
        return self._recorder.note(
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
                **about(turn.subject),
            },
        ).seq

    def _start(self, run: AnswerRun, answering: Answering, start: Start) -> None:
        done = threading.Event()

        def body() -> None:
            try:
                answering.run()
            finally:
                self._admission.give_back(run.user)
                with self._lock:
                    self._ended[run.answer_id] = time.monotonic()
                done.set()

        with self._lock:
            self._forget_old()
            self._runs[run.answer_id] = (run, done)
        try:
            start(body)
        except RuntimeError:
            with self._lock:
                del self._runs[run.answer_id]
            raise

    def _forget_old(self) -> None:
        """Drop handles of answers that ended a while ago; the store has them."""
        horizon = time.monotonic() - KEPT_AFTER_END_S
        # In the order in which they ended, so the first that is young ends the search.
        for answer_id in list(
            itertools.takewhile(lambda key: self._ended[key] < horizon, self._ended)
        ):
            self._runs.pop(answer_id, None)
            del self._ended[answer_id]


def _at_once(work: Work) -> None:
    work()
