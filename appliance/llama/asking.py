"""What a body asks of a model: read, checked against the model, and put into its queue.

Guarantee: nothing is queued that contradicts itself or that the model cannot do; a forced call
of a tool and an answer by a schema are held to their grammar from the first token on.
Not here: HTTP, and what an answer looks like (`replies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from appliance.clock import new_id
from appliance.errors import BadInputError
from appliance.llama import sampling as sampling_rules
from appliance.llama import tools as tool_rules
from appliance.llama.batching.prefixes import Prompt
from appliance.llama.embeddings import parse_texts
from appliance.llama.events import Event
from appliance.llama.model import Model
from appliance.llama.prompt import Turn, parse_turns
from appliance.llama.sampling import Limits, Sampling
from appliance.llama.tools import Offer
from appliance.llama.tools_reading import CallReader, with_calls
from appliance.llama.worker import Job, Worker

MAX_PERSON = 256


@dataclass(frozen=True)
class Asked:
    """One request: a conversation with what may be called, or a text to be continued."""

    sampling: Sampling
    person: str
    turns: tuple[Turn, ...] = ()
    offer: Offer = tool_rules.NOTHING
    text: str | None = None

    def read(self, events: Iterator[Event], model: Model) -> Iterator[Event]:
        """Return the events of the answer, calls of tools found in it."""
        style = model.prompts.tool_style
        if not self.offer.tools or style is None:
            return events
        names = {tool.name for tool in self.offer.tools}
        reader = CallReader(style, names, lambda: new_id("call"), one=self.offer.one)
        return with_calls(events, reader)


def read_chat(body: Mapping[str, object], limits: Limits) -> Asked:
    """Return what a body of chat completions asks; raise BadInputError naming what is wrong."""
    sampling = sampling_rules.parse(body, limits)
    offer = tool_rules.parse_offer(body)
    if offer.tools and sampling.grammar:
        raise BadInputError(
            "response_format and tools cannot be used together",
            hint="set tool_choice to none, or leave response_format out",
        )
    if offer.forced and sampling.stop:
        raise BadInputError(
            "stop cannot be used with a forced tool_choice: it might end the call in its middle",
            hint="leave stop out",
        )
    return Asked(sampling, _person(body), parse_turns(body.get("messages")), offer)


def read_completion(body: Mapping[str, object], limits: Limits) -> Asked:
    """Return what a body of completions asks; raise BadInputError naming what is wrong."""
    if body.get("tools"):
        raise BadInputError("tools need a conversation", hint="use chat completions")
    return Asked(sampling_rules.parse(body, limits), _person(body), text=_text(body))


def read_embedding(body: Mapping[str, object]) -> tuple[str, ...]:
    """Return the texts whose vectors are asked for."""
    if body.get("encoding_format") not in (None, "float"):
        raise BadInputError("encoding_format must be float")
    if body.get("dimensions") is not None:
        raise BadInputError("dimensions cannot be chosen", hint="leave dimensions out")
    _person(body)
    return parse_texts(body.get("input"))


def submitted(worker: Worker, model: Model, asked: Asked) -> Job:
    """Queue a request; raise what the model has against it."""
    sampling, offer = asked.sampling, asked.offer
    if offer.forced and model.prompts.tool_style is not None:
        grammar = tool_rules.forced_grammar(offer, model.prompts.tool_style)
        sampling = replace(sampling, grammar=grammar)
    return worker.submit(model, _prompt(model, asked), sampling, asked.person)


def counted(model: Model, body: Mapping[str, object]) -> int:
    """Return the exact number of tokens of a conversation, with tools or without, or of a text."""
    if "prompt" in body:
        return len(model.prompts.text_tokens(_text(body)))
    turns, offer = parse_turns(body.get("messages")), tool_rules.parse_offer(body)
    return len(model.prompts.tokens(turns, offer.tools))


def _prompt(model: Model, asked: Asked) -> Prompt:
    most = asked.sampling.max_tokens
    if asked.text is not None:
        return Prompt(tuple(model.prompts.write_text(asked.text, most)))
    if asked.offer.tools:
        # Whose tools they are is not known, so no other person shares what they make up.
        return Prompt(tuple(model.prompts.write(asked.turns, most, asked.offer.tools)))
    return model.prepare(asked.turns, asked.sampling)


def _text(body: Mapping[str, object]) -> str:
    value = body.get("prompt")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value:
        raise BadInputError("prompt must be one text that is not empty")
    return value


def _person(body: Mapping[str, object]) -> str:
    value = body.get("user")
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_PERSON:
        raise BadInputError(f"user must be a text of at most {MAX_PERSON} characters")
    return value
