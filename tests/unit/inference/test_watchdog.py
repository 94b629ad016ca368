"""When a model's process counts as wedged: decided on what was seen, without any process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.inference.engine import EngineStatus
from appliance.inference.watchdog import NOTHING_WRITTEN, STOPPED, Pace, Watch

PACE = Pace()
DOWN = EngineStatus("down")


def ready(steps: int = 1, running: int = 0) -> EngineStatus:
    return EngineStatus("ready", "d" * 64, running=running, steps=steps)


def looked(watch: Watch, status: EngineStatus, seconds: int, start: int = 0) -> list[str | None]:
    """Look once a second at a process that stands still, and return the verdicts."""
    return [watch.look(float(start + second), status) for second in range(seconds)]


def test_the_first_test_is_due_once_the_process_has_spoken() -> None:
    """Not before, since nobody knows yet whether there is anybody to ask."""
    watch = Watch(PACE)
    assert not watch.is_due(0.0)
    watch.look(0.0, ready())
    assert watch.is_due(0.0)
    watch.look(1.0, DOWN)
    watch.look(2.0, DOWN)
    assert not watch.is_due(2.0)


def test_a_token_is_asked_for_on_a_schedule() -> None:
    """The next test comes so long after the last one, and sooner after one that failed."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    watch.began(0.0)
    watch.wrote(1.0)
    watch.look(2.0, ready(2))
    assert not watch.is_due(1.0 + PACE.every - 1)
    assert watch.is_due(1.0 + PACE.every)
    watch.failed(100.0)
    assert watch.is_due(100.0 + PACE.again)


def test_a_process_that_says_nothing_is_wedged() -> None:
    """After `silent` seconds, and not a look earlier."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    verdicts = looked(watch, DOWN, 20, start=1)
    assert verdicts.index(STOPPED) == PACE.silent - 1


def test_one_word_makes_up_for_the_silence() -> None:
    """A process that answers now and then is slow and not wedged."""
    watch = Watch(PACE)
    for start in range(0, 200, 10):
        assert set(looked(watch, DOWN, 9, start)) == {None}
        assert watch.look(float(start + 9), ready()) is None


def test_a_process_that_takes_no_step_when_asked_is_wedged() -> None:
    """It says how it stands, and yet no token comes: `stuck` seconds are its last."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    watch.began(0.0)
    verdicts = looked(watch, ready(), 70, start=1)
    assert verdicts.index(NOTHING_WRITTEN) == PACE.stuck - 1


def test_tests_that_fail_at_once_are_no_excuse() -> None:
    """A process that answers each test with an error has written no token either."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    verdicts = []
    for second in range(1, 70):
        watch.began(float(second))
        watch.failed(float(second))
        verdicts.append(watch.look(float(second), ready()))
    assert NOTHING_WRITTEN in verdicts


def test_a_busy_process_is_not_wedged() -> None:
    """While its steps grow it may keep a test waiting for as long as it likes."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    watch.began(0.0)
    for second in range(1, 2_000):
        assert watch.look(float(second), ready(1 + second // 30, running=4)) is None


def test_nobody_asked_is_nobody_stuck() -> None:
    """An idle process takes no steps, and need not."""
    watch = Watch(PACE)
    assert set(looked(watch, ready(), 2_000)) == {None}


def test_requests_that_stand_still_bring_the_next_test_forward() -> None:
    """With the schedule alone a wedged process would be found a minute later."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    watch.began(0.0)
    watch.wrote(0.0)
    looked(watch, ready(running=1), 9, start=1)
    assert not watch.is_due(9.0)
    watch.look(10.0, ready(running=1))
    assert watch.is_due(10.0)


def test_a_process_that_never_counted_a_step_gets_longer() -> None:
    """Nothing tells it from a busy one; it is given up all the same in the end."""
    watch = Watch(PACE)
    watch.look(0.0, ready(0, running=1))
    watch.began(0.0)
    verdicts = looked(watch, ready(0, running=1), 700, start=1)
    assert verdicts.index(NOTHING_WRITTEN) == PACE.uncounted - 1


@pytest.mark.parametrize("status", [DOWN, ready()])
def test_a_machine_that_slept_is_not_a_process_that_did(status: EngineStatus) -> None:
    """However long nobody looked, one look is one look."""
    watch = Watch(PACE)
    watch.look(0.0, ready())
    watch.began(0.0)
    assert watch.look(50_000.0, status) is None


@given(
    st.lists(st.tuples(st.floats(0.1, 600.0), st.integers(0, 4), st.booleans()), max_size=60),
)
def test_steps_that_always_grow_are_never_wedged(looks: list[tuple[float, int, bool]]) -> None:
    """Whatever the pauses between looks and the requests, a moving process lives."""
    watch, now = Watch(PACE), 0.0
    for count, (pause, running, asked) in enumerate(looks, start=1):
        now += pause
        if asked:
            watch.began(now)
        assert watch.look(now, ready(count, running)) is None
