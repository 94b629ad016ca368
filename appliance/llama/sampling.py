"""From an OpenAI-style request body to checked sampling parameters.

Pure. Every value is either used as it stands or refused; nothing is ignored in silence. Only
`max_tokens` is lowered to what the site allows, since clients ask for more as a habit; such an
answer then ends with `length`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import BadInputError

MAX_TOKENS = 131_072
MAX_STOPS = 8
MAX_STOP_CHARACTERS = 256
# llama.cpp reads 2^32 - 1 as "choose one at random", so it is no seed.
MAX_SEED = 2**32 - 2

# What this engine does not do, and the values that mean "leave it off".
UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "tools": (None, []),
    "functions": (None, []),
    "tool_choice": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "audio": (None,),
    "modalities": (None, ["text"]),
}


@dataclass(frozen=True)
class Limits:
    """The site's settings: the longest answer, and the temperature when none is asked for."""

    max_answer_tokens: int = 1024
    temperature: float = 0.2


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; `seed` None is a fresh random one."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]


def parse(body: Mapping[str, object], limits: Limits) -> Sampling:
    """Return the checked parameters in `body`; raise BadInputError naming the one at fault."""
    for name, neutral in UNSUPPORTED.items():
        if body.get(name) not in neutral:
            raise BadInputError(f"{name} is not supported by this engine", hint=f"leave {name} out")
    return Sampling(
        max_tokens=min(_max_tokens(body, limits), limits.max_answer_tokens),
        temperature=_number(body, "temperature", limits.temperature, 0.0, 2.0),
        top_p=_top_p(body),
        seed=_seed(body),
        stop=_stop(body.get("stop")),
    )


def _max_tokens(body: Mapping[str, object], limits: Limits) -> int:
    # OpenAI renamed the field; clients of both ages are about.
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return _whole(body[name], name, 1, MAX_TOKENS)
    return limits.max_answer_tokens


def _top_p(body: Mapping[str, object]) -> float:
    value = _number(body, "top_p", 1.0, 0.0, 1.0)
    if value == 0.0:
        raise BadInputError("top_p must be more than 0 and at most 1")
    return value


def _seed(body: Mapping[str, object]) -> int | None:
    value = body.get("seed")
    return None if value is None else _whole(value, "seed", 0, MAX_SEED)


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        raise BadInputError(f"stop must be a text or a list of at most {MAX_STOPS} texts")
    for stop in stops:
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_CHARACTERS:
            raise BadInputError(
                f"each stop must be a text of 1 to {MAX_STOP_CHARACTERS} characters"
            )
    return tuple(stops)


def _whole(value: object, name: str, low: int, high: int) -> int:
    # bool is an int to Python; `seed: true` is a mistake all the same.
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadInputError(f"{name} must be a whole number from {low} to {high}")
    return value


def _number(
    body: Mapping[str, object], name: str, default: float, low: float, high: float
) -> float:
    value = body.get(name)
    if value is None:
        return default
    # `low <= value` is false for NaN, which json.loads lets through.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadInputError(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)
