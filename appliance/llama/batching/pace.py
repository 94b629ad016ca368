"""How many prompt tokens one step may take, so that running answers hardly notice.

Pure: durations come in. While nobody reads an answer that is being written, a step takes about
`IDLE_STEP_S`, or what `IDLE_LEAST` tokens take: so long a newcomer waits (a Stop does not). While
answers are written, it takes at most about `STRETCH` times what a step without any prompt takes,
and `OVERALL` times what one took before somebody began to read; or what nobody sees. What a step
without a prompt takes and what each prompt token adds is learned from the steps themselves, every
`PLAIN_EVERY`th of which holds no prompt for that; so depth of context, other load and the kind of
machine need no model.
"""

from __future__ import annotations

IDLE_STEP_S = 0.5
# The promise is a pause of at most 3 times the usual one; steps vary, so the aim is lower.
STRETCH = 2.0
# Steps grow longer by themselves while a long prompt is read, with all that is held meanwhile. The
# promise counts from before that.
OVERALL = 2.5
# Nobody sees a pause as short as this; small models would read long prompts in crumbs without it.
UNSEEN_S = 0.015
# Attention is computed for tiles of 64 tokens, and from so many tokens on: a prompt that is read
# for nobody else's harm is not cut smaller than two of them, nor between two.
TILE = 64
IDLE_LEAST = 2 * TILE
FIRST_BUSY = 8
PLAIN_EVERY = 16
# Prompts that come together begin their answers together, if that takes no longer than this.
TOGETHER_S = 6.0
# Speed that is assumed until a step was seen, in tokens/s.
FIRST_SPEED = 128.0
# How far a step moves what was learned: far towards smaller pieces, slowly towards larger ones, so
# that one slow step makes nobody believe that pauses are usual.
WARNED, ASSURED = 0.5, 0.15
# The speed of reading alone bounds no pause, and follows evenly.
EVENLY = 0.25
# How far one step may move the size upwards: one quick step does not make all steps quick.
MOST_UP = 1.4


class Pace:
    """Learns from each step; `most` is what llama.cpp takes in one batch."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._speed = FIRST_SPEED
        self._busy_size = float(min(FIRST_BUSY, most))
        self._since_plain = 0
        # Seconds that a prompt token adds to a step with answers in it.
        self._added = 0.0
        # Seconds of a step without a prompt, by the number of answers in it.
        self._usual: dict[int, float] = {}
        # The same, from before somebody began to read.
        self._calm: dict[int, float] = {}

    @property
    def together(self) -> int:
        """How many prompt tokens may be read while answers wait to begin with the others."""
        return int(self._speed * TOGETHER_S)

    def budget(self, answers: int) -> int:
        """Return how many prompt tokens the next step may hold beside so many answers.

        Nothing now and then, and at least one token whenever no answer is written.
        """
        if answers and self._since_plain >= PLAIN_EVERY:
            return 0
        if answers:
            return int(self._busy_size)
        return min(max(IDLE_LEAST, int(self._speed * IDLE_STEP_S) // TILE * TILE), self._most)

    def note(self, answers: int, prompt_tokens: int, seconds: float) -> None:
        """Learn from a step of so many answers and prompt tokens that took `seconds`."""
        seconds = max(seconds, 1e-6)
        if not prompt_tokens and not self._since_plain:
            # Nobody reads beside these answers; whoever comes next stands at another depth.
            self._busy_size = min(self._busy_size, float(FIRST_BUSY))
            self._calm = {answers: self._usual.get(answers, seconds)}
        self._since_plain = self._since_plain + 1 if prompt_tokens else 0
        if not prompt_tokens:
            self._note_plain(answers, seconds)
        elif answers:
            self._note_busy(answers, prompt_tokens, seconds)
        elif prompt_tokens >= TILE:  # what few tokens take says little of what many take
            self._speed = _moved(self._speed, prompt_tokens / seconds, EVENLY)

    def _note_plain(self, answers: int, seconds: float) -> None:
        before = self._usual.get(answers, seconds)
        self._usual[answers] = _moved(before, seconds, WARNED if seconds < before else ASSURED)

    def _note_busy(self, answers: int, prompt_tokens: int, seconds: float) -> None:
        usual, more = self._nearest(answers, seconds)
        if prompt_tokens < int(self._busy_size) and seconds < STRETCH * usual:
            return  # what a crumb took says little of what a whole piece would take
        # A token of one answer more costs about as much as a prompt's.
        added = max(seconds - usual, 1e-6) / max(1, prompt_tokens + more)
        before = self._added or added
        self._added = _moved(before, added, WARNED if added > before else ASSURED)
        usual = max(usual / 2, usual + more * self._added)
        calm = self._calm.get(answers, usual)
        aim = max(UNSEEN_S, min(STRETCH * usual, OVERALL * calm))
        size = min((aim - usual) / self._added, self._busy_size * MOST_UP)
        self._busy_size = min(float(self._most), max(1.0, size))

    def _nearest(self, answers: int, seconds: float) -> tuple[float, int]:
        """Return what a step of the nearest known number of answers takes, and how many more."""
        if not self._usual:
            return seconds / STRETCH, 0
        known = min(self._usual, key=lambda count: abs(count - answers))
        return self._usual[known], answers - known


def _moved(value: float, towards: float, share: float) -> float:
    return value + share * (towards - value)
