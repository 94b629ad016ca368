"""What is sent to Ollama's `/api/generate`, and what its stream means.

Pure. Guarantee: what Ollama does not offer is refused, never ignored; what it would choose by
itself (a repeat penalty, cutting a long prompt, moving the context on) is said outright. A stream
that ends without Ollama's last word is an error. Source: `api/types.go` of Ollama 0.12.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from appliance.errors import BadInputError, EngineUnavailableError
from appliance.inference.engine import Delta, Finished, FinishReason, Generation, Progress, Sampling
from appliance.inference.events import EngineSaidError
from appliance.inference.openai_body import ANY_OBJECT, schema_value
from appliance.inference.pieces import count_in, printable, token_logprob

MAX_ALTERNATIVES = 20
# The model stays loaded until it is let go.
FOR_EVER = -1


def generate_body(
    name: str, prompt: str, sampling: Sampling, load: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of a request; `load` are the options that the model was loaded with."""
    body: dict[str, Any] = {
        "model": name,
        "prompt": prompt,
        "raw": True,
        "stream": True,
        "truncate": False,
        "shift": False,
        "keep_alive": FOR_EVER,
        "options": {**load, **_options(sampling)},
    }
    if sampling.schema is not None:
        schema = schema_value(sampling.schema)
        body["format"] = "json" if schema == ANY_OBJECT else schema
    if sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    return body


def require_possible(request: Generation) -> None:
    """Raise BadInputError for what Ollama cannot do."""
    sampling = request.sampling
    if request.tools.offered:
        raise BadInputError(
            "tools cannot be used with Ollama here", hint="use engine.kind llama for tools"
        )
    if sampling.logit_bias:
        raise BadInputError("Ollama knows no logit_bias", hint="leave logit_bias out")
    if sampling.logprobs is not None and sampling.logprobs > MAX_ALTERNATIVES:
        raise BadInputError(f"Ollama tells at most {MAX_ALTERNATIVES} alternatives per token")
    if request.prompt == "":
        raise BadInputError("the prompt is empty; there is nothing to continue")


def _options(sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": list(sampling.stop),
        # Its own choice would be 1.1.
        "repeat_penalty": sampling.repeat_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    if sampling.top_k:
        options["top_k"] = sampling.top_k
    if sampling.min_p is not None:
        options["min_p"] = sampling.min_p
    if sampling.seed is not None:
        options["seed"] = sampling.seed
    return options


def progress(lines: Iterable[str], name: str) -> Iterator[Progress]:
    """Yield what the lines of one answer mean; the last value is `Finished`."""
    for line in lines:
        if not line.strip():
            continue
        said = _object(line)
        if said.get("model", name) != name:
            raise EngineUnavailableError("another model answered; its answer is not used")
        piece = _piece(said)
        if piece.text or piece.logprobs:
            yield piece
        if said.get("done") is True:
            reason: FinishReason = "length" if said.get("done_reason") == "length" else "stop"
            yield Finished(
                reason, count_in(said, "prompt_eval_count"), count_in(said, "eval_count")
            )
            return
    # Also what it does by itself after thirty equal tokens in a row.
    raise EngineUnavailableError("Ollama stopped in the middle of the answer")


def _object(line: str) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EngineUnavailableError("Ollama sent a line that is not JSON") from error
    if not isinstance(said, dict):
        raise EngineUnavailableError("Ollama sent a line that is not an object")
    if "error" in said:
        raise EngineSaidError(said)
    return said


def _piece(said: Mapping[str, Any]) -> Delta:
    try:
        text = said.get("response") or ""
        logprobs = tuple(
            token_logprob(item, tuple(map(token_logprob, item.get("top_logprobs") or ())))
            for item in said.get("logprobs") or ()
        )
        return Delta(printable(text), logprobs)
    except (TypeError, AttributeError, KeyError, ValueError, OverflowError) as error:
        raise EngineUnavailableError("Ollama sent a line of another shape") from error
