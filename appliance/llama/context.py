"""One llama.cpp context with many sequences: computes steps, copies beginnings, can be stopped.

Guarantee: when a step is aborted or fails, nothing of it stays in the memory of a sequence.
Used by one thread at a time; only `abort` may come from another. One memory is shared by all
sequences, so a copied beginning takes no room. Not here: what a step holds (`scheduler`).
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import llama_cpp.llama_cpp as api
import numpy as np

from appliance.errors import EngineUnavailableError
from appliance.llama import log
from appliance.llama.batching.batch import Batch
from appliance.llama.batching.steps import Load, Part, Step
from appliance.llama.placing.parameters import context_parameters
from appliance.llama.placing.placement import Placement
from appliance.llama.shelf import Shelf
from appliance.llama.weights import Weights

ABORTED = 2
NO_ROOM = 1

# llama.cpp calls `bool (*)(void *)` before every operation, from its compute threads. A Python
# callback would need the interpreter lock each time, thousands of times per token. `strlen` of a
# one-character buffer answers the same question in C: 0 while it is empty, 1 once it is set.
_IS_SET = ctypes.cast(ctypes.CDLL(None).strlen, api.ggml_abort_callback)


class AbortedError(Exception):
    """The step was ended by `abort`; it counts as not computed."""


class Context:
    """The working memory of all answers that one model writes at once."""

    def __init__(self, weights: Weights, placement: Placement) -> None:
        """Raise EngineUnavailableError when there is no memory for it."""
        self.weights = weights
        # It warns that all sequences together hold more than the model was trained for: so they
        # should, and no single one does.
        with log.held_back() as lines:
            parameters = context_parameters(placement)
            self.pointer = api.llama_init_from_model(weights.model, parameters)
        if not self.pointer:
            log.write(lines)
            raise EngineUnavailableError(
                f"no room for {placement.pool_tokens} tokens of context; the model was not loaded",
                hint="set engine.context_tokens or engine.pool_tokens to a smaller number",
            )
        # Holds on to the weights, which must outlive the context.
        weakref.finalize(self, _free, self.pointer, weights).atexit = False
        self._memory = api.llama_get_memory(self.pointer)
        self._batch = Batch(placement.batch_tokens)
        self._shelf = Shelf(placement.kept_bytes)
        # llama.cpp keeps the address of the flag, so the flag has to live as long.
        self._flag = ctypes.create_string_buffer(2)
        api.llama_set_abort_callback(self.pointer, _IS_SET, self._flag)

    @property
    def shares(self) -> bool:
        """Whether a sequence can be cut and copied at any place; recurrent models cannot."""
        model = self.weights.model
        return not (api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model))

    def abort(self) -> None:
        """End the step that is being computed, if any; from any thread."""
        self._flag[0] = b"\x01"

    def allow(self) -> None:
        """Take back an `abort` that came when nothing was computed."""
        self._flag[0] = b"\x00"

    def compute(self, step: Step) -> dict[int, int]:
        """Do a step; return the row of logits for each ticket whose next token is wanted.

        Raises AbortedError, or EngineUnavailableError when llama.cpp cannot go on.
        """
        for copy in step.copies:
            api.llama_memory_seq_cp(self._memory, copy.source, copy.target, 0, copy.length)
        if not step.parts:
            return {}
        rows = self._batch.fill(step.parts)
        with log.held_back() as lines:
            code = api.llama_decode(self.pointer, self._batch.struct)
        if code == 0:
            return rows
        self._take_back(step.parts)
        if code == ABORTED:
            raise AbortedError
        log.write(lines)
        reason = "its memory is full" if code == NO_ROOM else f"code {code}"
        raise EngineUnavailableError(f"llama.cpp could not go on ({reason})")

    def save(self, sequence: int) -> object:
        """Return what a sequence holds, to be given to `load`; None when that failed."""
        size = api.llama_state_seq_get_size(self.pointer, sequence)
        state = self._shelf.take(size)
        if state is None:
            return None
        written = api.llama_state_seq_get_data(self.pointer, _bytes(state), size, sequence)
        return state if written == size else None

    def get_ready(self) -> bool:
        """Do a little of what makes the next `save` quick; tell whether more is to be done."""
        return self._shelf.get_ready()

    def forget(self, sequence: int) -> None:
        """Empty a sequence."""
        api.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def load(self, load: Load) -> bool:
        """Bring back what was saved; tell whether it was. If not, the sequence is empty."""
        state = load.state
        if not isinstance(state, np.ndarray):
            raise TypeError("only what `save` returned can be loaded")
        with log.held_back():  # it says so when there is no room in one piece
            read = api.llama_state_seq_set_data(
                self.pointer, _bytes(state), state.size, load.sequence
            )
        if read == state.size and api.llama_memory_seq_rm(
            self._memory, load.sequence, load.length, -1
        ):
            return True
        self.forget(load.sequence)
        return False

    def use_threads(self, count: int) -> None:
        """Compute with so many threads from now on; never while a step is computed."""
        api.llama_set_n_threads(self.pointer, count, count)

    def clear(self) -> None:
        """Empty the memory of every sequence."""
        api.llama_memory_clear(self._memory, True)

    def _take_back(self, parts: tuple[Part, ...]) -> None:
        """Remove what a part of a failed batch may have left behind."""
        for part in parts:
            # Recurrent models cannot forget a part; then the whole sequence has to go.
            if not api.llama_memory_seq_rm(self._memory, part.sequence, part.start, -1):
                api.llama_memory_seq_rm(self._memory, part.sequence, -1, -1)


def _bytes(array: np.ndarray) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _free(context: object, _weights: Weights) -> None:
    api.llama_free(context)
