"""Training batches, drawn from the generator on the fly.

Guarantee: the stream of batches is a pure function of the seed; no conversation is longer
than the context, and a batch holds at most the asked number of tokens, padding included.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import torch
from torch import Tensor

from demo_model.conversations import draw_conversation
from demo_model.notes import Side
from demo_model.tokenizer import Tokenizer

_POOL = 400  # conversations sorted by length together, so that little is padded


def _pad(rows: list[tuple[list[int], list[bool]]]) -> tuple[Tensor, Tensor]:
    """Inputs and next-token targets; -1 where the loss must not count."""
    time = max(len(tokens) for tokens, _ in rows) - 1
    inputs = torch.zeros(len(rows), time, dtype=torch.long)
    targets = torch.full((len(rows), time), -1, dtype=torch.long)
    for i, (tokens, learnt) in enumerate(rows):
        inputs[i, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        wanted = [t if use else -1 for t, use in zip(tokens[1:], learnt[1:], strict=True)]
        targets[i, : len(wanted)] = torch.tensor(wanted)
    return inputs, targets


def draw_batches(
    tokenizer: Tokenizer, *, seed: int, tokens: int, context: int, side: Side
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (inputs, targets) pairs, each (rows, time)."""
    rng = Random(seed)
    while True:
        pool = [tokenizer.encode(draw_conversation(rng, side)) for _ in range(_POOL)]
        pool = sorted((row for row in pool if len(row[0]) <= context), key=lambda row: len(row[0]))
        batches: list[list[tuple[list[int], list[bool]]]] = [[]]
        for row in pool:
            if len(row[0]) * (len(batches[-1]) + 1) > tokens:
                batches.append([])
            batches[-1].append(row)
        rng.shuffle(batches)
        yield from (_pad(batch) for batch in batches)
