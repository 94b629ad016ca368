"""How much of a prompt goes into one step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.batching.pace import IDLE_STEP_S, Pace


def settle(pace: Pace, answers: int, base: float, each: float, steps: int = 200) -> float:
    """Drive a machine that takes `base` and `each` prompt token; return the last step's time."""
    seconds = 0.0
    for _ in range(steps):
        budget = pace.budget(answers)
        seconds = base + budget * each
        pace.note(answers, budget, seconds)
    return seconds


def test_without_running_answers_a_step_stays_short() -> None:
    """A newcomer waits about a quarter of a second for the step before."""
    assert settle(Pace(2048), 0, 0.01, 0.001) == pytest.approx(IDLE_STEP_S, rel=0.3)


def test_a_fast_machine_reads_in_large_pieces() -> None:
    """Where a prompt costs next to nothing, the batch is used whole."""
    pace = Pace(2048)
    settle(pace, 0, 0.001, 0.00001)
    assert pace.budget(0) == 2048


@pytest.mark.parametrize("each", [0.0001, 0.003, 0.02])
def test_running_answers_pause_at_most_three_times_their_gap(each: float) -> None:
    """Whatever a prompt token costs, a step with answers in it stays under three usual ones."""
    pace = Pace(2048)
    for _ in range(20):
        pace.note(8, 0, 0.05)
    assert settle(pace, 8, 0.05, each) <= 3 * 0.05


def test_a_growing_context_makes_the_pieces_smaller() -> None:
    """As reading gets dearer with depth, steps stay within the promise."""
    pace = Pace(2048)
    for _ in range(20):
        pace.note(8, 0, 0.05)
    worst = 0.0
    for done in range(1_000):
        budget = pace.budget(8)
        seconds = 0.05 + done * 0.00002 + budget * 0.003
        pace.note(8, budget, seconds)
        worst = max(worst, seconds) if done > 20 else worst
    assert worst <= 3 * 0.05


@given(
    st.integers(1, 4096),
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 4096), st.floats(0, 100)), max_size=50),
)
def test_a_budget_is_always_between_one_and_the_batch(
    most: int, steps: list[tuple[int, int, float]]
) -> None:
    """No history of steps, however odd, leads to a budget that cannot be used."""
    pace = Pace(most)
    for answers, prompt_tokens, seconds in steps:
        pace.note(answers, prompt_tokens, seconds)
        assert 1 <= pace.budget(0) <= most
        assert 1 <= pace.budget(5) <= most
