"""What a program may send to /v1/chat/completions, checked field by field.

Fields that OpenAI knows and this appliance does not are ignored, as OpenAI ignores unknown ones;
what would change the meaning of the answer (several choices, tools as turns) is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import BadInputError
from appliance.inference.engine import Message, Role
from appliance.operations.questions import Question, SamplingWish

MAX_MESSAGES = 1_000
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 200


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class TextPart(Body):
    type: Literal["text"]
    text: str


class Turn(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def message(self) -> Message:
        """Return the turn as the engine sees it; `developer` is OpenAI's newer `system`."""
        text = (
            self.content
            if isinstance(self.content, str)
            else "".join(part.text for part in self.content)
        )
        role: Role = "system" if self.role == "developer" else self.role
        return Message(role, text)


class StreamOptions(Body):
    include_usage: bool = False


class Metadata(Body):
    purpose: str | None = None
    # A record number or an encounter; only a pseudonym of it is kept.
    patient: str | None = None


StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]


class Completion(Body):
    """The body of a chat completion; `n` may only be 1."""

    model: str = Field(max_length=200)
    messages: list[Turn] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_048_576)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_048_576)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**31), lt=2**32)
    stop: StopText | list[StopText] | None = None
    user: str | None = None
    n: Literal[1] | None = None
    metadata: Metadata | None = None

    @classmethod
    def read(cls, data: bytes) -> Completion:
        """Return the checked body; raise BadInputError naming the field, never quoting it."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadInputError(_first_fault(error)) from error
        except (RecursionError, UnicodeError) as error:
            raise BadInputError("the body is not JSON") from error

    def question(self, purpose: str | None) -> Question:
        """Return the question that the body asks; a purpose in a header goes before metadata."""
        return Question(
            messages=tuple(turn.message() for turn in self.messages),
            model=self.model,
            purpose=purpose or (self.metadata.purpose if self.metadata else None),
            sampling=SamplingWish(
                max_tokens=self.max_completion_tokens or self.max_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                seed=self.seed,
                stop=self._stops(),
            ),
            origin="api",
            patient=(self.metadata.patient if self.metadata else None) or None,
        )

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def _stops(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        stops = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        if len(stops) > MAX_STOPS:
            raise BadInputError(f"stop: at most {MAX_STOPS} texts")
        return stops


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if fault["type"] == "json_invalid":
        return "the body is not JSON"
    place = ".".join(str(step) for step in fault["loc"])
    words = "unexpected value" if fault["type"] == "value_error" else fault["msg"]
    return f"{place}: {words}" if place else f"the body: {words}"
