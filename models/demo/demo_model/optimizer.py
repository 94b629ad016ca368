"""Muon for the matrices of the blocks, AdamW for the rest.

Source: Keller Jordan et al., "Muon: an optimizer for hidden layers" (2024). In a trial it
reached the same loss in half the steps that AdamW alone needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from demo_model.model import Llama

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(gradient: Tensor, *, steps: int = 5) -> Tensor:
    """Newton-Schulz: a matrix with the same row and column spaces and values near 1."""
    x = gradient.bfloat16()
    if x.shape[0] > x.shape[1]:
        return orthogonalise(gradient.T, steps=steps).T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    result: Tensor = x.to(gradient.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per matrix."""

    def __init__(self, matrices: Sequence[Tensor], *, lr: float, momentum: float = 0.95) -> None:
        """Take two-dimensional weights only."""
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update; the scale keeps tall and wide matrices equally quick."""
        for group in self.param_groups:
            for weight in group["params"]:
                buffer = self.state[weight].setdefault("buffer", torch.zeros_like(weight))
                buffer.lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalise(weight.grad.lerp(buffer, group["momentum"]))
                scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * 0.01)
                weight.add_(update, alpha=-group["lr"] * scale)


def make_optimizers(
    model: Llama, *, matrix_rate: float, other_rate: float
) -> tuple[Muon, torch.optim.AdamW]:
    """One optimizer for the block matrices, one for the embedding and the norms."""
    matrices = [w for w in model.blk.parameters() if w.ndim == 2]
    chosen = {id(w) for w in matrices}
    rest = [w for w in model.parameters() if id(w) not in chosen]
    other = torch.optim.AdamW(rest, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0)
    return Muon(matrices, lr=matrix_rate), other
