"""The words that plans are made of: a request, where it stands in its slot, and one step.

Pure. Not here: who decides (`scheduler`, `reading`), and who carries it out (`batch`, `context`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.llama.batching.prefixes import Held, Prompt
from appliance.llama.batching.sequences import Copy


@dataclass(frozen=True)
class Request:
    """What the scheduler needs of a request; `most` is the longest answer, in tokens."""

    ticket: int
    person: str
    prompt: Prompt
    most: int
    seeded: bool = False

    @property
    def cells(self) -> int:
        return len(self.prompt) + self.most


@dataclass(frozen=True)
class Part:
    """Tokens of one request in a step: `tokens` from position `start` on, in `sequence`.

    `reads`: they are of its prompt; `last`: the token after them is wanted.
    """

    ticket: int
    sequence: int
    start: int
    tokens: tuple[int, ...]
    reads: bool
    last: bool


@dataclass(frozen=True)
class Load:
    """The first `length` tokens of what was written down become those of `sequence`."""

    ticket: int
    sequence: int
    state: object
    length: int


@dataclass(frozen=True)
class Opening:
    """What is to be done before a step is planned, in this order: forget, load."""

    forget: tuple[int, ...]
    load: Load | None


@dataclass(frozen=True)
class Step:
    """What is to be done now, in this order: copy, compute."""

    copies: tuple[Copy, ...]
    parts: tuple[Part, ...]

    @property
    def answers(self) -> int:
        return sum(not part.reads for part in self.parts)

    @property
    def prompt_tokens(self) -> int:
        return sum(len(part.tokens) for part in self.parts if part.reads)


@dataclass
class Running:
    """A request in a slot.

    `awaits`: the sequence that is computing what this one will copy; `expects`: so many tokens.
    """

    request: Request
    sequence: int
    held: Held
    awaits: int | None = None
    expects: int = 0
    begun: bool = False
    prompt: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = list(self.request.prompt.tokens)

    @property
    def unread(self) -> int:
        """How many tokens of the prompt are not computed yet."""
        return max(0, len(self.prompt) - self.held.computed)

    @property
    def to_read(self) -> int:
        """How many tokens of the prompt have to be computed for this request."""
        return self.unread - self.expects

    def part(self, size: int) -> Part:
        """Return the next `size` tokens: of the prompt, or the answer's newest one."""
        start, reads = self.held.computed, bool(self.unread)
        tokens = tuple(self.held.tokens[start : start + size])
        last = not reads or size == self.unread
        return Part(self.request.ticket, self.sequence, start, tokens, reads=reads, last=last)
