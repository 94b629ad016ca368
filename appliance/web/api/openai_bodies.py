"""What a program may send to /v1/chat/completions, checked field by field.

Ignored as harmless: `store`, `service_tier`, `reasoning_effort`, `prediction`, `user`, `name` of
a message, `strict` of a schema (it is always followed), `index` of a call, and whatever OpenAI
does not know either.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from appliance.errors import BadInputError
from appliance.inference.engine import Message, ToolCall, Tools
from appliance.operations.questions import Question, SamplingWish
from appliance.web.api.bodies import (
    ANY_OBJECT,
    MAX_CALL_ID,
    MAX_MESSAGES,
    MAX_TOKENS,
    MAX_TOP_K,
    Body,
    Content,
    ModelName,
    OfferedTools,
    Refused,
    Seed,
    Stops,
    fault,
    json_text,
    listed,
    seed_of,
    text_of,
)

MAX_ALTERNATIVES = 20
MAX_BIASES = 1_024


class Instruction(Body):
    # `developer` is OpenAI's newer word for `system`.
    role: Literal["system", "developer"]
    content: Content

    def message(self) -> Message:
        return Message("system", text_of(self.content))


class UserTurn(Body):
    role: Literal["user"]
    content: Content

    def message(self) -> Message:
        return Message("user", text_of(self.content))


def _object_text(arguments: str) -> str:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise fault("arguments are the text of a JSON object") from error
    if not isinstance(value, dict):
        raise fault("arguments are the text of a JSON object")
    return arguments or "{}"


class CalledFunction(Body):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: Annotated[str, AfterValidator(_object_text)]


class Call(Body):
    id: Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID)]
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantTurn(Body):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[Call] | None = None
    function_call: Annotated[None, Refused("send tool_calls instead")] = None

    def message(self) -> Message:
        calls = tuple(
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in self.tool_calls or []
        )
        return Message("assistant", text_of(self.content), calls)


class ToolTurn(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID)]

    def message(self) -> Message:
        return Message("tool", text_of(self.content), tool_call_id=self.tool_call_id)


Turn = Annotated[Instruction | UserTurn | AssistantTurn | ToolTurn, Field(discriminator="role")]


class AnyText(Body):
    type: Literal["text"]


class AnyJson(Body):
    type: Literal["json_object"]


class NamedSchema(Body):
    name: str | None = None
    # `schema` itself is taken in pydantic's models.
    wanted: dict[str, Any] = Field(alias="schema")


class SchemaJson(Body):
    type: Literal["json_schema"]
    json_schema: NamedSchema


Format = Annotated[AnyText | AnyJson | SchemaJson, Field(discriminator="type")]


class NamedFunction(Body):
    name: str


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class StreamOptions(Body):
    include_usage: bool | None = None


class Metadata(Body):
    purpose: str | None = None
    # A record number or an encounter; only a pseudonym of it is kept.
    patient: str | None = None


TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]


class Asked(Body):
    """What every request for text may say: the model, the sampling, whom it is about.

    `top_k`, `min_p` and the penalties on repetition are llama-server's and vLLM's additions.
    """

    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=MAX_TOP_K)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: Seed | None = None
    stop: Stops | None = None
    repeat_penalty: float | None = Field(default=None, gt=0, le=10)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[TokenId, Bias] | None = Field(default=None, max_length=MAX_BIASES)
    n: Literal[1] | None = None
    metadata: Metadata | None = None

    def purpose(self, header: str | None) -> str | None:
        """Return the purpose of use; one in a header goes before metadata."""
        return header or (self.metadata.purpose if self.metadata else None)

    @property
    def patient(self) -> str | None:
        return (self.metadata.patient if self.metadata else None) or None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def wish(self, most: int | None, logprobs: int | None, schema: str | None) -> SamplingWish:
        """Return what is wished of the sampling."""
        biases = ((int(token), bias) for token, bias in (self.logit_bias or {}).items())
        repeated = self.repeat_penalty
        return SamplingWish(
            max_tokens=most,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed_of(self.seed),
            stop=listed(self.stop),
            top_k=None if self.top_k is None else max(0, self.top_k),
            min_p=self.min_p,
            repeat_penalty=self.repetition_penalty if repeated is None else repeated,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias=tuple(sorted(biases)),
            logprobs=logprobs,
            schema=schema,
        )


class Chat(Asked):
    """The body of a chat completion."""

    messages: list[Turn] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_ALTERNATIVES)
    response_format: Format | None = None
    tools: OfferedTools | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[None, Refused("send tools instead", [])] = None
    function_call: Annotated[None, Refused("send tool_choice instead", "none", "auto")] = None
    audio: Annotated[None, Refused("answers are text")] = None
    modalities: Annotated[None, Refused("answers are text", ["text"])] = None
    web_search_options: Annotated[None, Refused("nothing is fetched from anywhere")] = None

    def question(self, purpose: str | None) -> Question:
        """Return the question that the body asks."""
        most = self.max_completion_tokens or self.max_tokens
        return Question(
            messages=tuple(turn.message() for turn in self.messages),
            model=self.model,
            purpose=self.purpose(purpose),
            sampling=self.wish(most, self._alternatives(), self._schema()),
            origin="api",
            patient=self.patient,
            tools=self._tools(),
        )

    def _alternatives(self) -> int | None:
        if not self.logprobs:
            if self.top_logprobs:
                raise BadInputError("top_logprobs: it needs logprobs to be true")
            return None
        return self.top_logprobs or 0

    def _schema(self) -> str | None:
        if isinstance(self.response_format, SchemaJson):
            return json_text(self.response_format.json_schema.wanted)
        return ANY_OBJECT if isinstance(self.response_format, AnyJson) else None

    def _tools(self) -> Tools:
        offered = tuple(tool.tool() for tool in self.tools or [])
        choice = self.tool_choice or "auto"
        named = choice.function.name if isinstance(choice, NamedTool) else None
        if not offered and (named or choice == "required"):
            raise BadInputError("tool_choice: no tools were offered")
        if named and named not in {tool.name for tool in offered}:
            raise BadInputError("tool_choice: no tool of that name was offered")
        mode = "required" if isinstance(choice, NamedTool) else choice
        return Tools(offered, mode, named, parallel=self.parallel_tool_calls is not False)
