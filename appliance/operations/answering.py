"""The thread behind one answer: engine in, sealed text and a recorded outcome out.

Whatever happens to the engine, the person or the disk, exactly one outcome is recorded for each
intent: complete, stop or fail. When the record itself is away for a moment, the outcome waits
for it; when it stays away, the outcome is written at the next start (`outcomes.py`).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import structlog

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.errors import (
    AnswerTimeoutError,
    ApplianceError,
    ConflictError,
    EngineDownError,
    EngineUnavailableError,
    RecordUnavailableError,
    VerificationError,
    fault_of,
)
from appliance.identity.permissions import Actor
from appliance.inference.engine import (
    Delta,
    EngineStatus,
    Finished,
    Generation,
    Message,
    Progress,
    Queued,
    Sampling,
)
from appliance.inference.limits import fit_history
from appliance.operations.answer_run import AnswerRun
from appliance.operations.measures import ANSWERS, FIRST_TOKEN
from appliance.operations.outcomes import ACTION, about, record_once
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder, event_of

log = structlog.get_logger(__name__)

ENGINE_PATIENCE_NS = 30 * 1_000_000_000
RETRY_EVERY_S = 0.25
LOOK_EVERY_NS = 1_000_000_000
MAX_STARTS = 3
INTERNAL = "the answer failed through a fault in the appliance"


@dataclass(frozen=True)
class Ending:
    """How an answer ended, before it is sealed and recorded."""

    state: str
    reason: str
    error: ApplianceError | None = None


class Answering:
    """Drives one run from its recorded intent to its recorded outcome."""

    def __init__(
        self,
        appliance: Appliance,
        recorder: Recorder,
        run: AnswerRun,
        actor: Actor,
        question: Question,
    ) -> None:
        self._appliance = appliance
        self._recorder = recorder
        self._run = run
        self._actor = actor
        self._question = question
        self._began = appliance.clock.monotonic_ns()
        self._looked = self._began
        self._text: list[str] = []
        self._finished: Finished | None = None
        # The engine's last word was our place in its queue, so it had not begun with this.
        self._waiting = False

    def run(self) -> None:
        """Write the answer; never raises, because nobody would see it."""
        try:
            ending = self._generate()
        except ApplianceError as error:
            ending = Ending("failed", error.code, error)
        except Exception as error:
            log.error("answer failed", answer=self._run.answer_id, fault=fault_of(error))
            ending = Ending("failed", "internal", ApplianceError(INTERNAL))
        try:
            self._close(ending)
        except Exception as error:
            # The row stays open; the caretaker records the outcome when the record is back.
            log.error("outcome not recorded yet", answer=self._run.answer_id, fault=fault_of(error))
            unrecorded = RecordUnavailableError("the answer's outcome could not be recorded")
            # Without its key nobody may read the text any longer, from memory neither.
            lost = {"text": ""} if isinstance(error, VerificationError) else {}
            elapsed = self._elapsed_ms()
            self._run.update(state="failed", error=unrecorded, elapsed_ms=elapsed, **lost)

    # --- generation

    def _generate(self) -> Ending:
        for _ in range(MAX_STARTS):
            ready = self._await_engine()
            if ready is None:
                break
            try:
                return self._stream(ready)
            except EngineUnavailableError as error:
                # Asked again only when it had not begun: what it began may have killed the engine.
                if not (isinstance(error, EngineDownError) or self._waiting):
                    raise
        if self._run.stop_reason:
            return Ending("stopped", self._run.stop_reason)
        raise EngineUnavailableError("the model's process does not answer")

    def _await_engine(self) -> EngineStatus | None:
        """Wait for the engine while it starts or loads; null when stopped meanwhile.

        Raises EngineUnavailableError when out of patience, or there is nothing to wait for.
        """
        patience = self._appliance.clock.monotonic_ns() + ENGINE_PATIENCE_NS
        while (status := self._status()).state != "ready":
            self._check_deadline()
            if status.state == "empty" or self._appliance.clock.monotonic_ns() > patience:
                raise EngineUnavailableError(status.detail or "the model's process is not ready")
            self._run.update(state="loading", elapsed_ms=self._elapsed_ms())
            if self._run.wait_for_stop(RETRY_EVERY_S):
                return None
        return None if self._run.stop_reason else status

    def _status(self) -> EngineStatus:
        """Return how the model of this question stands; another may have become active."""
        return self._appliance.engine.status(self._run.model.digest)

    def _stream(self, ready: EngineStatus) -> Ending:
        request = self._request(ready.context_tokens)
        self._waiting = False
        with contextlib.closing(self._appliance.engine.generate(request)) as progress:
            for step in progress:
                self._take(step)
                if self._run.stop_reason:
                    return Ending("stopped", self._run.stop_reason)
                self._check_deadline()
                self._check_erased()
        if self._finished is None:
            raise EngineUnavailableError("the model's process ended in the middle of the answer")
        return Ending("complete", self._finished.reason)

    def _check_deadline(self) -> None:
        if self._elapsed_ms() > self._appliance.config.engine.answer_timeout_s * 1000:
            raise AnswerTimeoutError("the answer took too long and was ended")

    def _check_erased(self) -> None:
        """Write no more about somebody whose content is erased meanwhile; look once a second."""
        now = self._appliance.clock.monotonic_ns()
        if now - self._looked < LOOK_EVERY_NS:
            return
        self._looked = now
        if self._appliance.conversations.custody.is_erased(self._run.conversation_id):
            self._text.clear()
            self._run.update(text="")
            raise ConflictError("the conversation was erased while the answer was written")

    def _take(self, step: Progress) -> None:
        elapsed = self._elapsed_ms()
        self._waiting = isinstance(step, Queued)
        if isinstance(step, Queued):
            self._run.update(state="queued", position=step.position, elapsed_ms=elapsed)
        elif isinstance(step, Delta):
            if not step.text:
                # A sign of life while the prompt is read: Stop and the deadline act on it.
                self._run.update(elapsed_ms=elapsed)
                return
            if not self._text:
                FIRST_TOKEN.observe(elapsed / 1000)
                self._run.update(first_token_ms=elapsed)
            self._text.append(step.text)
            self._run.update(
                state="answering", position=None, text="".join(self._text), elapsed_ms=elapsed
            )
        else:
            self._finished = step

    def _request(self, context_tokens: int) -> Generation:
        settings, wish = self._appliance.config.engine, self._question.sampling
        most = min(settings.max_answer_tokens, wish.max_tokens or settings.max_answer_tokens)
        sampling = Sampling(
            max_tokens=most,
            temperature=(
                settings.temperature_percent / 100 if wish.temperature is None else wish.temperature
            ),
            top_p=1.0 if wish.top_p is None else wish.top_p,
            seed=wish.seed,
            stop=wish.stop,
        )
        messages = self._messages(context_tokens)
        return Generation(self._run.model.digest, messages, sampling)

    def _messages(self, context_tokens: int) -> tuple[Message, ...]:
        """Return the turns for the model; a chat's oldest turns give way, an API's never do."""
        given = self._question.messages
        if any(turn.role == "system" for turn in given):
            return given
        system_turn = Message("system", self._appliance.config.policy.system_prompt)
        if self._question.conversation_id is None:
            return (system_turn, *given)
        turns = (system_turn, *self._history(), *given)
        # Room for an answer stays free, up to a third of the context.
        most = self._appliance.config.engine.max_answer_tokens
        budget = context_tokens - min(most, context_tokens // 3)
        engine, digest = self._appliance.engine, self._run.model.digest
        fitted = fit_history(turns, partial(engine.count_tokens, digest), budget)
        self._run.update(dropped_turns=fitted.dropped)
        return fitted.messages

    def _history(self) -> Iterator[Message]:
        """Yield earlier questions of this conversation that have an answer, with the answer."""
        stored = self._appliance.conversations.messages(self._run.conversation_id, self._run.user)
        for asked, answered in itertools.pairwise(stored):
            if asked.role == "user" and answered.role == "assistant":
                if answered.id == self._run.answer_id:
                    return
                if answered.state in {"complete", "stopped"} and answered.text:
                    yield Message("user", asked.text)
                    yield Message("assistant", answered.text)

    # --- the end

    def _close(self, ending: Ending) -> None:
        elapsed = self._elapsed_ms()
        prompt_tokens = self._finished.prompt_tokens if self._finished else None
        answer_tokens = self._finished.answer_tokens if self._finished else None
        sealed = self._appliance.conversations.finish(
            self._run.answer_id,
            state=ending.state,
            text="".join(self._text),
            error_code=ending.error.code if ending.error else None,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
            latency_ms=elapsed,
            finish_reason=ending.reason,
            dropped_turns=self._run.snapshot().dropped_turns,
        )
        seq = self._record(ending, sealed.for_record(), elapsed)
        self._appliance.conversations.set_outcome(self._run.answer_id, seq)
        ANSWERS.labels(ending.state).inc()
        self._run.update(
            state=ending.state,
            finish_reason=ending.reason,
            error=ending.error,
            elapsed_ms=elapsed,
            position=None,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
            record_seq=seq,
        )

    def _record(self, ending: Ending, answer: dict[str, str | int], elapsed: int) -> int:
        model = self._run.model
        event = event_of(
            self._actor,
            ACTION[ending.state],
            Outcome.FAILURE if ending.error else Outcome.SUCCESS,
            entity=self._run.answer_id,
            purpose=self._question.purpose or self._appliance.config.policy.default_purpose,
            model=ModelRef(model.name, model.version, model.digest),
            tokens=self._tokens(),
            latency_ms=elapsed,
            content={
                "answer": answer,
                "reason": ending.reason,
                "request": self._run.intent_seq,
                **about(self._run.subject),
            },
        )
        return record_once(self._appliance.ledger, event)

    def _tokens(self) -> dict[str, int] | None:
        if self._finished is None:
            return None
        return {"prompt": self._finished.prompt_tokens, "answer": self._finished.answer_tokens}

    def _elapsed_ms(self) -> int:
        return (self._appliance.clock.monotonic_ns() - self._began) // 1_000_000
