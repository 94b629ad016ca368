"""One llama.cpp context: decodes prompts, chooses tokens, and lets itself be interrupted.

Guarantee: after `Cancel.request()` no further token comes out, and a long prompt stops between
two operations of its graph. Used by one thread at a time. The tokens of the last request stay
in the context, and what a new prompt shares with them is not computed again.
"""

from __future__ import annotations

import ctypes
import secrets
import weakref
from collections.abc import Generator, Sequence

import llama_cpp.llama_cpp as api

from appliance.errors import EngineUnavailableError
from appliance.llama import log
from appliance.llama.sampling import Sampling
from appliance.llama.weights import Weights

BATCH_TOKENS = 512
# llama.cpp's own default: tokens less than 5 % as likely as the best one are never chosen.
MIN_P = 0.05
ABORTED = 2

# llama.cpp calls `bool (*)(void *)` before every operation, from its compute threads. A Python
# callback would need the interpreter lock each time, thousands of times per token. `strlen` of a
# one-character buffer answers the same question in C: 0 while it is empty, 1 once it is set.
_IS_SET = ctypes.cast(ctypes.CDLL(None).strlen, api.ggml_abort_callback)


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The request was cancelled while it ran."""


class Cancel:
    """A flag that any thread may set and that llama.cpp reads while it computes."""

    def __init__(self) -> None:
        self.buffer = ctypes.create_string_buffer(2)

    def request(self) -> None:
        self.buffer[0] = b"\x01"

    @property
    def requested(self) -> bool:
        return self.buffer[0] != b"\x00"

    def check(self) -> None:
        if self.requested:
            raise Cancelled


class Context:
    """The working memory for one sequence of at most `context_tokens` tokens."""

    def __init__(self, weights: Weights, *, context_tokens: int, threads: int) -> None:
        """Raise EngineUnavailableError when there is no memory for it."""
        parameters = api.llama_context_default_params()
        parameters.n_ctx = context_tokens
        parameters.n_batch = parameters.n_ubatch = min(BATCH_TOKENS, context_tokens)
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        self._weights = weights
        self._context = api.llama_init_from_model(weights.model, parameters)
        if not self._context:
            raise EngineUnavailableError(
                f"no room for a context of {context_tokens} tokens; the model was not loaded",
                hint="set engine.context_tokens to a smaller number",
            )
        # Holds on to the weights, which must outlive the context.
        weakref.finalize(self, _free, self._context, weights).atexit = False
        self._memory = api.llama_get_memory(self._context)
        self._held: list[int] = []
        self._cancel = Cancel()
        self._batch_tokens = min(BATCH_TOKENS, context_tokens)

    def generate(
        self, prompt: Sequence[int], sampling: Sampling, cancel: Cancel
    ) -> Generator[int, None, None]:
        """Yield tokens without end (the caller knows when); raise Cancelled once asked to."""
        # llama.cpp keeps the address of the flag, so the flag has to live as long.
        self._cancel = cancel
        api.llama_set_abort_callback(self._context, _IS_SET, cancel.buffer)
        sampler = _sampler(sampling)
        try:
            # Rounding depends on how a prompt was cut into batches, so a seed promises the same
            # answer only when the whole prompt is computed in the same way each time.
            shared = self._keep_shared(prompt) if sampling.seed is None else self._truncate(0)
            for start in range(shared, len(prompt), self._batch_tokens):
                self._decode(prompt[start : start + self._batch_tokens], cancel)
            while True:
                token = int(api.llama_sampler_sample(sampler, self._context, -1))
                cancel.check()
                yield token
                self._decode([token], cancel)
        finally:
            api.llama_sampler_free(sampler)

    def _keep_shared(self, prompt: Sequence[int]) -> int:
        """Drop what is held beyond the common beginning; return how many tokens stay.

        At least one token of the prompt is decoded again, since the sampler needs its logits.
        """
        pairs = enumerate(zip(self._held, prompt, strict=False))
        shared = next((i for i, (old, new) in pairs if old != new), None)
        if shared is None:
            shared = min(len(self._held), len(prompt))
        return self._truncate(min(shared, len(prompt) - 1))

    def _truncate(self, length: int) -> int:
        # Recurrent models cannot forget a part; they begin anew.
        if not length or not api.llama_memory_seq_rm(self._memory, 0, length, -1):
            api.llama_memory_clear(self._memory, True)
            length = 0
        del self._held[length:]
        return length

    def _decode(self, tokens: Sequence[int], cancel: Cancel) -> None:
        cancel.check()
        array = (api.llama_token * len(tokens))(*tokens)
        with log.held_back() as lines:
            code = api.llama_decode(self._context, api.llama_batch_get_one(array, len(tokens)))
            if code == 0:
                self._held += tokens
                return
            # An aborted batch leaves parts of itself behind.
            self._truncate(len(self._held))
        if code == ABORTED:
            raise Cancelled
        log.write(lines)
        raise EngineUnavailableError(f"llama.cpp could not go on (code {code})")


def _sampler(sampling: Sampling) -> object:
    """Build llama.cpp's own chain; the caller frees it."""
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    if sampling.temperature == 0.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
        return chain
    seed = secrets.randbelow(2**32 - 1) if sampling.seed is None else sampling.seed
    if sampling.top_p < 1.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_p(sampling.top_p, 1))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_min_p(MIN_P, 1))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(sampling.temperature))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(seed))
    return chain


def _free(context: object, _weights: Weights) -> None:
    api.llama_free(context)
