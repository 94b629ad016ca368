"""Golden prompts: what a model is asked after its import, and what each answer must be like.

Guarantees: `parse` returns prompts only from a file that is within all bounds and whose every
check can be run in bounded time; an unknown key is refused, so that a typo cannot quietly drop a
check. The format is described in docs/reference/golden-prompts.md. Pure.
Not here: the checks (`properties`), asking a model and keeping results (operations).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from appliance.bundles import answer_schema, linear_regex
from appliance.bundles.linear_regex import UnusableCheckError
from appliance.bundles.refusals import UnsafeModelError

Role = Literal["user", "assistant"]

MAX_FILE_BYTES = 4 * 1_048_576
MAX_LINE_BYTES = 131_072
MAX_PROMPTS = 500
MAX_MESSAGES = 32
MAX_PROMPT_CHARACTERS = 65_536
MAX_WHY_CHARACTERS = 500
MAX_TEXTS = 100
MAX_TEXT_CHARACTERS = 500
MAX_TOKENS = 2_048
DEFAULT_TOKENS = 256
MAX_ANSWER_CHARACTERS = 32_768
# In a whole file: what has to be compiled takes milliseconds each, and an import waits for it.
MAX_PATTERNS = 500
MAX_SCHEMA_CHARACTERS = 131_072

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_KEYS = frozenset(
    {"id", "prompt", "messages", "system", "max_tokens", "expect", "required", "why"}
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One message of a golden prompt."""

    role: Role
    content: str


@dataclass(frozen=True)
class Expectation:
    """The properties an answer must have; what is empty or None is not checked."""

    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    json_schema: Mapping[str, Any] | None = None
    refusal: bool | None = None
    no_phi: tuple[str, ...] = ()
    no_new_numbers: bool = False
    min_characters: int | None = None
    max_characters: int | None = None


@dataclass(frozen=True)
class GoldenPrompt:
    """One question with its properties.

    `system` None means the system prompt of the site; an empty text means none. `required` marks
    a prompt whose failure weighs more than another's. `why` tells people what it is there for.
    """

    id: str
    turns: tuple[Turn, ...]
    system: str | None
    max_tokens: int
    expect: Expectation
    required: bool
    why: str

    @property
    def asked(self) -> str:
        """Return everything the model is told, in order: what an answer may draw on."""
        return "\n".join([self.system or "", *(turn.content for turn in self.turns)]).strip()


def parse(data: bytes) -> tuple[GoldenPrompt, ...]:
    """Return the 1 to 500 prompts of a file; raise UnsafeModelError naming the line at fault."""
    if len(data) > MAX_FILE_BYTES:
        raise UnsafeModelError(f"the golden prompts have more than {MAX_FILE_BYTES} bytes")
    prompts: dict[str, GoldenPrompt] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        if len(prompts) == MAX_PROMPTS:
            raise UnsafeModelError(f"there are more than {MAX_PROMPTS} golden prompts")
        try:
            prompt = _prompt(_object(line))
        except ValueError as error:
            raise UnsafeModelError(f"golden prompts, line {number}: {error}") from error
        if prompt.id in prompts:
            raise UnsafeModelError(f"golden prompts, line {number}: {prompt.id} is there already")
        prompts[prompt.id] = prompt
        _check_work(prompts.values())
    if not prompts:
        raise UnsafeModelError("there is no golden prompt in the file")
    return tuple(prompts.values())


def _check_work(prompts: Collection[GoldenPrompt]) -> None:
    """Refuse a file whose patterns and schemas together take too long to make ready."""
    if sum(len(prompt.expect.regex) for prompt in prompts) > MAX_PATTERNS:
        raise UnsafeModelError(f"the golden prompts have more than {MAX_PATTERNS} patterns")
    schemas = [prompt.expect.json_schema for prompt in prompts if prompt.expect.json_schema]
    if len(schemas) > 1 and len(json.dumps(schemas)) > MAX_SCHEMA_CHARACTERS:
        raise UnsafeModelError(
            f"the schemas of the golden prompts have more than {MAX_SCHEMA_CHARACTERS} characters"
        )


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise UnusableCheckError(f"the line has more than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(
            line.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise UnusableCheckError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise UnusableCheckError("it is not a JSON object")
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise UnusableCheckError("a key stands in it twice")
    return value


def _no_constant(name: str) -> None:
    raise UnusableCheckError(f"{name} is no JSON")


def _prompt(value: Mapping[str, Any]) -> GoldenPrompt:
    _known(value, _KEYS, "a prompt")
    name = value.get("id")
    if not isinstance(name, str) or _ID.fullmatch(name) is None:
        raise UnusableCheckError("id must have 1 to 64 characters a-z, 0-9 and -")
    system = value.get("system")
    if system is not None:
        system = _text(system, "system", MAX_PROMPT_CHARACTERS, low=0)
    required = value.get("required", False)
    if not isinstance(required, bool):
        raise UnusableCheckError("required must be true or false")
    turns = _turns(value)
    if sum(len(turn.content) for turn in turns) > MAX_PROMPT_CHARACTERS:
        raise UnusableCheckError(f"the messages have more than {MAX_PROMPT_CHARACTERS} characters")
    return GoldenPrompt(
        id=name,
        turns=turns,
        system=system,
        max_tokens=_count(value.get("max_tokens", DEFAULT_TOKENS), "max_tokens", 1, MAX_TOKENS),
        expect=_expectation(value.get("expect")),
        required=required,
        why=_text(value.get("why"), "why", MAX_WHY_CHARACTERS),
    )


def _turns(value: Mapping[str, Any]) -> tuple[Turn, ...]:
    if ("prompt" in value) == ("messages" in value):
        raise UnusableCheckError("it needs either prompt or messages")
    if "prompt" in value:
        return (Turn("user", _text(value["prompt"], "prompt", MAX_PROMPT_CHARACTERS)),)
    messages = value["messages"]
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise UnusableCheckError(f"messages must be a list of 1 to {MAX_MESSAGES} messages")
    turns = tuple(_turn(item) for item in messages)
    # Templates insist on turns that alternate, so a set that does not is at fault, not the model.
    wanted: tuple[Role, Role] = ("user", "assistant")
    if any(turn.role != wanted[at % 2] for at, turn in enumerate(turns)) or len(turns) % 2 == 0:
        raise UnusableCheckError("messages must alternate, beginning and ending with the user")
    return turns


def _turn(item: object) -> Turn:
    if not isinstance(item, dict) or item.keys() != {"role", "content"}:
        raise UnusableCheckError("each message must be an object of role and content")
    content = _text(item["content"], "content", MAX_PROMPT_CHARACTERS)
    if item["role"] not in ("user", "assistant"):
        raise UnusableCheckError("the role of a message must be user or assistant")
    return Turn(item["role"], content)


_EXPECTED = frozenset(Expectation.__annotations__)


def _expectation(value: object) -> Expectation:
    if not isinstance(value, dict) or not value:
        raise UnusableCheckError("expect must be an object with at least one property")
    _known(value, _EXPECTED, "expect")
    schema = value.get("json_schema")
    if schema is not None:
        answer_schema.check(schema)
    for name in ("refusal", "no_new_numbers"):
        if not isinstance(value.get(name, False), bool):
            raise UnusableCheckError(f"{name} must be true or false")
    if value.get("no_new_numbers") is False:
        raise UnusableCheckError("no_new_numbers is true or left out")
    low, high = (_limit(value, name) for name in ("min_characters", "max_characters"))
    if low is not None and high is not None and low > high:
        raise UnusableCheckError("min_characters is more than max_characters")
    return Expectation(
        contains=_texts(value, "contains"),
        excludes=_texts(value, "excludes"),
        regex=_patterns(value),
        json_schema=schema,
        refusal=value.get("refusal"),
        no_phi=_texts(value, "no_phi"),
        no_new_numbers=value.get("no_new_numbers", False),
        min_characters=low,
        max_characters=high,
    )


def _patterns(value: Mapping[str, Any]) -> tuple[str, ...]:
    given = value.get("regex")
    patterns = _texts({"regex": [given] if isinstance(given, str) else given}, "regex")
    for pattern in patterns:
        linear_regex.check(pattern)
    return patterns


def _texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of texts that each hold a letter or digit; absent means none."""
    items = value.get(name)
    if items is None:
        return ()
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_TEXTS:
        raise UnusableCheckError(f"{name} must be a list of 1 to {MAX_TEXTS} texts")
    texts = tuple(_text(item, name, MAX_TEXT_CHARACTERS) for item in items)
    if name == "no_phi" and not all(any(map(str.isalnum, text)) for text in texts):
        raise UnusableCheckError("each text of no_phi must hold a letter or a digit")
    return texts


def _limit(value: Mapping[str, Any], name: str) -> int | None:
    if name not in value:
        return None
    return _count(value[name], name, 1, MAX_ANSWER_CHARACTERS)


def _count(value: object, name: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise UnusableCheckError(f"{name} must be a whole number from {low} to {high}")
    return value


def _text(value: object, name: str, most: int, low: int = 1) -> str:
    if not isinstance(value, str) or not low <= len(value.strip()) or len(value) > most:
        raise UnusableCheckError(f"{name} must be a text of {low} to {most} characters")
    # A lone surrogate can be written in JSON but neither asked, stored nor shown.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UnusableCheckError(f"{name} holds half of a surrogate pair")
    return value


def _known(value: Mapping[str, Any], names: frozenset[str], what: str) -> None:
    unknown = sorted(set(value) - names)
    if unknown:
        raise UnusableCheckError(f"{what} has no key {unknown[0][:40]!r}")
