"""Where a model goes: layers on GPUs, the cache's type and size, answers at once, threads.

Guarantee: what a placement asks for fits into the memory that was free, by exact sizes of weights
and cache and an estimate of the rest on the high side; a setting is never exceeded, and never
silently changed. When not even one answer fits, the error says how much is missing. Pure.

1. take each type of cache that is allowed, the best one first;
2. find the most layers on GPUs with which the cache still has room for what is needed;
3. give the cache its share of what is then left, so that a second model can be tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.config import Engine as Settings
from appliance.config import split_of
from appliance.errors import EngineUnavailableError
from appliance.llama.placing import memory
from appliance.llama.placing.hardware import Machine, idle_gpu
from appliance.llama.placing.memory import ModelFacts, in_gib
from appliance.llama.placing.room import Demand, Room, find

CPU_SLOTS, GPU_SLOTS = 16, 32
BATCH_TOKENS = 512
# Each of the answers that run at once should have so many tokens in the cache.
SLOT_TOKENS = 1_024
# More than so many for each is of little use: few answers run long at the same time, and what
# clears and masks the cache grows with it.
CPU_SLOT_MOST, GPU_SLOT_MOST = 4_096, 8_192
# A context that nobody set may shrink to the first without a word of the cache's type, and to the
# second before anything is refused: a question, a letter and its answer.
USUAL_CONTEXT, LEAST_CONTEXT = 8_192, 2_048
# Of the memory left after weights and buffers; the rest is for a second model, being tried or
# finishing its answers.
POOL_SHARE = 0.5
PAGE = 256
# Of the machine's free memory, for finished conversations that wait for their next question; and
# so many tokens of them at most.
KEPT_SHARE, KEPT_TOKENS = 1 / 32, 32_768
# What llama.cpp writes down of a token beside keys and values: its place and its sequence, with
# room for the heads of layers.
CELL_BYTES = 64


@dataclass(frozen=True)
class Placement:
    """What the context and the weights are made with.

    `gpu_layers` counts the last matrix as one; `split`: shares of several GPUs, summing to 1;
    `main_gpu` -1: keep off all of them.
    `context_tokens`: at most for one answer; `pool_tokens`: for all that run; `kept_tokens`: of
    finished conversations, kept in `kept_bytes` of the machine's memory. `notes`: what was not
    as wished, for an operator.
    """

    gpu_layers: int
    split: tuple[float, ...]
    main_gpu: int
    flash_attention: str
    cache_type_k: str
    cache_type_v: str
    slots: int
    kept_tokens: int
    kept_bytes: int
    context_tokens: int
    pool_tokens: int
    threads: int
    threads_batch: int
    batch_tokens: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Choice:
    """Layers on GPUs and the cache's type, and the room that they leave."""

    room: Room
    layers: int
    kind: str


def plan(
    settings: Settings, facts: ModelFacts, machine: Machine, card_context: int = 0
) -> Placement:
    """Return the placement; raise EngineUnavailableError, with numbers, when nothing fits."""
    most = _most_context(settings, facts, card_context)
    choice = _choose(settings, facts, machine, most, _needed(settings, most, card_context))
    whole = choice.layers > len(facts.layers)
    slots = settings.slots or (GPU_SLOTS if whole else CPU_SLOTS)
    pool = _pool(settings, choice, most, _needed(settings, most, card_context), slots)
    context = min(most, pool)
    if not settings.slots:
        slots = max(1, min(slots, pool // min(SLOT_TOKENS, context)))
    threads = settings.threads or machine.cores
    kept = _kept_tokens(facts, choice.kind, machine)
    return Placement(
        gpu_layers=choice.layers,
        split=choice.room.split if choice.layers else (),
        main_gpu=0 if choice.layers else -1,
        flash_attention=_flash(settings, choice.kind),
        cache_type_k=choice.kind,
        cache_type_v=choice.kind,
        slots=slots,
        kept_tokens=kept,
        kept_bytes=kept * (memory.cache_bytes_per_token(facts.layers, choice.kind) + CELL_BYTES),
        context_tokens=context,
        pool_tokens=pool,
        threads=threads,
        threads_batch=threads,
        batch_tokens=min(BATCH_TOKENS, pool),
        notes=tuple(_notes(settings, facts, machine, choice, context, most)),
    )


def _kept_tokens(facts: ModelFacts, kind: str, machine: Machine) -> int:
    # A running state cannot be cut at a shared beginning, so there is nothing to keep.
    if facts.state_bytes:
        return 0
    each = max(1, memory.cache_bytes_per_token(facts.layers, kind))
    return min(KEPT_TOKENS, int(machine.ram.available * KEPT_SHARE) // each)


def _most_context(settings: Settings, facts: ModelFacts, card_context: int) -> int:
    """Return the smallest of what settings, card and training allow for one answer."""
    limits = (settings.context_tokens, settings.pool_tokens, card_context, facts.training_context)
    return min((limit for limit in limits if limit > 0), default=LEAST_CONTEXT)


def _needed(settings: Settings, most: int, card_context: int) -> int:
    """Return how many tokens the cache should hold before fewer layers are put on a GPU."""
    if settings.pool_tokens:
        return settings.pool_tokens
    return most if settings.context_tokens or card_context else min(most, USUAL_CONTEXT)


def _choose(
    settings: Settings, facts: ModelFacts, machine: Machine, most: int, needed: int
) -> _Choice:
    """Return the first way that leaves the room needed, then one that leaves less."""
    kinds = _kinds(settings, facts)
    every = len(facts.layers) + 1 if machine.devices else 0
    fixed = settings.gpu_layers >= 0
    wanted = min(settings.gpu_layers, every) if fixed else every
    fallback = 0 if fixed else wanted
    bound = bool(settings.pool_tokens or settings.context_tokens)
    usual, least = (needed, needed) if bound else (min(most, USUAL_CONTEXT), LEAST_CONTEXT)
    steps = [
        *((wanted, kind, needed) for kind in kinds),
        *((layers, kinds[-1], usual) for layers in range(wanted, wanted - fallback - 1, -1)),
        (wanted - fallback, kinds[-1], min(least, usual)),
    ]
    for layers, kind, tokens in steps:
        room = _room(settings, facts, machine, kind, layers)
        if room.tokens >= tokens:
            return _Choice(room, layers, kind)
    raise _refusal(settings, facts, room, tokens)


def _kinds(settings: Settings, facts: ModelFacts) -> tuple[str, ...]:
    if settings.cache_type != "auto":
        if not memory.can_be_blocks(facts, settings.cache_type):
            raise EngineUnavailableError(
                f"this model's cache cannot be held as {settings.cache_type}: its heads keep "
                f"{' and '.join(map(str, facts.head_sizes))} numbers, which are no whole blocks",
                hint="set engine.cache_type to f16 or auto",
            )
        return (settings.cache_type,)
    small = settings.flash_attention != "off" and memory.can_be_blocks(facts, "q8_0")
    return ("f16", "q8_0") if small else ("f16",)


def _room(settings: Settings, facts: ModelFacts, machine: Machine, kind: str, layers: int) -> Room:
    sequences = (settings.slots or GPU_SLOTS) if facts.state_bytes else 0
    demand = Demand(
        facts,
        kind,
        layers,
        flash=settings.flash_attention != "off",
        batch=BATCH_TOKENS,
        state_bytes=facts.state_bytes * sequences,
    )
    return find(demand, machine, split_of(settings.gpu_split))


def _pool(settings: Settings, choice: _Choice, most: int, needed: int, slots: int) -> int:
    """Return the size of the cache: the share, one answer at least, never more than is of use."""
    if settings.pool_tokens:
        return settings.pool_tokens
    each = GPU_SLOT_MOST if choice.layers else CPU_SLOT_MOST
    useful = min(max(slots * min(most, each), most), choice.room.tokens)
    pool = min(useful, max(int(choice.room.tokens * POOL_SHARE), needed))
    # llama.cpp takes whole pages of cells and would round up.
    return pool - pool % PAGE if pool - pool % PAGE >= needed else pool


def _flash(settings: Settings, kind: str) -> str:
    auto = settings.flash_attention == "auto"
    return "on" if auto and kind != "f16" else settings.flash_attention


def _refusal(
    settings: Settings, facts: ModelFacts, room: Room, tokens: int
) -> EngineUnavailableError:
    place = "the GPUs have" if room.short_on_gpu else "this machine has"
    steps = ["stop what else uses memory", "activate a smaller model"]
    if room.tokens >= PAGE and (settings.context_tokens or settings.pool_tokens):
        most = room.tokens - room.tokens % PAGE
        steps.insert(0, f"set engine.context_tokens and engine.pool_tokens to {most} at most")
    if room.short_on_gpu:
        steps.insert(0, "set engine.gpu_layers to -1, so that as many are used as fit")
    return EngineUnavailableError(
        f"the model does not fit: with weights of {in_gib(facts.total_bytes)}, a context of "
        f"{tokens:,} tokens needs {in_gib(room.missing(tokens))} more memory than {place} free",
        hint=", or ".join((", ".join(steps[:-1]), steps[-1])),
    )


def _notes(
    settings: Settings,
    facts: ModelFacts,
    machine: Machine,
    choice: _Choice,
    context: int,
    most: int,
) -> Iterator[str]:
    every = len(facts.layers) + 1
    idle = idle_gpu(machine)
    if idle is not None and settings.gpu_layers != 0:
        yield f"{idle.reason}; {idle.next}"
    if settings.gpu_layers > 0 and not machine.devices:
        yield f"engine.gpu_layers is {settings.gpu_layers}, but there is no GPU to put them on"
    if machine.devices and settings.gpu_layers < 0 and choice.layers < every:
        yield (
            f"{choice.layers} of {every} layers fit on the GPUs, so answers are slower; "
            "a smaller model, a smaller context or another GPU would help"
        )
    if choice.kind != "f16" and settings.cache_type == "auto":
        yield f"memory is short, so the cache is held as {choice.kind}, in about half the room"
    if context < most:
        yield (
            f"one answer has room for {context:,} tokens here, of {most:,} that the model allows; "
            "engine.context_tokens asks for more, and leaves less for a second model"
        )
