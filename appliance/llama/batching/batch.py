"""A llama.cpp batch that is filled anew for each step, without allocating anything.

Not here: what goes in (`scheduler`), and what llama.cpp does with it (`context`).
"""

from __future__ import annotations

import ctypes

import llama_cpp.llama_cpp as api
import numpy as np

from appliance.llama.batching.steps import Part

_Sequence = api.llama_seq_id
_SequencePointer = ctypes.POINTER(_Sequence)


class Batch:
    """Room for `most` tokens, each of one sequence."""

    def __init__(self, most: int) -> None:
        self._tokens = np.zeros(most, np.int32)
        self._positions = np.zeros(most, np.int32)
        self._sequences = np.zeros(most, np.int32)
        self._wanted = np.zeros(most, np.int8)
        self._counts = np.ones(most, np.int32)
        # llama.cpp takes a list of sequences per token: a pointer into one array, for each.
        base, width = self._sequences.ctypes.data, self._sequences.itemsize
        addresses = (ctypes.c_void_p * most)(*(base + width * index for index in range(most)))
        self._pointers = addresses
        self.most = most
        self.struct = api.llama_batch(
            0,
            _pointer(self._tokens, api.llama_token),
            None,
            _pointer(self._positions, api.llama_pos),
            _pointer(self._counts, ctypes.c_int32),
            ctypes.cast(addresses, ctypes.POINTER(_SequencePointer)),
            _pointer(self._wanted, ctypes.c_int8),
        )

    def fill(self, parts: tuple[Part, ...]) -> dict[int, int]:
        """Put in the parts of a step; return for each ticket the row where its logits will be."""
        rows: dict[int, int] = {}
        size = sum(len(part.tokens) for part in parts)
        self._wanted[:size] = 0
        at = 0
        for part in parts:
            end = at + len(part.tokens)
            self._tokens[at:end] = part.tokens
            self._positions[at:end] = range(part.start, part.start + len(part.tokens))
            self._sequences[at:end] = part.sequence
            if part.last:
                self._wanted[end - 1] = 1
                rows[part.ticket] = end - 1
            at = end
        self.struct.n_tokens = size
        return rows


def _pointer(array: np.ndarray, kind: type) -> object:
    return array.ctypes.data_as(ctypes.POINTER(kind))
