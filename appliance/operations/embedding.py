"""Turn texts into vectors, in the order that the promises demand of every question.

1. authorise the actor, 2. ask the one policy function, 3. seal the texts, 4. record the intent
durably, 5. only then let the engine see them, 6. seal what came of it, 7. record the outcome.

A vector gives away much of its text, so none is stored: what is sealed as the outcome is how
many there were, how long, and their SHA-256, by which somebody who kept them can prove them.
Not here: what vectors are good for.
"""

from __future__ import annotations

import contextlib
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.canonical import sha256
from appliance.conversations.store import ModelUsed, Turn
from appliance.conversations.subjects.store import normalised
from appliance.errors import (
    ApplianceError,
    BadInputError,
    EngineDownError,
    EngineUnavailableError,
    RecordUnavailableError,
    fault_of,
)
from appliance.identity.permissions import Actor
from appliance.inference.engine import Embeddings
from appliance.operations.admission import Admission, check_still_askable
from appliance.operations.outcomes import about, failed_unless_begun, record_once
from appliance.operations.persons import opaque
from appliance.operations.questions import Question
from appliance.operations.recording import Recorder, event_of
from appliance.operations.refusals import Refusals
from appliance.policy.decision import Decision, ModelFacts

log = structlog.get_logger(__name__)

MAX_TEXTS = 256
ENGINE_PATIENCE_S = 30.0
RETRY_EVERY_S = 0.25
MAX_STARTS = 3
INTERNAL = "the texts could not be embedded through a fault in the appliance"
ORIGIN = "api"


@dataclass(frozen=True)
class EmbeddingWish:
    """The texts, in order; `patient` as typed, of which only a pseudonym is kept."""

    texts: tuple[str, ...] = field(repr=False)
    model: str | None = None
    purpose: str | None = None
    patient: str | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raise BadInputError unless there are texts, and not too many."""
        if not self.texts or not all(text.strip() for text in self.texts):
            raise BadInputError("a text to be embedded is empty", hint="leave empty texts out")
        if len(self.texts) > MAX_TEXTS:
            raise BadInputError(f"at most {MAX_TEXTS} texts at once", hint="send them in parts")
        if self.patient is not None:
            normalised(self.patient)

    def to_seal(self) -> str:
        """Return what is kept: the text, or JSON where there are several."""
        if len(self.texts) == 1:
            return self.texts[0]
        return json.dumps({"texts": self.texts}, ensure_ascii=False)


@dataclass(frozen=True)
class Embedded:
    """The vectors, and the entry of the record that says they were made."""

    answer_id: str
    model: ModelFacts
    vectors: tuple[tuple[float, ...], ...] = field(repr=False)
    tokens: int
    record_seq: int
    elapsed_ms: int


@dataclass(frozen=True)
class _Begun:
    """One request whose intent is recorded."""

    actor: Actor
    wish: EmbeddingWish
    model: ModelFacts
    conversation_id: str
    turn: Turn
    intent_seq: int
    began: int


class Embedding:
    """Texts in, vectors out, for programs."""

    def __init__(self, appliance: Appliance, admission: Admission, refusals: Refusals) -> None:
        self._appliance = appliance
        self._admission = admission
        self._refusals = refusals
        self._recorder = Recorder(appliance.ledger)

    def embed(self, actor: Actor, wish: EmbeddingWish) -> Embedded:
        """Return a vector for each text, once the outcome is in the record.

        Raises ForbiddenError, NotFoundError, BadInputError or BusyError when refused (recorded),
        RecordUnavailableError when the intent or the outcome could not be written, and what the
        engine raises; then the outcome is a failure.
        """
        with self._admitted(actor, wish) as (model, decision):
            conversation_id, turn = self._begin(actor, wish, model)
            with self._admission.holding(turn.answer_id):
                seq = self._intended(actor, wish, model, decision, turn)
                began = self._appliance.clock.monotonic_ns()
                return self._finish(_Begun(actor, wish, model, conversation_id, turn, seq, began))

    @contextlib.contextmanager
    def _admitted(self, actor: Actor, wish: EmbeddingWish) -> Iterator[tuple[ModelFacts, Decision]]:
        try:
            wish.check()
            chosen = self._admission.choose(actor, wish.model, wish.purpose)
            self._admission.take_room(actor)
        except ApplianceError as error:
            self._refusals.note(actor, "embedding.refuse", error)
            raise
        try:
            yield chosen
        finally:
            self._admission.give_back(actor.user)

    # --- the texts and the intent

    def _begin(self, actor: Actor, wish: EmbeddingWish, model: ModelFacts) -> tuple[str, Turn]:
        store = self._appliance.conversations
        used = ModelUsed(model.name, model.version, model.digest)
        try:
            subject = None if wish.patient is None else store.subjects.ensure(wish.patient)
            title = Question.of(wish.texts[0]).title()
            return store.begin(actor.user, title, ORIGIN, wish.to_seal(), used, subject)
        except ApplianceError as error:
            self._refusals.note(actor, "embedding.refuse", error)
            raise

    def _intended(
        self,
        actor: Actor,
        wish: EmbeddingWish,
        model: ModelFacts,
        decision: Decision,
        turn: Turn,
    ) -> int:
        with failed_unless_begun(self._appliance.conversations, turn.answer_id):
            return self._recorder.note(
                actor,
                "embedding.request",
                Outcome.INTENT,
                entity=turn.answer_id,
                purpose=self._purpose(wish),
                model=ModelRef(model.name, model.version, model.digest),
                policy=decision.rule,
                content={
                    "question": turn.sealed_question.for_record(),
                    "count": len(wish.texts),
                    "origin": ORIGIN,
                    **about(turn.subject),
                },
            ).seq

    # --- the engine and the outcome

    def _finish(self, begun: _Begun) -> Embedded:
        error: ApplianceError | None = None
        made = Embeddings((), 0)
        try:
            made = self._made(begun)
        except ApplianceError as raised:
            error = raised
        except Exception as raised:
            log.error("embedding failed", entity=begun.turn.answer_id, fault=fault_of(raised))
            error = ApplianceError(INTERNAL)
        elapsed = (self._appliance.clock.monotonic_ns() - begun.began) // 1_000_000
        try:
            seq = self._close(begun, made, error, elapsed)
        except Exception as raised:
            # The row stays open; the caretaker records the outcome when the record is back.
            log.error("outcome not recorded yet", entity=begun.turn.answer_id,
                      fault=fault_of(raised))  # fmt: skip
            raise RecordUnavailableError("the outcome could not be recorded") from raised
        if error is not None:
            raise error
        return Embedded(begun.turn.answer_id, begun.model, made.vectors, made.tokens, seq, elapsed)

    def _made(self, begun: _Begun) -> Embeddings:
        """Return what the engine made; one that took nothing, as it was down, is asked again."""
        for _ in range(MAX_STARTS - 1):
            with contextlib.suppress(EngineDownError):
                return self._asked(begun)
        return self._asked(begun)

    def _asked(self, begun: _Begun) -> Embeddings:
        self._await_engine(begun.model.digest)
        check_still_askable(self._appliance, begun.conversation_id, begun.model)
        person = opaque(begun.actor.user)
        made = self._appliance.engine.embed(begun.model.digest, begun.wish.texts, person)
        if len(made.vectors) != len(begun.wish.texts):
            raise EngineUnavailableError("the model's process returned too few vectors")
        return made

    def _await_engine(self, digest: str) -> None:
        patience = time.monotonic() + ENGINE_PATIENCE_S
        while (status := self._appliance.engine.status(digest)).state != "ready":
            if status.state == "empty" or time.monotonic() > patience:
                raise EngineUnavailableError(status.detail or "the model's process is not ready")
            time.sleep(RETRY_EVERY_S)

    def _close(
        self, begun: _Begun, made: Embeddings, error: ApplianceError | None, elapsed: int
    ) -> int:
        store = self._appliance.conversations
        sealed = store.finish(
            begun.turn.answer_id,
            state="failed" if error else "complete",
            text="" if error else _kept(made),
            error_code=error.code if error else None,
            prompt_tokens=None if error else made.tokens,
            latency_ms=elapsed,
            intent_seq=begun.intent_seq,
        )
        event = event_of(
            begun.actor,
            "embedding.fail" if error else "embedding.complete",
            Outcome.FAILURE if error else Outcome.SUCCESS,
            entity=begun.turn.answer_id,
            purpose=self._purpose(begun.wish),
            model=ModelRef(begun.model.name, begun.model.version, begun.model.digest),
            tokens=None if error else {"prompt": made.tokens, "answer": 0},
            latency_ms=elapsed,
            content={
                "answer": sealed.for_record(),
                "count": len(made.vectors),
                "reason": error.code if error else "complete",
                "request": begun.intent_seq,
                **about(begun.turn.subject),
            },
        )
        seq = record_once(self._appliance.ledger, event)
        store.set_outcome(begun.turn.answer_id, seq)
        return seq

    def _purpose(self, wish: EmbeddingWish) -> str:
        return wish.purpose or self._appliance.config.policy.default_purpose


def _kept(made: Embeddings) -> str:
    """Return what is sealed of vectors: count, length, SHA-256 of their little-endian floats."""
    packed = b"".join(struct.pack(f"<{len(vector)}f", *vector) for vector in made.vectors)
    length = len(made.vectors[0]) if made.vectors else 0
    return json.dumps(
        {"vectors": len(made.vectors), "dimensions": length, "sha256": sha256(packed).hex()}
    )
