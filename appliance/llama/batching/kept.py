"""Finished conversations, held for their next question outside of the context's memory.

In the memory they would cost every step of everybody else: attention passes over all cells up to
the last one in use, if only to skip them. Written down and brought back they cost a copy, a few
milliseconds per thousand tokens. Nobody's words stay for long: what was not used for `MOST_AGE_S`
goes. Pure: what llama.cpp wrote down of a sequence is opaque here, and times, in seconds, come in.
Who may reuse what is in `prefixes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.llama.batching.prefixes import Held

# Looking for a beginning passes over all of them.
MOST_CONVERSATIONS = 64
# As long as somebody may take to read an answer and ask on.
MOST_AGE_S = 900.0


@dataclass(eq=False)
class Kept:
    """One conversation; `state` is what the context wrote down of all its tokens."""

    held: Held
    state: object
    used: float


class Conversations:
    """The conversations that are kept, of at most `tokens` together, the longest unused first."""

    def __init__(self, tokens: int) -> None:
        self._most = tokens
        self._now = 0.0
        self._kept: list[Kept] = []

    @property
    def tokens(self) -> int:
        return sum(len(kept.held.tokens) for kept in self._kept)

    def wants(self, held: Held) -> bool:
        """Tell whether a conversation is worth writing down: it fits, and none says as much."""
        return 0 < len(held.tokens) <= self._most and not any(
            kept.held.person == held.person and kept.held.tokens[: len(held.tokens)] == held.tokens
            for kept in self._kept
        )

    def make_room(self, held: Held) -> None:
        """Let go of what a conversation continues, then of the longest unused ones."""
        self._kept = [
            kept
            for kept in self._kept
            if kept.held.person != held.person
            or held.tokens[: len(kept.held.tokens)] != kept.held.tokens
        ]
        room = self._most - len(held.tokens)
        while self._kept and (self.tokens > room or len(self._kept) >= MOST_CONVERSATIONS):
            del self._kept[0]

    def keep(self, held: Held, state: object) -> None:
        """Keep a conversation for which there is room."""
        self._kept.append(Kept(held, state, self._now))

    def best(self, person: str, tokens: list[int], public: int) -> tuple[Kept | None, int]:
        """Return the conversation that holds most of a prompt, and how much of it."""
        best: tuple[Kept | None, int] = (None, 0)
        for kept in self._kept:
            length = kept.held.offers(person, tokens, public)
            if length > best[1]:
                best = (kept, length)
        return best

    def use(self, kept: Kept) -> None:
        """Note that one was used: it goes last."""
        kept.used = self._now
        self._kept.remove(kept)
        self._kept.append(kept)

    def age(self, now: float) -> None:
        """Note what time it is, and let go of what was not used for `MOST_AGE_S`."""
        self._now = now
        self._kept = [kept for kept in self._kept if now - kept.used < MOST_AGE_S]

    def clear(self) -> None:
        self._kept.clear()
