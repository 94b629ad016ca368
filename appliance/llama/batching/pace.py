"""How many prompt tokens one step may take, so that running answers hardly notice.

Pure: durations come in. While nobody reads an answer that is being written, a step takes about
`IDLE_STEP_S`, or what `IDLE_LEAST` tokens take: so long a newcomer waits (a Stop does not). While
answers are written, it takes at most about `STRETCH` times what a step without any prompt takes,
or what nobody sees. The size follows what steps really took, so depth of context, other load and
the kind of machine need no model here.
"""

from __future__ import annotations

IDLE_STEP_S = 0.25
# The promise is a pause of at most 3 times the usual one; steps vary, so the aim is lower.
STRETCH = 1.9
# Nobody sees a pause as short as this; small models would read long prompts in crumbs without it.
UNSEEN_S = 0.015
LEAST = 4
# Attention costs much per step at a depth of thousands and little per token, so a prompt that is
# read for nobody else's harm is not cut smaller than this.
IDLE_LEAST = 128
FIRST, FIRST_BUSY = 32, 8
# How far one step may move the size: a single slow step must not undo what many have taught.
MOST_DOWN, MOST_UP = 0.5, 1.4
MEMORY = 0.25


class Pace:
    """Learns from each step; `most` is what llama.cpp takes in one batch."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._idle_size = float(min(FIRST, most))
        self._busy_size = float(min(FIRST_BUSY, most))
        # Seconds of a step without a prompt, by the number of answers in it.
        self._usual: dict[int, float] = {}

    def budget(self, answers: int) -> int:
        """Return how many prompt tokens the next step may hold beside so many answers."""
        size = self._busy_size if answers else max(IDLE_LEAST, self._idle_size)
        return max(1, min(int(size), self._most))

    def note(self, answers: int, prompt_tokens: int, seconds: float) -> None:
        """Learn from a step of so many answers and prompt tokens that took `seconds`."""
        if not prompt_tokens:
            before = self._usual.get(answers, seconds)
            self._usual[answers] = before + MEMORY * (seconds - before)
        elif answers:
            aim = max(UNSEEN_S, STRETCH * self._usual_of(answers, seconds))
            if prompt_tokens >= int(self._busy_size) or seconds > aim:
                self._busy_size = self._moved(self._busy_size, aim, seconds)
        elif prompt_tokens >= int(self._idle_size) or seconds > IDLE_STEP_S:
            self._idle_size = self._moved(self._idle_size, IDLE_STEP_S, seconds)

    def _usual_of(self, answers: int, seconds: float) -> float:
        """Return what a step of so many answers takes, from the nearest number known."""
        if not self._usual:
            return seconds / STRETCH
        return self._usual[min(self._usual, key=lambda known: abs(known - answers))]

    def _moved(self, size: float, aim: float, seconds: float) -> float:
        factor = min(MOST_UP, max(MOST_DOWN, aim / max(seconds, 1e-6)))
        return min(float(self._most), max(float(min(LEAST, self._most)), size * factor))
