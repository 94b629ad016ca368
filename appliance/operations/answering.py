"""What is behind one answer: engine in, sealed text and a recorded outcome out.

Whatever happens to the engine, the person or the disk, exactly one outcome is recorded for each
intent: complete, stop or fail. When the record itself is away for a moment, the outcome waits
for it; when it stays away, the outcome is written at the next start (`outcomes.py`).

An engine that dies before anything of the answer was shown is asked again once it is back; the
person sees that the answer waits. What it had begun with may be what killed it, so that is asked
once more and no further; what was erased or withdrawn meanwhile is not asked at all. What is asked
of the engine is in `generations.py`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

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
from appliance.inference.engine import Delta, EngineStatus, Finished, Progress, Queued
from appliance.operations.admission import check_still_askable
from appliance.operations.answer_run import AnswerRun, IsGone, nobody_leaves
from appliance.operations.generations import asked_of_engine
from appliance.operations.measures import ANSWERS, FIRST_TOKEN
from appliance.operations.outcomes import ACTION, about, record_once
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder, event_of

log = structlog.get_logger(__name__)

ENGINE_PATIENCE_NS = 30 * 1_000_000_000
RETRY_EVERY_S = 0.25
LOOK_EVERY_NS = 1_000_000_000
MAX_STARTS = 3
# How often it may have begun when the engine died: the second time, it is taken for the cause.
MAX_BEGUN = 2
NOTHING: Mapping[str, object] = {"text": "", "tool_calls": (), "logprobs": ()}
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
        is_gone: IsGone = nobody_leaves,
    ) -> None:
        """`is_gone` tells whether the caller who waits for the whole answer has hung up."""
        self._appliance = appliance
        self._recorder = recorder
        self._run = run
        self._actor = actor
        self._question = question
        self._is_gone = is_gone
        self._began = appliance.clock.monotonic_ns()
        self._looked = self._began
        self._text: list[str] = []
        self._finished: Finished | None = None
        # How often an engine took the question, and how often it died having begun with it.
        self._starts = 0
        self._begun = 0
        # The engine's last word was our place in its queue, so it had not begun with this.
        self._waiting = False

    def run(self) -> None:
        """Write the answer; never raises, because nobody would see it."""
        try:
            ending = self._generate()
        except ApplianceError as error:
            ending = Ending("failed", error.code, error)
        except Exception as error:
            self._complain("answer failed", error)
            ending = Ending("failed", "internal", ApplianceError(INTERNAL))
        try:
            self._close(ending)
        except Exception as error:
            # The row stays open; the caretaker records the outcome when the record is back.
            self._complain("outcome not recorded yet", error)
            unrecorded = RecordUnavailableError("the answer's outcome could not be recorded")
            # Without its key nobody may read the text any longer, from memory neither.
            lost = NOTHING if isinstance(error, VerificationError) else {}
            elapsed = self._elapsed_ms()
            self._run.update(state="failed", error=unrecorded, elapsed_ms=elapsed, **lost)

    def _complain(self, what: str, error: Exception) -> None:
        # A log that cannot be written must not keep anybody waiting for the end.
        with contextlib.suppress(Exception):
            log.error(what, answer=self._run.answer_id, fault=fault_of(error))

    # --- generation

    def _generate(self) -> Ending:
        refused = 0
        while not self._run.stop_reason:
            try:
                return self._stream()
            except EngineDownError:
                # Nobody took it: an engine that says it is ready and refuses is asked thrice.
                refused += 1
                if refused > MAX_STARTS:
                    raise
            except EngineUnavailableError:
                if not self._may_start_again():
                    raise
            self._await_engine()
            if not self._run.stop_reason:
                check_still_askable(self._appliance, self._run.conversation_id, self._run.model)
            self._run.update(state="queued", position=None, elapsed_ms=self._elapsed_ms())
        return Ending("stopped", self._run.stop_reason)

    def _may_start_again(self) -> bool:
        """Tell whether the question may be asked once more, now that the engine died on it."""
        self._begun += not self._waiting
        shown = self._run.snapshot().first_token_ms is not None
        return not shown and self._begun < MAX_BEGUN and self._starts < MAX_STARTS

    def _await_engine(self) -> None:
        """Wait for the engine while it starts or loads, or until the answer is stopped.

        Raises EngineUnavailableError when out of patience, or there is nothing to wait for. One
        that loads says so, and is waited for as long as an answer may take.
        """
        patience = self._appliance.clock.monotonic_ns() + ENGINE_PATIENCE_NS
        while not self._run.stop_reason and (status := self._status()).state != "ready":
            self._check_deadline()
            self._look_around()
            down = status.state == "down" and self._appliance.clock.monotonic_ns() > patience
            if status.state == "empty" or down:
                raise EngineUnavailableError(status.detail or "the model's process is not ready")
            self._run.update(state="loading", position=None, elapsed_ms=self._elapsed_ms())
            self._run.wait_for_stop(RETRY_EVERY_S)

    def _status(self) -> EngineStatus:
        """Return how the model of this question stands; another may have become active."""
        return self._appliance.engine.status(self._run.model.digest)

    def _stream(self) -> Ending:
        asked = asked_of_engine(self._appliance, self._run, self._question, self._context_tokens)
        if asked.dropped_turns:
            self._run.update(dropped_turns=asked.dropped_turns)
        self._waiting = False
        self._starts += 1
        try:
            with contextlib.closing(self._appliance.engine.generate(asked.generation)) as progress:
                for step in progress:
                    self._take(step)
                    if self._run.stop_reason:
                        return Ending("stopped", self._run.stop_reason)
                    self._check_deadline()
                    self._look_around()
        except EngineDownError:
            self._starts -= 1
            raise
        if self._finished is None:
            raise EngineUnavailableError("the model's process ended in the middle of the answer")
        return Ending("complete", self._finished.reason)

    def _context_tokens(self) -> int:
        """Return the size of the model's context; raise EngineDownError until it is loaded."""
        status = self._status()
        if status.state != "ready":
            raise EngineDownError(status.detail or "the model's process is not ready")
        return status.context_tokens

    def _check_deadline(self) -> None:
        if self._elapsed_ms() > self._appliance.config.engine.answer_timeout_s * 1000:
            raise AnswerTimeoutError("the answer took too long and was ended")

    def _look_around(self) -> None:
        """Write no more for nobody, nor what was erased meanwhile; look once a second."""
        now = self._appliance.clock.monotonic_ns()
        if now - self._looked < LOOK_EVERY_NS:
            return
        self._looked = now
        if self._is_gone():
            self._run.stop("disconnected")
        if self._appliance.conversations.custody.is_erased(self._run.conversation_id):
            self._text.clear()
            self._run.update(**NOTHING)
            raise ConflictError("the conversation was erased while the answer was written")

    def _take(self, step: Progress) -> None:
        elapsed = self._elapsed_ms()
        self._waiting = isinstance(step, Queued)
        if isinstance(step, Queued):
            self._run.update(state="queued", position=step.position, elapsed_ms=elapsed)
        elif isinstance(step, Delta):
            self._add(step, elapsed)
        else:
            self._finished = step

    def _add(self, piece: Delta, elapsed: int) -> None:
        """Show one more piece; an empty one is a sign of life: Stop and the deadline act on it."""
        if not (piece.text or piece.tool_calls or piece.logprobs):
            self._run.update(elapsed_ms=elapsed)
            return
        shown = self._run.snapshot()
        first = shown.first_token_ms
        if first is None:
            first = elapsed
            FIRST_TOKEN.observe(elapsed / 1000)
        self._text.append(piece.text)
        self._run.update(
            state="answering",
            position=None,
            text="".join(self._text),
            tool_calls=shown.tool_calls + piece.tool_calls,
            logprobs=shown.logprobs + piece.logprobs,
            elapsed_ms=elapsed,
            first_token_ms=first,
        )

    # --- the end

    def _close(self, ending: Ending) -> None:
        elapsed = self._elapsed_ms()
        prompt_tokens = self._finished.prompt_tokens if self._finished else None
        answer_tokens = self._finished.answer_tokens if self._finished else None
        sealed = self._appliance.conversations.finish(
            self._run.answer_id,
            state=ending.state,
            text=self._to_seal(),
            error_code=ending.error.code if ending.error else None,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
            latency_ms=elapsed,
            finish_reason=ending.reason,
            dropped_turns=self._run.snapshot().dropped_turns,
            intent_seq=self._run.intent_seq,
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
        model, end = self._run.model, self._finished
        tokens = {"prompt": end.prompt_tokens, "answer": end.answer_tokens} if end else None
        event = event_of(
            self._actor,
            ACTION[ending.state],
            Outcome.FAILURE if ending.error else Outcome.SUCCESS,
            entity=self._run.answer_id,
            purpose=self._question.purpose or self._appliance.config.policy.default_purpose,
            model=ModelRef(model.name, model.version, model.digest),
            tokens=tokens,
            latency_ms=elapsed,
            content={
                "answer": answer,
                "reason": ending.reason,
                "request": self._run.intent_seq,
                **({"starts": self._starts} if self._starts > 1 else {}),
                **about(self._run.subject),
            },
        )
        return record_once(self._appliance.ledger, event)

    def _to_seal(self) -> str:
        """Return what is kept of the answer: its text, or JSON when it calls tools."""
        text, calls = "".join(self._text), self._run.snapshot().tool_calls
        if not calls:
            return text
        kept = {"text": text, "tool_calls": [vars(call) for call in calls]}
        return json.dumps(kept, ensure_ascii=False)

    def _elapsed_ms(self) -> int:
        return (self._appliance.clock.monotonic_ns() - self._began) // 1_000_000
