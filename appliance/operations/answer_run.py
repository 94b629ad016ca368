"""One answer while it is being written: a thread fills it, any number of readers watch it.

The answer lives here, not in the request that asked for it, so that a page can be reloaded
midway and find it again. Not here: what is recorded and stored at its end (`asking.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from appliance.errors import ApplianceError
from appliance.inference.engine import TokenLogprob, ToolCall
from appliance.policy.decision import ModelFacts

State = Literal["queued", "loading", "answering", "complete", "stopped", "failed"]
IsGone = Callable[[], bool]
ENDED: frozenset[str] = frozenset({"complete", "stopped", "failed"})


@dataclass(frozen=True)
class AnswerState:
    """A snapshot. `version` grows with every change; `position` counts requests before this.

    `text`, `tool_calls` and `logprobs` only ever grow, but for an erasure, which empties them.
    """

    version: int = 0
    state: State = "queued"
    text: str = ""
    position: int | None = None
    elapsed_ms: int = 0
    first_token_ms: int | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    dropped_turns: int = 0
    error: ApplianceError | None = None
    record_seq: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class AnswerRun:
    """A handle on one answer: look, wait for news, stop."""

    def __init__(
        self,
        answer_id: str,
        conversation_id: str,
        user: str,
        model: ModelFacts,
        intent_seq: int,
        subject: str | None = None,
    ) -> None:
        self.answer_id = answer_id
        self.conversation_id = conversation_id
        self.user = user
        self.model = model
        self.intent_seq = intent_seq
        self.subject = subject
        self._state = AnswerState()
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        # Whoever waits for the end alone is not woken by every word before it.
        self._ended = threading.Condition(lock)
        self._stop_reason: str | None = None

    def snapshot(self) -> AnswerState:
        """Return the answer as it stands."""
        with self._changed:
            return self._state

    def wait(self, version: int, timeout_s: float) -> AnswerState:
        """Return as soon as there is news after `version`, or after `timeout_s` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._state.version > version, timeout_s)
            return self._state

    def finished(self, timeout_s: float) -> AnswerState:
        """Return when the answer has ended, or after `timeout_s` seconds."""
        with self._ended:
            self._ended.wait_for(lambda: self._state.ended, timeout_s)
            return self._state

    def stop(self, reason: str) -> None:
        """Ask the answer to end; `reason` is `person`, `disconnected`, `timeout`, `shutdown`."""
        with self._changed:
            if self._stop_reason is None:
                self._stop_reason = reason
                self._changed.notify_all()

    @property
    def stop_reason(self) -> str | None:
        return self._stop_reason

    def wait_for_stop(self, timeout_s: float) -> bool:
        """Sleep for `timeout_s` seconds or until somebody stops the answer; tell which."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stop_reason is not None, timeout_s)

    def update(self, **changes: object) -> AnswerState:
        """Publish a change to everyone who waits; for the thread that writes the answer."""
        with self._changed:
            known = vars(self._state)
            # For every word of every answer; `dataclasses.replace` takes three times as long.
            self._state = AnswerState(**{**known, **changes, "version": known["version"] + 1})
            self._changed.notify_all()
            if self._state.ended:
                self._ended.notify_all()
            return self._state


def nobody_leaves() -> bool:
    """Stand for the caller of an answer that goes on by itself, watched or not."""
    return False
