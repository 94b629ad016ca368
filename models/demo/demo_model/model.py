"""The network: a small Llama with tied embeddings.

Guarantee: the arithmetic is that of llama.cpp's `llama` architecture with interleaved-pair
RoPE, so that q and k need no permutation on export.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; widths are multiples of 32, which Q8_0 rows need."""

    vocabulary: int = 1280
    width: int = 192
    layers: int = 5
    heads: int = 6
    feed_forward: int = 512
    context: int = 512
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine per position and pair, each (context, head_width / 2)."""
    pairs = torch.arange(0, shape.head_width, 2).float() / shape.head_width
    angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base**-pairs)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs of x (batch, heads, time, head_width) by position."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2)


class Block(nn.Module):
    """Attention and a gated feed-forward layer, each behind an RMS norm."""

    def __init__(self, shape: Shape) -> None:
        """Create the weights; matrices carry no bias, as in Llama."""
        super().__init__()
        self.shape = shape
        width, inner = shape.width, shape.feed_forward
        self.attn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, width, bias=False)
        self.attn_v = nn.Linear(width, width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(width, inner, bias=False)
        self.ffn_up = nn.Linear(width, inner, bias=False)
        self.ffn_down = nn.Linear(inner, width, bias=False)

    def attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Causal self-attention over (batch, time, width)."""
        batch, time, _ = x.shape

        def split(y: Tensor) -> Tensor:
            return y.view(batch, time, self.shape.heads, -1).transpose(1, 2)

        v = split(self.attn_v(x))
        q = rotate(split(self.attn_q(x)), cos, sin).to(v.dtype) * self.shape.head_width**-0.5
        k = rotate(split(self.attn_k(x)), cos, sin).to(v.dtype)
        # Written out, because the fused kernel's backward pass is twice as slow on CPU.
        scores = q @ k.transpose(-1, -2)
        future = torch.full((time, time), -torch.inf, dtype=scores.dtype).triu(1)
        mixed = (scores + future).softmax(-1).to(v.dtype) @ v
        joined: Tensor = self.attn_output(mixed.transpose(1, 2).reshape(batch, time, -1))
        return joined

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """One block over (batch, time, width)."""
        x = x + self.attend(self.attn_norm(x), cos, sin)
        y = self.ffn_norm(x)
        inner: Tensor = self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return x + inner


class Llama(nn.Module):
    """Token numbers in, loss out."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        """Create the weights from the current torch seed."""
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        cos, sin = rotary_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                small = name.endswith(("attn_output.weight", "ffn_down.weight"))
                std = 0.02 / (2 * shape.layers) ** 0.5 if small else 0.02
                nn.init.normal_(weight, std=std)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the targets that are not -1; both are (batch, time)."""
        time = tokens.shape[1]
        x = self.token_embd(tokens)
        cos, sin = self.cos[:time].to(x.dtype), self.sin[:time].to(x.dtype)
        for block in self.blk:
            x = block(x, cos, sin)
        counted = targets.flatten() != -1
        x = self.output_norm(x.flatten(0, 1)[counted])
        logits = functional.linear(x, self.token_embd.weight)
        return functional.cross_entropy(logits.float(), targets.flatten()[counted])
