"""How many tokens fit once the weights have their place, on GPUs and in the machine's memory.

A layer's part of the cache lies where the layer lies, so both places bound the number. Shares of
several GPUs are bounded by the GPU that is full first. Pure. Not here: which way is chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from appliance.errors import EngineUnavailableError
from appliance.llama.placing import memory
from appliance.llama.placing.hardware import Machine
from appliance.llama.placing.memory import MIB, ModelFacts

# What the driver and its libraries take of each GPU besides our buffers, and of the machine.
GPU_RESERVE = 512 * MIB
HOST_RESERVE_PART = 16
# A GPU with less than this part of the largest one's free memory would slow the others down.
LEAST_PART = 8
UNBOUNDED = 2**62


@dataclass(frozen=True)
class _Place:
    """Bytes free for the cache in one kind of memory, and bytes that a token takes there."""

    free: int
    per_token: int

    @property
    def tokens(self) -> int:
        if self.free < 0:
            return 0
        return self.free // self.per_token if self.per_token else UNBOUNDED

    def missing(self, tokens: int) -> int:
        return max(0, tokens * self.per_token - self.free)


@dataclass(frozen=True)
class Demand:
    """What is asked for: the model, the cache's type, layers on GPUs, how it is computed."""

    facts: ModelFacts
    kind: str
    layers: int
    flash: bool
    batch: int
    state_bytes: int

    @property
    def buffers(self) -> int:
        return memory.buffer_bytes(self.facts, self.batch)

    @property
    def growing(self) -> int:
        return memory.buffer_bytes_per_token(self.facts, self.batch, flash=self.flash)

    @property
    def moved_part(self) -> float:
        return len(self.facts.moved(self.layers)) / max(1, len(self.facts.layers))


@dataclass(frozen=True)
class Room:
    """Tokens that fit, and the shares of the GPUs with which they do (empty for one GPU)."""

    gpus: tuple[_Place, ...]
    host: _Place
    split: tuple[float, ...]

    @property
    def tokens(self) -> int:
        return min(place.tokens for place in (*self.gpus, self.host))

    @property
    def short_on_gpu(self) -> bool:
        return any(gpu.tokens < self.host.tokens for gpu in self.gpus)

    def missing(self, tokens: int) -> int:
        """Return the bytes that lack for so many tokens, in the place that lacks most."""
        return max(place.missing(tokens) for place in (*self.gpus, self.host))


def find(demand: Demand, machine: Machine, wished: tuple[float, ...] = ()) -> Room:
    """Return the room; raise EngineUnavailableError when `wished` names GPUs that are not there."""
    if not demand.layers:
        return Room((), _host(demand, machine), ())
    free = [one.free_bytes - GPU_RESERVE - demand.buffers for one in machine.devices]
    used = sum(share > 0 for share in wished) if wished else len(free)
    several = len(free) > 1 and used > 1
    slack = _largest(demand) if several else (0, 0)
    shares = _wished(wished, len(free)) if wished else _by_memory(free, slack[0])
    gpus = tuple(
        _gpu(demand, size, share, slack) for size, share in zip(free, shares, strict=True) if share
    )
    return Room(gpus, _host(demand, machine), shares if len(free) > 1 else ())


def _gpu(demand: Demand, free: int, share: float, slack: tuple[int, int]) -> _Place:
    """Return one GPU's place; `slack`: a layer is not cut, so one more may come to lie here."""
    weights = demand.facts.on_gpu(demand.layers) + demand.state_bytes * demand.moved_part
    cache = memory.cache_bytes_per_token(demand.facts.moved(demand.layers), demand.kind)
    return _Place(
        free - math.ceil(share * weights) - slack[0],
        math.ceil(share * cache) + demand.growing + slack[1],
    )


def _host(demand: Demand, machine: Machine) -> _Place:
    available, here = machine.ram.available, demand.facts.kept(demand.layers)
    reserve = available // HOST_RESERVE_PART + demand.buffers
    state = math.ceil(demand.state_bytes * (1 - demand.moved_part))
    cache = memory.cache_bytes_per_token(here, demand.kind)
    # With every layer on GPUs, the machine itself computes nothing that grows.
    return _Place(
        available - reserve - state - demand.facts.on_host(demand.layers),
        cache + (demand.growing if here else 0),
    )


def _largest(demand: Demand) -> tuple[int, int]:
    """Return the most bytes of weights, and of the cache per token, that one layer has."""
    moved = demand.facts.moved(demand.layers)
    weights = max((layer.weights for layer in moved), default=0)
    cache = max((memory.cache_bytes_per_token((layer,), demand.kind) for layer in moved), default=0)
    return max(weights, demand.facts.output_bytes), cache


def _by_memory(free: list[int], slack: int) -> tuple[float, ...]:
    """Return shares by free memory; a GPU that is nearly full is left out."""
    sizes = [max(0, size - slack) for size in free]
    sizes = [size if size * LEAST_PART >= max(sizes) else 0 for size in sizes]
    total = sum(sizes)
    # Nothing free at all: the first GPU says by how much.
    return tuple(size / total for size in sizes) if total else (1.0, *[0.0] * (len(free) - 1))


def _wished(shares: tuple[float, ...], count: int) -> tuple[float, ...]:
    if any(shares[count:]):
        raise EngineUnavailableError(
            f"engine.gpu_split names {len(shares)} GPUs, and there are {count}",
            hint="name as many shares as `appliance doctor` shows GPUs, or leave the setting empty",
        )
    padded = (*shares[:count], *[0.0] * (count - len(shares)))
    return tuple(share / sum(padded) for share in padded)
