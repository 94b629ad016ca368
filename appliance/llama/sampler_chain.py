"""llama.cpp's samplers for one answer, put together as a request wants them.

What comes first changes scores (biases, penalties), what comes after chooses; a grammar stands
between the two and is asked by `sampler`. Whoever takes a sampler frees it.
"""

from __future__ import annotations

import secrets
import weakref
from typing import Any

import llama_cpp.llama_cpp as api

from appliance.errors import BadInputError
from appliance.llama.sampling import Sampling
from appliance.llama.weights import Weights

# How far back penalties look, prompt included: llama.cpp's default.
PENALTY_TOKENS = 64
_ROOT = b"root"
_UNSHOWN = api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNKNOWN
_SILENT: weakref.WeakKeyDictionary[Weights, tuple[int, ...]] = weakref.WeakKeyDictionary()


def new_chain() -> Any:
    return api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())


def scores(weights: Weights, sampling: Sampling) -> Any:
    """Build what changes scores: biases, penalties, and under a grammar no control tokens.

    A control token shows nothing, while to a grammar it is the text of its name.
    """
    chain = new_chain()
    biases = list(sampling.logit_bias)
    if sampling.grammar:
        biases += [(token, float("-inf")) for token in _silent(weights)]
    if biases:
        array = (api.llama_logit_bias * len(biases))(*biases)
        sampler = api.llama_sampler_init_logit_bias(len(weights.texts), len(biases), array)
        api.llama_sampler_chain_add(chain, sampler)
    if penalises(sampling):
        sampler = api.llama_sampler_init_penalties(
            len(weights.texts),
            PENALTY_TOKENS,
            sampling.repeat_penalty,
            sampling.frequency_penalty,
            sampling.presence_penalty,
        )
        api.llama_sampler_chain_add(chain, sampler)
    return chain


def choice(sampling: Sampling) -> Any:
    """Build what chooses, in llama.cpp's usual order."""
    chain = new_chain()
    if sampling.temperature == 0.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
        return chain
    seed = secrets.randbelow(2**32 - 1) if sampling.seed is None else sampling.seed
    if sampling.top_k:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_min_p(sampling.min_p, 1))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(sampling.temperature))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(seed))
    return chain


def penalises(sampling: Sampling) -> bool:
    return bool(
        sampling.repeat_penalty != 1.0 or sampling.frequency_penalty or sampling.presence_penalty
    )


def _silent(weights: Weights) -> tuple[int, ...]:
    """Return the tokens that show nothing and end nothing; looked up once for each model."""
    if weights not in _SILENT:
        _SILENT[weights] = tuple(
            token
            for token in range(len(weights.texts))
            if api.llama_vocab_get_attr(weights.vocabulary, token) & _UNSHOWN
            and not weights.piece(token)
            and not weights.ends_answer(token)
        )
    return _SILENT[weights]


def grammar(weights: Weights, text: str) -> Any:
    sampler = api.llama_sampler_init_grammar(weights.vocabulary, text.encode(), _ROOT)
    if not sampler:
        raise BadInputError(
            "llama.cpp cannot use the grammar that was made of response_format",
            hint="use a simpler schema",
        )
    return sampler
