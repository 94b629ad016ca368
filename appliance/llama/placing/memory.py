"""What a model takes: bytes of weights, of the cache per token, and of the buffers to compute in.

Guarantee: weights and cache are exact for models that attend in every layer, and an upper bound
for others; a window over the last tokens is not counted as a saving. Buffers are an estimate on
the high side. Pure. Not here: what the machine has (`hardware`), and what goes where
(`placement`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MIB = 1_048_576
GIB = 1_073_741_824

# Elements of a block and its bytes, from ggml's own types.
BLOCKS: Mapping[str, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
FLOAT_BYTES = 4
# The mask that says who may look at whom: as floats, and once more as half of that.
MASK_BYTES = 6
# How many rows of the hidden state, and of a feed-forward layer, live at the same time.
ROWS, WIDE_ROWS = 12, 4


@dataclass(frozen=True)
class Layer:
    """One layer: bytes of its weights; numbers that one token leaves in the cache."""

    weights: int
    keys: int
    values: int


@dataclass(frozen=True)
class ModelFacts:
    """What the header of the weights says.

    `head_sizes`: numbers that a head keeps of a token, for keys and for values.
    `output_bytes` is the last matrix, which a GPU holds itself; `tied`: it is also the first one.
    `state_bytes` is what a model with running state keeps for each conversation.
    """

    training_context: int
    layers: tuple[Layer, ...]
    total_bytes: int
    output_bytes: int
    tied: bool
    vocabulary: int
    width: int
    feed_forward: int
    heads: int
    head_sizes: tuple[int, ...]
    state_bytes: int = 0

    def on_gpu(self, layers: int) -> int:
        """Return the bytes of weights on GPUs when they hold so many layers."""
        if layers <= 0:
            return 0
        return self.output_bytes + sum(layer.weights for layer in self.moved(layers))

    def on_host(self, layers: int) -> int:
        """Return the bytes of weights in the machine's own memory then."""
        if layers <= 0:
            return self.total_bytes
        return self.total_bytes - self.on_gpu(layers) + (self.output_bytes if self.tied else 0)

    def moved(self, layers: int) -> tuple[Layer, ...]:
        """Return the layers on GPUs: the last ones, where the last matrix counts as one too."""
        return self.layers[max(0, len(self.layers) + 1 - layers) :] if layers > 0 else ()

    def kept(self, layers: int) -> tuple[Layer, ...]:
        """Return the other layers."""
        return self.layers[: len(self.layers) - len(self.moved(layers))]


def elements_bytes(elements: int, kind: str) -> int:
    """Return the bytes of so many numbers held as `kind`, whole blocks."""
    block, size = BLOCKS[kind]
    return -(-elements // block) * size


def cache_bytes_per_token(layers: Sequence[Layer], kind: str) -> int:
    """Return what one token takes in the caches of these layers."""
    return sum(
        elements_bytes(layer.keys, kind) + elements_bytes(layer.values, kind) for layer in layers
    )


def can_be_blocks(facts: ModelFacts, kind: str) -> bool:
    """Say whether what one head keeps of a token divides into blocks of `kind`."""
    block, _ = BLOCKS[kind]
    return all(size % block == 0 for size in facts.head_sizes)


def buffer_bytes(facts: ModelFacts, batch: int) -> int:
    """Return the buffers to compute `batch` tokens in, without what grows with the cache."""
    rows = ROWS * facts.width + WIDE_ROWS * facts.feed_forward + facts.vocabulary
    return FLOAT_BYTES * batch * rows


def buffer_bytes_per_token(facts: ModelFacts, batch: int, *, flash: bool) -> int:
    """Return what each token of the cache adds to these buffers.

    Without flash attention every head keeps a score for every pair of tokens.
    """
    return batch * (MASK_BYTES + (0 if flash else 2 * FLOAT_BYTES * facts.heads))


def in_gib(count: int) -> str:
    """Return a size in words, such as `4.9 GiB`."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{max(0, count) // MIB} MiB"
