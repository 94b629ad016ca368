"""What prompts have in common."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.batching.prefixes import Held, common

TOKENS = st.lists(st.integers(0, 2), max_size=40)


@given(TOKENS, TOKENS)
def test_the_common_beginning_is_exact(first: list[int], second: list[int]) -> None:
    """Bisection finds the same length as comparing token by token."""
    pairs = zip(first, second, strict=False)
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    assert common(first, second) == len(list(alike))


@given(TOKENS, TOKENS, st.integers(0, 40), st.integers(0, 40))
def test_another_person_gets_only_what_both_call_public(
    held: list[int], wanted: list[int], of_held: int, of_wanted: int
) -> None:
    """Whatever two prompts have in common, others reuse no more than both public parts."""
    sequence = Held("anna", of_held, held)
    for person in ("anna", "ben"):
        offered = sequence.offers(person, wanted, of_wanted)
        assert held[:offered] == wanted[:offered]
        assert offered <= max(0, len(wanted) - 1)
    assert sequence.offers("ben", wanted, of_wanted) <= min(of_held, of_wanted)


@given(TOKENS, st.integers(0, 40))
def test_who_names_no_person_shares_as_with_a_stranger(tokens: list[int], public: int) -> None:
    """Two requests without a person may be two people's."""
    assert Held("", public, tokens).offers("", tokens, public) <= public
