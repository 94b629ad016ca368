"""What prompts have in common, and who may profit from it.

Pure. Guarantee: beyond the part that the template and the system prompt make up, what one person
asked is never reused for another, so nobody learns from a quick answer what somebody else asked.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """The tokens of a prompt; the first `public` of them say nothing of the person who asks."""

    tokens: tuple[int, ...]
    public: int = 0

    def __len__(self) -> int:
        return len(self.tokens)


def common(first: list[int], second: list[int]) -> int:
    """Return how many tokens two lists begin with alike."""
    most = min(len(first), len(second))
    if first[:most] == second[:most]:
        return most
    low, high = 0, most
    # Invariant: the first `low` are alike, the first `high` are not. Slices compare in C.
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low


@dataclass
class Held:
    """What one sequence holds: the tokens computed so far, and those still to come.

    `tokens` may grow while an answer is written; the first `computed` are in the memory.
    """

    person: str
    public: int
    tokens: list[int]
    computed: int = 0

    def offers(self, person: str, tokens: list[int], public: int) -> int:
        """Return how much of a prompt is, or will be, held here and may be reused by a person.

        At least one token of the prompt is left: the sampler needs its logits. Requests without a
        person may be anybody's, so they share with each other what they share with all.
        """
        most = len(tokens) - 1
        if person != self.person or not person:
            most = min(most, self.public, public)
        return common(self.tokens[:most], tokens[:most]) if most > 0 else 0
