"""How likely a model found each token of its answer, and what it would have written instead.

Pure. Natural logarithms over the whole vocabulary, from the model's own scores: before
temperature, penalties or a grammar change them. Source of the shape: OpenAI's API reference,
`logprobs.content` of chat completions and `logprobs` of completions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from appliance.llama.events import TokenLogprob

# What stands for minus infinity, which JSON cannot write.
IMPOSSIBLE = -9999.0
MOST_TOP = 20

Logits = NDArray[np.float32]


def of_token(logits: Logits, token: int, top: int, piece: Callable[[int], bytes]) -> TokenLogprob:
    """Return the chosen token's logarithm and those of the `top` likeliest, best first."""
    total = log_sum(logits)
    likeliest = tuple(_one(logits, other, total, piece) for other in best(logits, top))
    chosen = _one(logits, token, total, piece)
    return TokenLogprob(chosen.token, chosen.logprob, chosen.data, likeliest)


def log_sum(logits: Logits) -> float:
    """Return ln(sum(exp(logits))), shifted so that nothing overflows."""
    largest = float(logits.max())
    return largest + float(np.log(np.exp(logits - largest, dtype=np.float32).sum(dtype=np.float64)))


def best(logits: Logits, count: int) -> list[int]:
    """Return the `count` tokens of the highest scores, best first; the lower number wins a tie."""
    if not count:
        return []
    count = min(count, logits.size)
    found = np.argpartition(logits, logits.size - count)[logits.size - count :]
    return [int(token) for token in found[np.lexsort((found, -logits[found]))]]


def _one(logits: Logits, token: int, total: float, piece: Callable[[int], bytes]) -> TokenLogprob:
    data = piece(token)
    # `not >=` also for a NaN, which a broken model may give.
    value = float(logits[token]) - total
    safe = min(value, 0.0) if value >= IMPOSSIBLE else IMPOSSIBLE
    return TokenLogprob(data.decode("utf-8", "replace"), safe, data)


def chat_shape(tokens: Iterable[TokenLogprob]) -> dict[str, object]:
    """Return OpenAI's `logprobs` of a chat completion."""
    content = [
        {**_wire(token), "top_logprobs": [_wire(other) for other in token.top]} for token in tokens
    ]
    return {"content": content, "refusal": None}


def completion_shape(tokens: Iterable[TokenLogprob], offset: int = 0) -> dict[str, object]:
    """Return OpenAI's `logprobs` of a completion; `offset` characters stand before."""
    shape: dict[str, list[object]] = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for token in tokens:
        shape["tokens"].append(token.token)
        shape["token_logprobs"].append(token.logprob)
        shape["top_logprobs"].append({other.token: other.logprob for other in token.top})
        shape["text_offset"].append(offset)
        offset += len(token.token)
    return dict(shape)


def _wire(token: TokenLogprob) -> dict[str, object]:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.data)}
