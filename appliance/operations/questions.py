"""What may be asked: the question as a caller states it, and its checks (pure)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from appliance.conversations.subjects.store import normalised
from appliance.errors import BadInputError
from appliance.inference.engine import Message

MAX_TITLE = 60


@dataclass(frozen=True)
class SamplingWish:
    """What a caller may choose; null means the site's own setting."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """One question.

    `messages` are the turns that a caller of the API gives, the last one from the user; in the
    chat page there is one message, and the turns before it come from the conversation. `patient`
    is a record number or encounter as typed; only its pseudonym is kept.
    """

    messages: tuple[Message, ...]
    conversation_id: str | None = None
    model: str | None = None
    purpose: str | None = None
    sampling: SamplingWish = field(default_factory=SamplingWish)
    origin: str = "chat"
    patient: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, prompt: str, **rest: object) -> Question:
        """Return a question of one user message."""
        return cls(messages=(Message("user", prompt),), **rest)  # type: ignore[arg-type]  # checked by the dataclass's own fields

    @property
    def prompt(self) -> str:
        return self.messages[-1].content

    def check(self) -> None:
        """Raise BadInputError unless there is something to answer."""
        if not self.messages or self.messages[-1].role != "user":
            raise BadInputError("the last message must come from the user")
        if not self.prompt.strip():
            raise BadInputError("the question is empty", hint="type a question first")
        if self.patient is not None:
            normalised(self.patient)

    def to_seal(self) -> str:
        """Return what is kept of the question: the text, or all turns when a caller gave many."""
        if len(self.messages) == 1:
            return self.prompt
        turns = [{"role": turn.role, "content": turn.content} for turn in self.messages]
        return json.dumps({"messages": turns}, ensure_ascii=False)

    def title(self) -> str:
        """Return the first words of the question, as the name of a new conversation."""
        words = " ".join(self.prompt.split())
        return words if len(words) <= MAX_TITLE else words[: MAX_TITLE - 1].rstrip() + "…"
