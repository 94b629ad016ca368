"""How much of a prompt goes into one step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.batching.pace import FIRST_BUSY, IDLE_STEP_S, PLAIN_EVERY, TOGETHER_S, Pace


def settle(pace: Pace, answers: int, base: float, each: float, steps: int = 200) -> float:
    """Drive a machine that takes `base` and `each` prompt token; return the longest late step."""
    seconds: list[float] = []
    for _ in range(steps):
        budget = pace.budget(answers)
        seconds.append(base + budget * each)
        pace.note(answers, budget, seconds[-1])
    return max(seconds[steps // 2 :])


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
        assert 0 <= pace.budget(5) <= most
        assert pace.together >= 0


def test_a_number_of_answers_never_seen_alone_is_estimated() -> None:
    """Five answers take longer than the one that was timed; prompts are not starved for it."""
    pace = Pace(2048)
    for _ in range(20):
        pace.note(1, 0, 0.010)
    for _ in range(PLAIN_EVERY - 1):
        budget = pace.budget(5)
        pace.note(5, budget, 0.010 + (4 + budget) * 0.004)
    assert pace.budget(5) >= 4


def test_what_a_step_usually_takes_is_measured_anew_while_a_prompt_is_read() -> None:
    """Now and then a step holds no prompt, so that a machine that grew slow is noticed."""
    pace = Pace(2048)
    pace.note(3, 0, 0.03)
    budgets = []
    for _ in range(40):
        budgets.append(pace.budget(3))
        pace.note(3, budgets[-1], 0.03 + 0.005 * budgets[-1])
    assert budgets.count(0) == 2


def test_crumbs_do_not_make_pieces_large() -> None:
    """Prompts of a token or two cost nothing that is seen, which says nothing of long ones."""
    pace = Pace(2048)
    for _ in range(20):
        pace.note(3, 0, 0.03)
    before = pace.budget(3)
    for _ in range(10):
        pace.note(3, 1, 0.03)
    assert pace.budget(3) <= before


def test_reading_beside_answers_begins_small() -> None:
    """What an earlier prompt taught, at its own depth, is not taken for what the next one costs."""
    pace = Pace(2048)
    for _ in range(20):
        pace.note(3, 0, 0.03)
    settle(pace, 3, 0.03, 0.0001)
    assert pace.budget(3) > 10 * FIRST_BUSY
    pace.note(3, 0, 0.03)
    pace.note(3, 0, 0.03)
    assert pace.budget(3) <= FIRST_BUSY


def test_more_may_be_read_together_on_a_fast_machine() -> None:
    """Answers wait for each other by time, so the tokens read meanwhile follow the speed."""
    slow, fast = Pace(2048), Pace(2048)
    for _ in range(20):
        slow.note(0, 128, 4.0)
        fast.note(0, 128, 0.05)
    assert slow.together == pytest.approx(32 * TOGETHER_S, rel=0.1)
    assert fast.together == pytest.approx(2_560 * TOGETHER_S, rel=0.1)
