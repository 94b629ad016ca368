"""Train the demo model from nothing and write demo.gguf; same seeds, same data and steps.

Usage: python models/demo/train.py [--share S] [--work FOLDER] [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from demo_model.batches import draw_batches
from demo_model.gguf_writer import write_gguf
from demo_model.model import Llama, Shape
from demo_model.notes import PLAIN, TRAINING, Side
from demo_model.optimizer import make_optimizers
from demo_model.tokenizer import Tokenizer, train_tokenizer

HERE = Path(__file__).resolve().parent
SEED = 20_260_101
BATCH_TOKENS = 4096
FULL_RATES = (0.02, 0.004)  # matrices, and all other weights


@dataclass(frozen=True)
class Cycle:
    """One rise and fall of the learning rate over notes of one kind."""

    steps: int
    side: Side
    scale: float  # of the full rates
    warm_up: int
    cool_down: float  # share of the steps during which the rate falls
    from_mean: bool = False  # of the weights after the two cycles before

    def rate(self, step: int) -> float:
        """Share of the full rates: warm up, hold, then fall in a line to nothing."""
        left = (self.steps - step) / (self.cool_down * self.steps)
        return self.scale * max(0.0, min(1.0, (step + 1) / self.warm_up, left))


# README.md says in what the shipped file's training differed.
CYCLES = (
    Cycle(2200, PLAIN, scale=1.0, warm_up=100, cool_down=0.6),
    Cycle(1400, TRAINING, scale=0.5, warm_up=50, cool_down=0.9),
    Cycle(2400, TRAINING, scale=0.5, warm_up=60, cool_down=0.85),
    Cycle(1700, TRAINING, scale=0.4, warm_up=40, cool_down=0.95),
    Cycle(1321, TRAINING, scale=0.5, warm_up=30, cool_down=1.0, from_mean=True),
)


def run_cycle(model: Llama, tokenizer: Tokenizer, cycle: Cycle, *, seed: int) -> None:
    """Train for one cycle with fresh optimizers, with a log line now and then."""
    optimizers = make_optimizers(model, matrix_rate=0.0, other_rate=0.0)
    batches = draw_batches(
        tokenizer, seed=seed, tokens=BATCH_TOKENS, context=model.shape.context, side=cycle.side
    )
    started, seen, recent = time.monotonic(), 0, 0.0
    for step in range(cycle.steps):
        inputs, targets = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.loss(inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer, full in zip(optimizers, FULL_RATES, strict=True):
            optimizer.param_groups[0]["lr"] = full * cycle.rate(step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += inputs.numel()
        recent = 0.98 * recent + 0.02 * loss.item() if step else loss.item()
        if step % 100 == 99 or step == 0:
            speed = seen / (time.monotonic() - started)
            print(f"step {step + 1} loss {recent:.4f} tokens {seen} per s {speed:.0f}", flush=True)


def mean_of_weights(paths: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of saved weights: it misreads new wording less than either of them."""
    saved = [torch.load(path) for path in paths]
    return {name: sum(weights[name] for weights in saved) / len(saved) for name in saved[0]}


def train(share: float, work: Path) -> tuple[Llama, Tokenizer]:
    """Run all cycles on one thread; the weights are the mean of the last one's start and end."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the sum order, and so the weights, depend on it
    tokenizer = Tokenizer(train_tokenizer(work, seed=SEED))
    model = Llama(Shape())
    for number, cycle in enumerate(CYCLES, start=1):
        if cycle.from_mean:
            before = [work / f"cycle-{number - back}.pt" for back in (2, 1)]
            model.load_state_dict(mean_of_weights(before))
            torch.save(model.state_dict(), work / "mean.pt")
        shorter = replace(cycle, steps=max(1, round(cycle.steps * share)))
        run_cycle(model, tokenizer, shorter, seed=SEED + number)
        torch.save(model.state_dict(), work / f"cycle-{number}.pt")
    ends = [work / "mean.pt", work / f"cycle-{len(CYCLES)}.pt"]
    model.load_state_dict(mean_of_weights(ends))
    return model, tokenizer


def main(arguments: list[str]) -> int:
    """Read the options, train, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the steps, for a trial")
    parser.add_argument("--work", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--out", type=Path, default=HERE / "demo.gguf")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    model, tokenizer = train(options.share, options.work)
    write_gguf(options.out, model, tokenizer)
    print(f"wrote {options.out}: {options.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
