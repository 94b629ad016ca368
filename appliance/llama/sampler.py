"""Chooses each token of one answer: llama.cpp's own samplers, a grammar, and logarithms.

Guarantee: with a grammar, every token that comes out is one that the grammar allows, the end of
the answer too, and no control token but that end: what is shown is what the grammar saw. The same
seed makes the same choices from the same scores. Used by one thread at a time; one per request.

An exception of llama.cpp would end the process, so its grammar is only ever told of a token that
it has allowed a moment before.
"""

from __future__ import annotations

import codecs
import ctypes
import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as api
import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadInputError, EngineUnavailableError
from appliance.llama import logprobs
from appliance.llama import sampler_chain as chain_of
from appliance.llama.events import TokenLogprob
from appliance.llama.sampler_chain import PENALTY_TOKENS
from appliance.llama.sampling import Sampling
from appliance.llama.weights import Weights

# How many of the likeliest tokens a grammar is asked about first.
SHORTLIST = 256
# As `llama_token_data`: number, score, and a place for its probability.
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


@dataclass(frozen=True)
class Chosen:
    """The next token, and how likely the model found it where that was asked for."""

    token: int
    logprobs: TokenLogprob | None = None


class Sampler:
    """The choices of one answer."""

    def __init__(self, weights: Weights, sampling: Sampling, prompt: Sequence[int] = ()) -> None:
        """Build the chain; raise BadInputError for a token or a grammar that cannot be used.

        `prompt` is what penalties count as said already.
        """
        self._weights = weights
        self._top = sampling.logprobs
        self._size = len(weights.texts)
        require_known(weights, sampling)
        self._grammar = chain_of.grammar(weights, sampling.grammar) if sampling.grammar else None
        self._scores = chain_of.scores(weights, sampling)
        self._penalises = chain_of.penalises(sampling)
        self._is_plain = sampling.temperature == 0.0 and not (
            sampling.grammar or sampling.logit_bias or self._penalises
        )
        self._least = _least(sampling)
        chain = chain_of.new_chain()
        # Two chains in one: scores are changed before a grammar is asked, tokens chosen after it.
        api.llama_sampler_chain_add(chain, self._scores)
        self._choice = chain_of.choice(sampling)
        api.llama_sampler_chain_add(chain, self._choice)
        self._chain = chain
        self._free = weakref.finalize(self, _free, chain, self._grammar, weights)
        self._free.atexit = False
        self._row = ctypes.c_float * self._size
        # Bytes of a character that is not whole yet.
        self._begun = b""
        if self._penalises:
            for token in prompt[-PENALTY_TOKENS:]:
                api.llama_sampler_accept(chain, token)

    def choose(self, context: Any, index: int) -> Chosen:
        """Return the next token after row `index` of the last batch.

        Raises EngineUnavailableError when no token of the vocabulary follows the grammar.
        """
        if self._is_plain:
            # What llama.cpp's own greedy choice is, without a list of candidates: the first best.
            token = int(np.argmax(self._logits(context, index)))
        elif self._grammar is None:
            token = int(api.llama_sampler_sample(self._chain, context, index))
        else:
            token = self._constrained(context, index)
        if self._top is None:
            return Chosen(token)
        logits = self._logits(context, index)
        return Chosen(token, logprobs.of_token(logits, token, self._top, self._weights.piece))

    def close(self) -> None:
        """Let go of llama.cpp's memory; may be called again."""
        self._free()

    def _constrained(self, context: Any, index: int) -> int:
        """Choose freely; only where the grammar refuses, ask it about the whole vocabulary."""
        if self._penalises:
            candidates = self._candidates(context, index)
            token = self._pick(candidates)
        else:
            token = int(api.llama_sampler_sample(self._chain, context, index))
        if not self._allows(token):
            token = self._allowed(self._candidates(context, index))
        api.llama_sampler_accept(self._grammar, token)
        if self._penalises:
            api.llama_sampler_accept(self._chain, token)
        self._begun = self._after(token)
        return token

    def _allowed(self, candidates: NDArray[Any]) -> int:
        """Choose what the grammar allows: among the likeliest where that is the same as among all.

        To ask about a whole vocabulary takes milliseconds, and all other answers wait for it.
        """
        token = self._first_whole(self._likeliest(candidates))
        if token is None:
            api.llama_sampler_apply(self._grammar, ctypes.byref(_array(candidates)))
            token = self._first_whole(_possible(candidates))
        if token is None:
            raise EngineUnavailableError(
                "the model's vocabulary has no token that goes on as response_format says",
                hint="use a simpler schema, or another model",
            )
        return token

    def _likeliest(self, candidates: NDArray[Any]) -> NDArray[Any]:
        """Return those of the highest scores that the grammar allows, none where others count too.

        Others do not count for a greedy choice, nor below `min_p` of the best one that is allowed;
        `top_p` looks at all of them.
        """
        scores = np.ascontiguousarray(candidates["logit"])
        if self._least is None or scores.size <= SHORTLIST:
            return candidates[:0]
        places = np.argpartition(scores, scores.size - SHORTLIST)[scores.size - SHORTLIST :]
        short = candidates[places]
        lowest = float(short["logit"].min())
        api.llama_sampler_apply(self._grammar, ctypes.byref(_array(short)))
        short = _possible(short)
        is_enough = short.size and lowest < float(short["logit"].max()) + self._least
        return short if is_enough else short[:0]

    def _first_whole(self, candidates: NDArray[Any]) -> int | None:
        """Choose until the token is UTF-8 in Python's eyes as well.

        llama.cpp lets some overlong sequences pass, whose characters would be counted otherwise.
        """
        while candidates.size:
            token = self._pick(candidates.copy())
            if self._is_whole(token):
                return token
            candidates = candidates[candidates["id"] != token]
        return None

    def _pick(self, candidates: NDArray[Any]) -> int:
        array = _array(candidates)
        api.llama_sampler_apply(self._choice, ctypes.byref(array))
        return int(array.data[array.selected].id)

    def _allows(self, token: int) -> bool:
        one = np.array([(token, 1.0, 0.0)], _CANDIDATE)
        api.llama_sampler_apply(self._grammar, ctypes.byref(_array(one)))
        return bool(one["logit"][0] == 1.0) and self._is_whole(token)

    def _candidates(self, context: Any, index: int) -> NDArray[Any]:
        """Return the whole vocabulary with its scores, biases and penalties added."""
        candidates = np.empty(self._size, _CANDIDATE)
        candidates["id"] = np.arange(self._size, dtype=np.int32)
        candidates["logit"] = self._logits(context, index)
        api.llama_sampler_apply(self._scores, ctypes.byref(_array(candidates)))
        return candidates

    def _logits(self, context: Any, index: int) -> logprobs.Logits:
        """Return a view on a row of scores, valid until the next batch."""
        pointer = api.llama_get_logits_ith(context, index)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        assert address is not None  # noqa: S101 - llama_sampler_sample would have ended already
        row: Any = self._row.from_address(address)
        view: logprobs.Logits = np.frombuffer(row, np.float32)
        return view

    def _is_whole(self, token: int) -> bool:
        try:
            self._after(token)
        except UnicodeDecodeError:
            return False
        return True

    def _after(self, token: int) -> bytes:
        """Return the bytes of an unfinished character after `token`."""
        data = self._begun + self._weights.piece(token)
        return data[codecs.utf_8_decode(data, "strict", False)[1] :]


def _possible(candidates: NDArray[Any]) -> NDArray[Any]:
    left: NDArray[Any] = candidates[np.isfinite(candidates["logit"])]
    return left


def _least(sampling: Sampling) -> float | None:
    """Return how far below the best score no other counts; None where all of them may."""
    if sampling.temperature == 0.0:
        return float("inf")
    if sampling.top_p < 1.0 or not sampling.min_p:
        return None
    return math.log(sampling.min_p)


def require_known(weights: Weights, sampling: Sampling) -> None:
    """Raise BadInputError for a token number that is not in the vocabulary."""
    for token, _ in sampling.logit_bias:
        if token >= len(weights.texts):
            raise BadInputError(f"logit_bias names token {token}; this model has no such token")


def _array(candidates: NDArray[Any]) -> Any:
    data = candidates.ctypes.data_as(api.llama_token_data_p)
    return api.llama_token_data_array(data, candidates.size, -1, False)


def _free(chain: Any, grammar: Any, _weights: Weights) -> None:
    """Free both; `_weights` is held until then, since a grammar reads its vocabulary."""
    api.llama_sampler_free(chain)
    if grammar is not None:
        api.llama_sampler_free(grammar)
