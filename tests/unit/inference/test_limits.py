"""Conversations are cut to the model's context without losing what matters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ContextOverflowError
from appliance.inference.engine import Message
from appliance.inference.limits import Messages, fit_history

SYSTEM = Message("system", "rules")


def size(messages: Messages) -> int:
    return sum(len(message.content) for message in messages)


class Counter:
    """Counts tokens, and how often it was asked to."""

    calls = 0

    def __call__(self, messages: Messages) -> int:
        self.calls += 1
        return size(messages)


def conversation(turns: int, length: int = 10) -> Messages:
    asked = "q" * length
    pairs = [(Message("user", asked), Message("assistant", "a" * length))] * (turns - 1)
    return (SYSTEM, *(message for pair in pairs for message in pair), Message("user", asked))


def test_what_fits_is_left_alone_and_counted_once() -> None:
    """The usual case costs one count."""
    count = Counter()
    fitted = fit_history(conversation(3), count, 1000)
    assert (fitted.messages, fitted.dropped, count.calls) == (conversation(3), 0, 1)


def test_oldest_turns_go_first_and_whole() -> None:
    """A question goes with its answer, and the number of turns that went is told."""
    fitted = fit_history(conversation(5), size, 60)
    assert fitted.messages == (SYSTEM, *conversation(5)[5:])
    assert (fitted.dropped, fitted.tokens) == (2, 55)


def test_a_long_conversation_needs_few_counts() -> None:
    """Counting is a round trip, so a thousand turns cost about ten of them."""
    count = Counter()
    fit_history(conversation(1000), count, 105)
    assert count.calls <= 12


def test_a_question_too_long_alone_is_refused_with_numbers() -> None:
    """System prompt and last question are never dropped; if they do not fit, it is an error."""
    with pytest.raises(ContextOverflowError, match=r"105 tokens.*at most 50"):
        fit_history(conversation(3, length=100), size, 50)


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 700))
def test_the_longest_recent_part_is_kept(turns: int, length: int, budget: int) -> None:
    """System prompt and last question stay, the budget holds, and one more turn would not fit."""
    messages = conversation(turns, length)
    if size((SYSTEM, messages[-1])) > budget:
        with pytest.raises(ContextOverflowError):
            fit_history(messages, size, budget)
        return
    fitted = fit_history(messages, size, budget)
    assert fitted.messages[0] == SYSTEM
    assert fitted.messages[-1] == messages[-1]
    assert fitted.tokens == size(fitted.messages) <= budget
    assert fitted.dropped == 0 or fitted.tokens + 2 * length > budget


def test_a_conversation_too_long_to_be_counted_is_cut_all_the_same() -> None:
    """An engine may refuse to count what fits no context; then older turns go until it can."""

    def count(messages: Messages) -> int:
        if size(messages) > 70:
            raise ContextOverflowError("too long to be counted")
        return size(messages)

    assert fit_history(conversation(500), count, 60) == fit_history(conversation(500), size, 60)
    with pytest.raises(ContextOverflowError):
        fit_history(conversation(3, length=100), count, 60)
