"""From a conversation to the exact tokens that a model reads, turns kept apart for certain.

Guarantee: the control tokens in a prompt are the template's own. Messages are made safe before
the model's template (Jinja, in a process of its own: `rendering`) sees them. A prompt that cannot
fit is refused with numbers before anything is decoded, and an enormous one before it is even
tokenized. Not here: dropping old turns, which is for whoever knows the conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from appliance.errors import BadInputError, ContextOverflowError
from appliance.llama import tools as tool_rules
from appliance.llama.rendering import RefusedByTemplateError, Renderer
from appliance.llama.text import Neutraliser, without_surrogates
from appliance.llama.tools import Call, Style, Tool
from appliance.llama.weights import Weights

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
MAX_TURNS = 4096
# No language needs more bytes per token in any common vocabulary; runs of blanks might, rarely.
BYTES_PER_TOKEN = 16
# Room kept for the answer at least, unless fewer tokens are asked for.
LEAST_ANSWER = 32
# What llama.cpp's own server falls back to as well.
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Turn:
    """One message of a conversation; a tool's result names the call that it answers."""

    role: Role
    content: str
    calls: tuple[Call, ...] = ()
    call_id: str | None = None

    @property
    def uses_tools(self) -> bool:
        return bool(self.calls) or self.role == "tool"


def parse_turns(value: object) -> tuple[Turn, ...]:
    """Return the turns in a body's `messages`; raise BadInputError when they make no sense."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TURNS:
        raise BadInputError(f"messages must be a list of 1 to {MAX_TURNS} messages")
    return tuple(map(_turn, value))


def _turn(item: object) -> Turn:
    if not isinstance(item, Mapping):
        raise BadInputError("each message must be an object with role and content")
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise BadInputError(f"the role of a message must be one of {', '.join(ROLES)}")
    calls = tool_rules.parse_calls(item.get("tool_calls"))
    if calls and role != "assistant":
        raise BadInputError("only a message of the assistant can have tool_calls")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise BadInputError("the content of a message must be a text")
    answered = tool_rules.parse_id(item.get("tool_call_id")) if role == "tool" else None
    return Turn(role, without_surrogates(content), calls, answered)


class PromptWriter:
    """Renders, tokenizes and bounds conversations for one model and one context length."""

    def __init__(self, weights: Weights, context_tokens: int, template: str | None = None) -> None:
        """Use `template` where one is given, the weights' own otherwise.

        Raises EngineUnavailableError when it is not valid, or too much to compile.
        """
        own = template or weights.metadata("tokenizer.chat_template")
        template = own or CHATML
        self.brings_template = own is not None
        self.tool_style: Style | None = tool_rules.style_of(template)
        self._weights = weights
        self._context = context_tokens
        self._neutralise = Neutraliser(weights.control_texts(template))
        self._most_bytes = context_tokens * min(weights.longest_piece, BYTES_PER_TOKEN)
        # Room for a template's own words; far beyond it a prompt can fit no context.
        self._most_characters = 2 * self._most_bytes + len(template) + 65_536
        self._renderer = Renderer(
            template, eos=weights.text_of(weights.eos), bos=weights.text_of(weights.bos)
        )

    def write(
        self, turns: Sequence[Turn], max_tokens: int, tools: Sequence[Tool] = ()
    ) -> list[int]:
        """Return the prompt's tokens; raise ContextOverflowError when no answer would fit."""
        return self._fitting(self.tokens(turns, tools), max_tokens)

    def write_text(self, text: str, max_tokens: int) -> list[int]:
        """Return the tokens of a text that is continued as it stands, without a template."""
        return self._fitting(self.text_tokens(text), max_tokens)

    def tokens(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> list[int]:
        """Return the tokens of the rendered conversation, the answer's opening included."""
        self._bound(_size(turns, tools))
        return self._tokens(self.render(turns, tools))

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, the opening one included, no other control token."""
        text = without_surrogates(text)
        self._bound(len(text.encode()))
        return self._tokens(self._neutralise(text))

    def _tokens(self, prompt: str) -> list[int]:
        tokens = self._weights.tokenize(prompt)
        # A template may write the opening token itself; a second one would confuse the model.
        if self._weights.adds_bos and tokens[:1] != [self._weights.bos]:
            tokens.insert(0, self._weights.bos)
        return tokens

    def render(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> str:
        """Return the conversation as the model's template writes it, messages made safe.

        Raises BadInputError in the template's words, EngineUnavailableError beyond its limits.
        """
        if self.tool_style is None and (tools or any(turn.uses_tools for turn in turns)):
            raise tool_rules.unknown_tools()
        safe = [replace(turn, content=self._neutralise(turn.content)) for turn in turns]
        try:
            return self._format(safe, tools)
        except RefusedByTemplateError as error:
            folded = _fold_system(safe)
            if folded is None:
                raise _refused(error) from error
        try:
            return self._format(folded, tools)
        except RefusedByTemplateError as error:
            raise _refused(error) from error

    def _format(self, turns: Sequence[Turn], tools: Sequence[Tool]) -> str:
        names = {call.id: call.name for turn in turns for call in turn.calls}
        messages = [self._message(turn, names) for turn in turns]
        offered = tool_rules.offered(tools, self._neutralise)
        return self._renderer.render(messages, self._most_characters, offered)

    def _message(self, turn: Turn, names: Mapping[str, str]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.calls:
            message["tool_calls"] = tool_rules.called(turn.calls, self.tool_style, self._neutralise)
        if turn.call_id is not None:
            message["tool_call_id"] = tool_rules.shown_id(turn.call_id, self.tool_style)
            message["name"] = names.get(turn.call_id, "tool")
        return message

    def _fitting(self, tokens: list[int], max_tokens: int) -> list[int]:
        if not tokens:
            # With nothing read, there are no scores from which a first token could be chosen.
            raise BadInputError("the text holds nothing that this model can read")
        least = min(max_tokens, LEAST_ANSWER, max(1, self._context // 8))
        if len(tokens) + least > self._context:
            raise ContextOverflowError(
                f"the conversation has {len(tokens)} tokens; this model holds {self._context}, "
                f"of which {least} are kept for the answer; nothing was asked"
            )
        return tokens

    def _bound(self, size: int) -> None:
        """Refuse what is too long by its bytes alone, so that a huge line costs nothing."""
        if size > self._most_bytes:
            raise ContextOverflowError(
                f"the conversation has {size} bytes; this model holds {self._context} tokens, "
                f"at most {self._most_bytes} bytes; nothing was asked"
            )


def _size(turns: Sequence[Turn], tools: Sequence[Tool]) -> int:
    """Return the bytes of everything that a caller brought."""
    calls = sum(len(call.arguments.encode()) for turn in turns for call in turn.calls)
    schemas = sum(
        len(tool.description.encode()) + len(json.dumps(tool.parameters)) for tool in tools
    )
    return sum(len(turn.content.encode()) for turn in turns) + calls + schemas


def _refused(error: Exception) -> BadInputError:
    return BadInputError(
        f"this model's chat template refuses the conversation: {error}",
        hint="let user and assistant take turns, and begin with the user",
    )


def _fold_system(turns: Sequence[Turn]) -> list[Turn] | None:
    """Move the system prompt into the first user message, for families that know no system."""
    if len(turns) < 2 or turns[0].role != "system" or turns[1].role != "user":
        return None
    return [replace(turns[1], content=f"{turns[0].content}\n\n{turns[1].content}"), *turns[2:]]
