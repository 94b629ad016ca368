"""How much of which prompt goes into the next step.

Pure; one object per context, used by one thread at a time. Guarantees:

- Prompts are read one after the other, not side by side. Attention leaves out a tile of 64 tokens
  by 64 cells when nothing in it is wanted; it can do so only where the cells of a prompt lie
  together, and read side by side they alternate (measured: half the speed with eight prompts).
- Nobody is overtaken for ever: half of the room is for the prompt that began first, the other
  half for the one with least to read.
- Prompts that come together begin their answers together, within bounds: an answer that began
  earlier would slow the reading of the others down to its own pace.

Not here: how much room there is (`pace`), and what need not be read (`scheduler`).
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.llama.batching.steps import Running

Size = tuple[Running, int]


class Reading:
    """Remembers how long prompts that were read have been waiting for the others."""

    def __init__(self) -> None:
        self._read_meanwhile = 0
        self._odd = 0

    def sizes(self, runs: Sequence[Running], budget: int, together: int) -> list[Size]:
        """Return how many tokens of each prompt to read, at most `budget` in all.

        `runs` have something to read, in the order in which they began. One whose last token is
        all that is left waits for the others while at most `together` tokens are read meanwhile.
        """
        rest = sum(run.to_read for run in runs)
        waits = budget < rest <= together - self._read_meanwhile
        readers = [run for run in runs if run.awaits is None]
        # The last token of a prompt starts its answer.
        kept_back = 1 if waits and any(run.unread > 1 for run in readers) else 0
        wanted = [(run, run.unread - kept_back) for run in readers if run.unread > kept_back]
        sizes = self._shared_out(wanted, budget)
        if kept_back and any(run.unread == 1 for run in readers):
            self._read_meanwhile += sum(size for _, size in sizes)
        else:
            self._read_meanwhile = 0
        return sizes

    def _shared_out(self, wanted: list[Size], budget: int) -> list[Size]:
        """Give the first one its half, and the rest to those who want least."""
        if not wanted:
            return []
        (first, most), *others = wanted
        self._odd = 1 - self._odd  # the one token that cannot be halved goes to each in turn
        spare = budget - sum(size for _, size in others)
        share = min(most, max(spare, (budget + self._odd) // 2))
        sizes = [(first, share)]
        left = budget - share
        for run, size in sorted(others, key=lambda each: each[1]):
            sizes.append((run, min(size, left)))
            left -= sizes[-1][1]
        return [(run, size) for run, size in sizes if size]
