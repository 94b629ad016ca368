"""Texts as vectors of length 1, computed beside the answers that the same weights write.

Guarantee: one vector for each text, over all of its tokens, which are counted exactly; a text that
is too long is refused and never cut. No text can bring a control token along. Answers go on: this
has a context of its own, and one thread of lower priority.

One thread, since llama.cpp's threads wait for each other at every operation: two teams of as many
threads as there are cores would stall each other. A lower priority, since a stream that stutters
disturbs somebody, and a vector that comes a little later does not.
Not here: models that only have an encoder, which `weights` does not load.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import llama_cpp.llama_cpp as api
import numpy as np
from numpy.typing import NDArray

from appliance.errors import BadInputError, ContextOverflowError, EngineUnavailableError
from appliance.llama import log
from appliance.llama.text import Neutraliser, without_surrogates
from appliance.llama.weights import Weights

# Long texts are cut up by whoever searches them; a page has about 700 tokens.
CONTEXT_TOKENS = 2_048
# What is computed at once: the last matrix gives a row of scores for each, wanted or not.
BATCH_TOKENS = 128
MAX_TEXTS = 2_048
MAX_TOKENS = 65_536
MOST_WAITING = 64
NICENESS = 5
STOP_WAIT_S = 5.0
LOOK_S = 1.0
MEAN, FIRST, LAST = 1, 2, 3

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Vectors:
    """One vector for each text, in their order, and the tokens that were read."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int


def parse_texts(value: object) -> tuple[str, ...]:
    """Return the texts of a body's `input`; raise BadInputError for anything else."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not 1 <= len(texts) <= MAX_TEXTS:
        raise BadInputError(f"input must be a text or a list of 1 to {MAX_TEXTS} texts")
    if not all(isinstance(text, str) and text for text in texts):
        raise BadInputError("each input must be a text that is not empty")
    return tuple(texts)


@dataclass(frozen=True)
class _Work:
    """The texts of one request as tokens, and where their vectors go, unless its caller left."""

    prompts: Sequence[Sequence[int]]
    left: threading.Event = field(default_factory=threading.Event)
    result: Future[tuple[tuple[float, ...], ...]] = field(default_factory=Future)


class Embedder:
    """Vectors of one model; may be used by several threads, which wait for each other."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.most_tokens = min(weights.training_context, CONTEXT_TOKENS)
        self._neutralise = Neutraliser(weights.control_texts(""))
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._closing = threading.Event()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._context: _Context | None = None
        self._thread = threading.Thread(target=self._run, name="embeddings", daemon=True)
        self._thread.start()
        # Leaving while the thread computes would run llama.cpp's destructors under its feet.
        atexit.register(self.close)

    def embed(self, texts: Sequence[str], left: Callable[[], bool] = lambda: False) -> Vectors:
        """Return the vectors; raise ContextOverflowError naming a text that is too long.

        Raises EngineUnavailableError when too many wait, llama.cpp cannot go on, or the caller
        has `left`, which is asked now and then: nobody else waits for what nobody reads.
        """
        prompts = [self._tokens(text, place) for place, text in enumerate(texts)]
        total = sum(map(len, prompts))
        if total > MAX_TOKENS:
            raise ContextOverflowError(
                f"the input has {total} tokens; at most {MAX_TOKENS} can be read at once",
                hint="send fewer texts at once",
            )
        if not self._places.acquire(blocking=False):
            raise EngineUnavailableError(
                f"{MOST_WAITING} requests for embeddings are waiting already",
                hint="try again in a minute",
            )
        try:
            return Vectors(self._result(_Work(prompts), left), total)
        finally:
            self._places.release()

    def count(self, text: str) -> int:
        """Return how many tokens `embed` reads for this text."""
        return len(self._tokens(text, 0))

    def close(self) -> None:
        """End what runs, at the latest after one batch."""
        self._closing.set()
        self._work.put(None)
        self._thread.join(STOP_WAIT_S)
        atexit.unregister(self.close)

    def _result(self, work: _Work, left: Callable[[], bool]) -> tuple[tuple[float, ...], ...]:
        self._work.put(work)
        while True:
            try:
                return work.result.result(timeout=LOOK_S)
            except TimeoutError:
                if self._closing.is_set() and not self._thread.is_alive():
                    raise _gone() from None
                if left():
                    work.left.set()
                    raise _nobody() from None

    def _run(self) -> None:
        _give_way()
        while (work := self._work.get()) is not None:
            try:
                found = tuple(tuple(vector.tolist()) for vector in self._vectors(work))
            except BaseException as error:
                work.result.set_exception(error)
            else:
                work.result.set_result(found)

    def _tokens(self, text: str, place: int) -> list[int]:
        weights, text = self._weights, without_surrogates(text)
        if len(text.encode()) > self.most_tokens * max(16, weights.longest_piece):
            raise self._too_long(place, f"{len(text)} characters")
        tokens = weights.tokenize(self._neutralise(text))
        if weights.adds_bos:
            tokens.insert(0, weights.bos)
        if api.llama_vocab_get_add_eos(weights.vocabulary):
            tokens.append(weights.eos)
        if not tokens:
            raise BadInputError(f"input {place} holds nothing that this model can read")
        if len(tokens) > self.most_tokens:
            raise self._too_long(place, f"{len(tokens)} tokens")
        return tokens

    def _too_long(self, place: int, size: str) -> ContextOverflowError:
        return ContextOverflowError(
            f"input {place} has {size}; at most {self.most_tokens} tokens can be embedded",
            hint="cut the text into parts",
        )

    def _vectors(self, work: _Work) -> Iterator[Vector]:
        for tokens in work.prompts:
            if work.left.is_set():
                raise _nobody()
            yield self._vector(tokens)

    def _vector(self, tokens: Sequence[int]) -> Vector:
        """Compute one text in batches and pool what comes out as the model wants it."""
        if self._context is None:
            self._context = _Context(self._weights, self.most_tokens)
        first: Vector | None = None
        last: Vector | None = None
        total: Vector | None = None
        for start in range(0, len(tokens), BATCH_TOKENS):
            if self._closing.is_set():
                raise _gone()
            rows = self._context.rows(tokens[start : start + BATCH_TOKENS], start)
            first = rows[0] if first is None else first
            last = rows[-1]
            total = rows.sum(axis=0) if total is None else total + rows.sum(axis=0)
        pooled = {MEAN: total, FIRST: first, LAST: last}[self._context.pooling]
        assert pooled is not None  # noqa: S101 - there is at least one token
        length = float(np.linalg.norm(pooled))
        if not np.isfinite(length) or not length:
            raise EngineUnavailableError("the model gave no vector for this text")
        unit: Vector = pooled / length
        return unit


class _Context:
    """llama.cpp's working memory for one text at a time; used by the one thread."""

    def __init__(self, weights: Weights, tokens: int) -> None:
        architecture = weights.metadata("general.architecture")
        stated = weights.metadata(f"{architecture}.pooling_type") or "0"
        self.pooling = int(stated) if stated.isdecimal() and int(stated) else MEAN
        if self.pooling not in (MEAN, FIRST, LAST):
            raise BadInputError("this model ranks texts; it gives no vectors")
        if weights.metadata(f"{architecture}.attention.causal") == "false":
            raise BadInputError("this model reads texts in both directions, which is not supported")
        parameters = api.llama_context_default_params()
        parameters.n_ctx = tokens
        parameters.n_batch = parameters.n_ubatch = min(BATCH_TOKENS, tokens)
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.embeddings = True
        # Each token's own vector: pooled here, a text may be longer than a batch.
        parameters.pooling_type = api.LLAMA_POOLING_TYPE_NONE
        parameters.no_perf = True
        with log.held_back():  # it warns that the model has a way of pooling of its own
            self._pointer = api.llama_init_from_model(weights.model, parameters)
        if not self._pointer:
            raise EngineUnavailableError("no room for a context to compute embeddings")
        weakref.finalize(self, _free, self._pointer, weights).atexit = False
        self._memory = api.llama_get_memory(self._pointer)
        self._width = int(api.llama_model_n_embd_out(weights.model))

    def rows(self, tokens: Sequence[int], start: int) -> Vector:
        """Return a vector for each token; `start` 0 begins a new text."""
        if not start:
            api.llama_memory_clear(self._memory, True)
        array = (api.llama_token * len(tokens))(*tokens)
        batch = api.llama_batch_get_one(array, len(tokens))
        with log.held_back() as lines:
            code = api.llama_decode(self._pointer, batch)
        if code:
            log.write(lines)
            raise EngineUnavailableError(f"llama.cpp could not go on (code {code})")
        address = ctypes.cast(api.llama_get_embeddings(self._pointer), ctypes.c_void_p).value
        if address is None:
            raise EngineUnavailableError("the model gave no vectors")
        row: Any = (ctypes.c_float * (len(tokens) * self._width)).from_address(address)
        return np.frombuffer(row, np.float32).reshape(len(tokens), -1).astype(np.float64)


def _give_way() -> None:
    """Let the threads that write answers go first; Linux knows a priority for each thread."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _nobody() -> EngineUnavailableError:
    return EngineUnavailableError("the caller left before the vectors were computed")


def _gone() -> EngineUnavailableError:
    return EngineUnavailableError("the model is being stopped; nothing was computed")


def _free(context: object, _weights: Weights) -> None:
    api.llama_free(context)
