"""Tools that a caller offers a model, and the forms in which models ask for them.

Pure; nothing here runs a tool. Guarantee: what is offered is bounded and well formed, and a
forced call, written under `forced_grammar`, names an offered tool and has arguments that follow
the tool's schema. Which form a model knows is read off its chat template: Hermes and Qwen
(`<tool_call>{...}</tool_call>`), Llama 3 (a bare JSON object), Mistral (`[TOOL_CALLS][...]`).

Not here: finding calls in an answer (`tools_reading`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from appliance.errors import BadInputError
from appliance.llama.grammars.grammar import rule_of
from appliance.llama.grammars.rules import Item, Rules, Text
from appliance.llama.text import without_surrogates

MAX_TOOLS = 128
MAX_TOOL_BYTES = 65_536
MAX_OFFER_BYTES = 524_288
MAX_CALLS = 128
MAX_ID = 128
MAX_JSON_DEPTH = 64
NAME = re.compile("[A-Za-z0-9_-]{1,64}")
Style = Literal["hermes", "llama", "mistral"]
Mode = Literal["auto", "none", "required"]


@dataclass(frozen=True)
class Tool:
    """A tool as it is offered; `parameters` is a JSON Schema for an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Offer:
    """What may be called. `named`: exactly this one has to be. `one`: at most one call."""

    tools: tuple[Tool, ...] = ()
    mode: Mode = "auto"
    named: str | None = None
    one: bool = False

    @property
    def forced(self) -> bool:
        return self.mode == "required" or self.named is not None


@dataclass(frozen=True)
class Call:
    """A model's wish that its caller run a tool; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


NOTHING = Offer()


def parse_offer(body: Mapping[str, object]) -> Offer:
    """Return what a body offers; nothing where `tool_choice` is none. Raises BadInputError."""
    listed = body.get("tools") or []
    if not isinstance(listed, list) or len(listed) > MAX_TOOLS:
        raise BadInputError(f"tools must be a list of at most {MAX_TOOLS} tools")
    tools = tuple(map(_tool, listed))
    names = {tool.name for tool in tools}
    if len(names) < len(tools):
        raise BadInputError("two tools have the same name")
    if sum(len(json.dumps(tool.parameters)) + len(tool.description) for tool in tools) > (
        MAX_OFFER_BYTES
    ):
        raise BadInputError(f"tools have more than {MAX_OFFER_BYTES} bytes together")
    mode, named = _choice(body.get("tool_choice"), names)
    parallel = body.get("parallel_tool_calls")
    if parallel not in (None, True, False):
        raise BadInputError("parallel_tool_calls must be true or false")
    return NOTHING if mode == "none" else Offer(tools, mode, named, parallel is False)


def _choice(value: object, names: set[str]) -> tuple[Mode, str | None]:
    if isinstance(value, Mapping):
        function = value.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if value.get("type") != "function" or name not in names:
            raise BadInputError("tool_choice names a tool that is not offered")
        return "required", str(name)
    if value not in (None, "auto", "none", "required"):
        raise BadInputError("tool_choice must be auto, none, required, or name one function")
    if value == "required" and not names:
        raise BadInputError("tool_choice is required, and no tools are offered")
    return ("none" if value == "none" else "required" if value == "required" else "auto"), None


def _tool(item: object) -> Tool:
    function = item.get("function") if isinstance(item, Mapping) else None
    if (
        not isinstance(item, Mapping)
        or item.get("type") != "function"
        or not isinstance(function, Mapping)
    ):
        raise BadInputError("each tool must be of type function, with the function's description")
    name, description = function.get("name"), function.get("description")
    parameters = function.get("parameters") or {}
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadInputError("a tool's name must be 1 to 64 letters, digits, _ and -")
    if description is not None and not isinstance(description, str):
        raise BadInputError(f"the description of {name} must be a text")
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise BadInputError(f"the parameters of {name} must be a schema of type object")
    text = without_surrogates(description or "")
    if len(text.encode()) + _json_size(parameters, name) > MAX_TOOL_BYTES:
        raise BadInputError(f"the tool {name} has more than {MAX_TOOL_BYTES} bytes")
    return Tool(name, text, {"type": "object", "properties": {}, **parameters})


def _json_size(value: object, name: str) -> int:
    _require_shallow(value, name)
    try:
        return len(json.dumps(value, allow_nan=False))
    except ValueError as error:
        raise BadInputError(f"the parameters of {name} are not JSON") from error


def _require_shallow(value: object, name: str) -> None:
    level: list[object] = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner: list[object] = []
        for item in level:
            inner += item.values() if isinstance(item, Mapping) else ()
            inner += item if isinstance(item, list) else ()
        level = inner
        if not level:
            return
    raise BadInputError(f"the JSON of {name} is nested too deeply")


def parse_calls(value: object) -> tuple[Call, ...]:
    """Return the calls of an earlier answer, as a conversation brings them back."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_CALLS:
        raise BadInputError(f"tool_calls must be a list of at most {MAX_CALLS} calls")
    return tuple(map(_call, value))


def _call(item: object) -> Call:
    function = item.get("function") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(function, Mapping):
        raise BadInputError("each of tool_calls must have an id and a function")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadInputError("a tool's name must be 1 to 64 letters, digits, _ and -")
    found = read_arguments(arguments)
    if found is None:
        raise BadInputError(f"the arguments of {name} must be a JSON object as text")
    _require_shallow(json.loads(found), name)
    return Call(parse_id(item.get("id")), name, found)


def parse_id(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID or not value.isprintable():
        raise BadInputError(f"the id of a tool call must be a text of 1 to {MAX_ID} characters")
    return without_surrogates(value)


def read_arguments(value: object) -> str | None:
    """Return a JSON object as text, given as one or as a text of one; None for anything else."""
    if isinstance(value, str):
        value = read_json(value)
    if not isinstance(value, dict):
        return None
    return without_surrogates(json.dumps(value, ensure_ascii=False))


def read_json(text: str) -> object:
    """Return the value of a JSON text, None when it is none; what JSON does not know is none."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> object:
    raise ValueError(name)


def style_of(template: str) -> Style | None:
    """Return the form in which a model with this template asks for tools; None: it knows none."""
    if not re.search(r"\btools\b", template):
        return None
    if "[TOOL_CALLS]" in template:
        # Newer ones put the name before the arguments, with a mark that an answer does not show.
        return None if "[ARGS]" in template else "mistral"
    if "<tool_call>" in template:
        return None if "<function=" in template else "hermes"
    if "parameters" in template and ("ipython" in template or "python_tag" in template):
        return "llama"
    return None


def unknown_tools() -> BadInputError:
    return BadInputError(
        "this model's chat template knows no tools, or not in a form that can be read",
        hint="leave tools out, or use a model that knows them",
    )


def offered(tools: Sequence[Tool], safe: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return tools as chat templates expect them, every text of theirs made safe."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": safe(tool.description),
                "parameters": safe_json(tool.parameters, safe),
            },
        }
        for tool in tools
    ]


def called(calls: Sequence[Call], style: Style | None, safe: Callable[[str], str]) -> list[Any]:
    """Return earlier calls as chat templates expect them: arguments as an object."""
    return [
        {
            "id": shown_id(call.id, style),
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": safe_json(json.loads(call.arguments), safe),
            },
        }
        for call in calls
    ]


def shown_id(identifier: str, style: Style | None) -> str:
    """Return an id that is safe in a prompt; Mistral's templates refuse all but nine characters."""
    digest = hashlib.sha256(identifier.encode()).hexdigest()
    return digest[:9] if style == "mistral" else f"call_{digest[:24]}"


def safe_json(value: Any, safe: Callable[[str], str]) -> Any:
    """Return a JSON value with all its texts and names made safe."""
    if isinstance(value, str):
        return safe(without_surrogates(value))
    if isinstance(value, Mapping):
        return {
            safe(without_surrogates(str(key))): safe_json(item, safe) for key, item in value.items()
        }
    return [safe_json(item, safe) for item in value] if isinstance(value, list) else value


def forced_grammar(offer: Offer, style: Style) -> str:
    """Return a grammar for exactly one call of what is forced; raise BadInputError by keyword."""
    rules = Rules()
    field = "parameters" if style == "llama" else "arguments"
    before, after = {
        "hermes": ("<tool_call>\n", "\n</tool_call>"),
        "llama": ("", ""),
        "mistral": ("[", "]"),
    }[style]
    wanted = [tool for tool in offer.tools if offer.named in (None, tool.name)]
    ways: list[list[Item]] = []
    for tool in wanted:
        begin = f'{{"name": "{tool.name}", "{field}": '
        ways.append([Text(begin), rule_of(tool.parameters, rules), Text("}")])
    return rules.text(rules.add([Text(before), rules.add(*ways), Text(after)]))
