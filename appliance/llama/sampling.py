"""From an OpenAI-style request body to checked sampling parameters.

Pure. Every value is either used as it stands or refused; nothing is ignored in silence. Only
`max_tokens` is lowered to what the site allows, since clients ask for more as a habit; such an
answer then ends with `length`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import BadInputError
from appliance.llama.grammars import grammar
from appliance.llama.logprobs import MOST_TOP

MAX_TOKENS = 131_072
MAX_STOPS = 8
MAX_STOP_CHARACTERS = 256
# llama.cpp reads 2^32 - 1 as "choose one at random", so it is no seed.
MAX_SEED = 2**32 - 2

LEAST_TEMPERATURE = 1e-6
# llama.cpp's own default: tokens less than 5 % as likely as the best one are never chosen.
MIN_P = 0.05
MAX_TOP_K = 1_000
MAX_BIASES = 1_024
MAX_BIAS = 100.0
# No vocabulary is larger; whether a token is in this model's, `sampler` knows.
MAX_TOKEN = 2**31 - 1
_NUMBER = re.compile("[0-9]{1,10}")

# What this engine does not do, and the values that mean "leave it off".
UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "functions": (None, []),
    "function_call": (None, "none"),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "web_search_options": (None,),
}


@dataclass(frozen=True)
class Limits:
    """The site's settings: the longest answer, and the temperature when none is asked for."""

    max_answer_tokens: int = 1024
    temperature: float = 0.2


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. `temperature` 0 is greedy; `seed` None is a fresh random one.

    `top_k` 0 leaves every token in. `logit_bias`: (token, what is added to its score).
    `logprobs`: with so many alternatives (0: the chosen token alone). `grammar`: GBNF.
    """

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    top_k: int = 0
    min_p: float = MIN_P
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    grammar: str | None = None


def parse(body: Mapping[str, object], limits: Limits) -> Sampling:
    """Return the checked parameters in `body`; raise BadInputError naming the one at fault."""
    for name, neutral in UNSUPPORTED.items():
        if body.get(name) not in neutral:
            raise BadInputError(f"{name} is not supported by this engine", hint=f"leave {name} out")
    sampling = Sampling(
        max_tokens=min(_max_tokens(body, limits), limits.max_answer_tokens),
        temperature=_temperature(body, limits),
        top_p=_top_p(body),
        seed=_seed(body),
        stop=_stop(body.get("stop")),
        top_k=_top_k(body),
        min_p=_number(body, "min_p", MIN_P, 0.0, 1.0),
        repeat_penalty=_number(body, "repeat_penalty", 1.0, 0.1, 2.0),
        frequency_penalty=_number(body, "frequency_penalty", 0.0, -2.0, 2.0),
        presence_penalty=_number(body, "presence_penalty", 0.0, -2.0, 2.0),
        logit_bias=_logit_bias(body.get("logit_bias")),
        logprobs=_logprobs(body),
        grammar=grammar.of_response_format(body.get("response_format")),
    )
    if sampling.grammar and sampling.stop:
        raise BadInputError(
            "stop cannot be used with response_format: it might end the answer in its middle",
            hint="leave stop out",
        )
    return sampling


def _max_tokens(body: Mapping[str, object], limits: Limits) -> int:
    # OpenAI renamed the field; clients of both ages are about.
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return _whole(body[name], name, 1, MAX_TOKENS)
    return limits.max_answer_tokens


def _temperature(body: Mapping[str, object], limits: Limits) -> float:
    """Return 0 for what is so low that only the likeliest token is chosen all the same.

    Scores divided by less are too large for a number, and then any token might come out.
    """
    value = _number(body, "temperature", limits.temperature, 0.0, 2.0)
    return value if value >= LEAST_TEMPERATURE else 0.0


def _top_p(body: Mapping[str, object]) -> float:
    value = _number(body, "top_p", 1.0, 0.0, 1.0)
    if value == 0.0:
        raise BadInputError("top_p must be more than 0 and at most 1")
    return value


def _top_k(body: Mapping[str, object]) -> int:
    value = body.get("top_k")
    return 0 if value is None else _whole(value, "top_k", 0, MAX_TOP_K)


def _logit_bias(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or len(value) > MAX_BIASES:
        raise BadInputError(f"logit_bias must be an object of at most {MAX_BIASES} numbers")
    return tuple((_token(name), _number(value, name, 0.0, -MAX_BIAS, MAX_BIAS)) for name in value)


def _token(name: object) -> int:
    if not isinstance(name, str) or not _NUMBER.fullmatch(name) or int(name) > MAX_TOKEN:
        raise BadInputError('logit_bias names tokens by their numbers, such as {"42": -100}')
    return int(name)


def _logprobs(body: Mapping[str, object]) -> int | None:
    """Return the number of alternatives: of `top_logprobs`, or of a number in `logprobs` itself.

    Chat completions say `true` and a number apart; completions say the number alone.
    """
    wanted, top = body.get("logprobs"), body.get("top_logprobs")
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return _whole(wanted, "logprobs", 0, MOST_TOP)
    if wanted not in (None, True, False):
        raise BadInputError("logprobs must be true, false or a number")
    count = 0 if top is None else _whole(top, "top_logprobs", 0, MOST_TOP)
    if count and not wanted:
        raise BadInputError("top_logprobs needs logprobs to be true")
    return count if wanted else None


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
