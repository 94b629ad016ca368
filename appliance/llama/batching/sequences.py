"""The sequences of one memory: which are free, which hold a finished conversation for reuse.

Pure. Guarantee: a number is in use by one request or one kept conversation at a time, and what is
to be forgotten is told before its number is used again. Who may reuse what is in `prefixes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.llama.batching.prefixes import Held


@dataclass(frozen=True)
class Copy:
    """The first `length` tokens of `source` become those of `target`."""

    source: int
    target: int
    length: int


class Sequences:
    """`running` sequences at most, and `kept` conversations of `tokens` together beside them.

    Attention passes over kept tokens too, if only to skip them, so keeping is not free.
    """

    def __init__(self, running: int, kept: int, tokens: int) -> None:
        self._count = running + kept
        self._most_kept = kept
        self._most_tokens = tokens
        # By sequence, the longest unused first.
        self.kept: dict[int, Held] = {}
        self._free = list(range(self._count))[::-1]
        self._forget: list[int] = []
        self._copies: list[Copy] = []

    @property
    def kept_tokens(self) -> int:
        return sum(len(held.tokens) for held in self.kept.values())

    def take(self) -> int:
        """Return a sequence for a request that begins."""
        return self._free.pop()

    def release(self, sequence: int) -> None:
        """Let its memory go."""
        self._forget.append(sequence)
        self._free.append(sequence)

    def keep(self, sequence: int, held: Held, running: Iterable[Held]) -> None:
        """Hold on to a finished conversation, unless another one says the same and more."""
        repeated = any(
            other.person == held.person
            and other.computed >= held.computed
            and other.tokens[: held.computed] == held.tokens
            for other in (*self.kept.values(), *running)
        )
        fits = self._most_kept and 0 < len(held.tokens) <= self._most_tokens
        if not fits or repeated:
            self.release(sequence)
            return
        while len(self.kept) >= self._most_kept:
            self._drop(next(iter(self.kept)))
        self.shrink(self._most_tokens - len(held.tokens), None)
        self.kept[sequence] = held

    def shrink(self, most: int, useful: int | None) -> None:
        """Let go of kept conversations until they hold at most so many tokens.

        The `useful` one goes last, when its room is needed more than its text.
        """
        while self.kept_tokens > most:
            self._drop(next((kept for kept in self.kept if kept != useful), useful))

    def copy(self, copy: Copy) -> None:
        """Plan a copy; a kept conversation that was used goes last."""
        self._copies.append(copy)
        if copy.source in self.kept:
            self.kept[copy.source] = self.kept.pop(copy.source)

    def due(self) -> tuple[tuple[int, ...], tuple[Copy, ...]]:
        """Return what is to be forgotten and then copied before the next step, once."""
        due = tuple(self._forget), tuple(self._copies)
        self._forget, self._copies = [], []
        return due

    def clear(self) -> None:
        """Note that the memory is empty."""
        self.kept.clear()
        self._free = list(range(self._count))[::-1]
        self._forget, self._copies = [], []

    def _drop(self, sequence: int | None) -> None:
        if sequence is None:
            raise AssertionError("nothing is kept, so nothing can be let go")
        del self.kept[sequence]
        self.release(sequence)
