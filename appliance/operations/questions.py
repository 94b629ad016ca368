"""What may be asked: the question as a caller states it, and its checks (pure)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from appliance.conversations.subjects.store import normalised
from appliance.errors import BadInputError
from appliance.inference.engine import Message, Tools

MAX_TITLE = 60
ANSWERABLE = frozenset({"user", "tool"})


@dataclass(frozen=True)
class SamplingWish:
    """What a caller may choose; null means the site's own setting, or the engine's.

    The names and units are those of `inference.engine.Sampling`.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    schema: str | None = None


@dataclass(frozen=True)
class Question:
    """One question.

    `messages` are the turns that a caller of the API gives, the last one from the user or from a
    tool that the model called; in the chat page there is one message, and the turns before it
    come from the conversation. With `raw`, that text is continued as it stands, and there are no
    messages. `patient` is a record number or encounter as typed; only its pseudonym is kept.
    """

    messages: tuple[Message, ...]
    conversation_id: str | None = None
    model: str | None = None
    purpose: str | None = None
    sampling: SamplingWish = field(default_factory=SamplingWish)
    origin: str = "chat"
    patient: str | None = field(default=None, repr=False)
    tools: Tools = field(default_factory=Tools)
    raw: str | None = None

    @classmethod
    def of(cls, prompt: str, **rest: object) -> Question:
        """Return a question of one user message."""
        return cls(messages=(Message("user", prompt),), **rest)  # type: ignore[arg-type]  # checked by the dataclass's own fields

    @property
    def prompt(self) -> str:
        """The text that waits for an answer."""
        return self.messages[-1].content if self.raw is None else self.raw

    def check(self) -> None:
        """Raise BadInputError unless there is something to answer."""
        if self.raw is None:
            self._check_turns()
        elif self.messages or self.tools.offered:
            raise BadInputError("a text to be continued comes without messages and tools")
        if not self.prompt.strip() and not self._answers_a_tool:
            raise BadInputError("the question is empty", hint="type a question first")
        if self.patient is not None:
            normalised(self.patient)

    def to_seal(self) -> str:
        """Return what is kept of the question: the text, or JSON where it is more than a text.

        The JSON holds all turns, with the calls of tools and their results, the tools that were
        offered, the schema that was asked for, and whether a raw text was to be continued.
        """
        asked = self._asked()
        if set(asked) == {"messages"} and len(self.messages) == 1:
            return self.prompt
        return json.dumps(asked, ensure_ascii=False)

    def title(self) -> str:
        """Return the first words of the question, as the name of a new conversation."""
        words = " ".join(self._spoken().split())
        return words if len(words) <= MAX_TITLE else words[: MAX_TITLE - 1].rstrip() + "…"

    def _check_turns(self) -> None:
        if not self.messages or self.messages[-1].role not in ANSWERABLE:
            raise BadInputError("the last message must come from the user, or from a tool")
        called: set[str] = set()
        for turn in self.messages:
            called.update(call.id for call in turn.tool_calls)
            if turn.role == "tool" and turn.tool_call_id not in called:
                raise BadInputError("a tool's message answers no call of the turns before it")

    @property
    def _answers_a_tool(self) -> bool:
        return self.raw is None and self.messages[-1].role == "tool"

    def _spoken(self) -> str:
        if self.raw is not None:
            return self.raw
        by_people = [turn.content for turn in self.messages if turn.role == "user"]
        return by_people[-1] if by_people else self.prompt

    def _asked(self) -> dict[str, object]:
        asked: dict[str, object] = {}
        if self.raw is not None:
            asked["raw"] = self.raw
        else:
            asked["messages"] = [_turn(turn) for turn in self.messages]
        if self.tools.offered:
            asked["tools"] = [dict(vars(tool)) for tool in self.tools.offered]
            asked["tool_choice"] = self.tools.named or self.tools.mode
        if self.sampling.schema is not None:
            asked["schema"] = self.sampling.schema
        return asked


def _turn(turn: Message) -> dict[str, object]:
    kept: dict[str, object] = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        kept["tool_calls"] = [dict(vars(call)) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        kept["tool_call_id"] = turn.tool_call_id
    return kept
