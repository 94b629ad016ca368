"""What a conversation and its messages look like once opened, and which titles fit (pure).

These hold plaintext: they live in memory, for the request of their author.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field

from appliance.sealing import Sealed

MAX_TITLE = 200
UNTITLED = "Untitled"
PENDING = "pending"
COMPLETE = "complete"
FAILED = "failed"
# How an answer can end; nothing else, and once only.
ENDINGS = frozenset({COMPLETE, FAILED, "stopped", "refused"})
ORIGINS = frozenset({"chat", "api", "console"})


@dataclass(frozen=True)
class Erased:
    """When the key of a conversation was destroyed, and which entry of the record says so.

    `entry` is None until it is written. `by_schedule`: its time was over, nobody asked for it.
    """

    when: float
    entry: int | None
    by_schedule: bool


@dataclass(frozen=True)
class ConversationInfo:
    """One conversation. Times are seconds since 1970 UTC; `subject` is a patient's pseudonym."""

    id: str
    user_id: str
    title: str = field(repr=False)
    origin: str
    archived: bool
    created: float
    updated: float
    subject: str | None = None
    erased: Erased | None = None


@dataclass(frozen=True)
class ModelUsed:
    """Which weights answered: name, version, SHA-256 of the file in hex."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class MessageInfo:
    """One question or answer. A question has no model, no tokens and no outcome."""

    id: str
    conversation_id: str
    role: str
    text: str = field(repr=False)
    state: str
    error_code: str | None
    model: ModelUsed | None
    prompt_tokens: int | None
    answer_tokens: int | None
    latency_ms: int | None
    finish_reason: str | None
    dropped_turns: int
    created: float
    finished: float | None
    intent_seq: int | None
    outcome_seq: int | None


@dataclass(frozen=True)
class Turn:
    """A question just stored, and the place kept for its answer."""

    question_id: str
    answer_id: str
    sealed_question: Sealed
    subject: str | None = None


@dataclass(frozen=True)
class UnfinishedAnswer:
    """An answer of whose outcome no entry of the record is known, as a crash leaves it.

    It may be pending, or have ended just before.
    """

    answer_id: str
    conversation_id: str
    user_id: str
    model_name: str
    model_version: str
    model_digest: str
    origin: str
    created: float
    subject: str | None = None


@dataclass(frozen=True)
class ClosedAnswer:
    """How such an answer ended, and its text as it is stored."""

    state: str
    sealed: Sealed = field(repr=False)


def fitting_title(text: str) -> str:
    """Return a title of one line made of any text, cut at MAX_TITLE characters.

    A title may come from a prompt, so control and format characters are dropped, not refused.
    """
    shown = "".join(
        character
        for character in " ".join(text.split())
        if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    ).strip()
    if len(shown) > MAX_TITLE:
        shown = shown[: MAX_TITLE - 1].rstrip() + "…"
    return shown or UNTITLED
