"""How a body from a program is read: field by field, with the field named and nothing quoted.

A field that neither this appliance nor the API it speaks knows is ignored. A field that would
change the meaning of the answer and cannot be heeded is declared as `Refused`, so that it is
never ignored in silence. The fields of each API are in modules of their own.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import PydanticCustomError, core_schema

from appliance.errors import BadInputError
from appliance.inference.engine import Tool
from appliance.operations.embedding import MAX_TEXTS

MAX_MESSAGES = 1_000
MAX_STOPS = 8
MAX_STOP_CHARACTERS = 200
MAX_TOOLS = 128
MAX_CALL_ID = 128
MAX_TOKENS = 1_048_576
MAX_TOP_K = 1_000
# What engines take: 0 to 2^32-2.
SEEDS = 2**32 - 1
ANY_OBJECT = '{"type":"object"}'
NO_PARAMETERS = '{"type":"object","properties":{}}'
TEXT_ONLY = "only text is read here; leave out pictures, sound and files"
# Faults whose words would quote what was sent.
QUOTING = frozenset({"union_tag_invalid", "value_error", "assertion_error"})


class Body(BaseModel):
    """A body or a part of one: unknown fields are ignored, types are taken as they stand."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Return the checked body; raise BadInputError naming the field, never quoting it."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BadInputError(_first_fault(error)) from error
        except (RecursionError, UnicodeError) as error:
            raise BadInputError("the body is not JSON") from error


def fault(words: str) -> PydanticCustomError:
    """Return an error of one field whose words are our own."""
    return PydanticCustomError("refused", "{words}", {"words": words})


class Refused:
    """A field that takes null and what means nothing; it refuses everything else, and says why."""

    def __init__(self, why: str, *neutral: object) -> None:
        self._why = why
        self._neutral = neutral

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "null", "description": f"Refused: {self._why}."}

    def _check(self, value: object) -> None:
        if value is not None and value not in self._neutral:
            raise fault(self._why)


def _text_only(value: object) -> object:
    if isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and part.get("type", "text") != "text":
                raise fault(TEXT_ONLY)
    return value


class TextPart(Body):
    type: Literal["text"]
    text: str


Content = Annotated[str | list[TextPart], BeforeValidator(_text_only)]
StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Stops = StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Text = Annotated[str, Field(min_length=1)]
Texts = Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]


def text_of(content: str | list[TextPart] | None) -> str:
    """Return the text of a message, whose parts belong together."""
    if isinstance(content, list):
        return "".join(part.text for part in content)
    return content or ""


def listed(value: str | list[str] | None) -> tuple[str, ...]:
    """Return one text or several as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def seed_of(number: int | None) -> int | None:
    """Return a seed that every engine takes; the same number always gives the same seed."""
    return None if number is None else number % SEEDS


def json_text(value: object) -> str:
    """Return JSON as text; raise BadInputError for what JSON has no form for (NaN)."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise BadInputError("a number in the body is not one that JSON has") from error


class Function(Body):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class OfferedTool(Body):
    type: Literal["function"] = "function"
    function: Function

    def tool(self) -> Tool:
        """Return the tool as the engine sees it."""
        function = self.function
        given = json_text(function.parameters) if function.parameters else NO_PARAMETERS
        return Tool(function.name, function.description or "", given)


def _distinct(tools: list[OfferedTool]) -> list[OfferedTool]:
    if len({tool.function.name for tool in tools}) != len(tools):
        raise fault("two tools have the same name")
    return tools


OfferedTools = Annotated[list[OfferedTool], Field(max_length=MAX_TOOLS), AfterValidator(_distinct)]


def _first_fault(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)[0]
    if found["type"] == "json_invalid":
        return "the body is not JSON"
    place = ".".join(str(step) for step in found["loc"])
    words = "unexpected value" if found["type"] in QUOTING else found["msg"]
    return f"{place}: {words}" if place else f"the body: {words}"
