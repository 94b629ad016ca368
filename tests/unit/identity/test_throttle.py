"""Failed attempts that belong to no account are counted, within bounds."""

from __future__ import annotations

from appliance.identity.throttle import SOURCE_FACTOR, Attempts, Throttle
from tests.simulators.manual_clock import ManualClock


def test_it_locks_at_the_given_number(clock: ManualClock) -> None:
    """The failures before are free; the last one says how long it locks."""
    throttle = Throttle(clock, failures=3, lock_s=60)
    assert [throttle.note_failure("10.0.0.7") for _ in range(3)] == [None, None, 60]
    assert throttle.locked_for("10.0.0.7") == 60


def test_it_opens_again(clock: ManualClock) -> None:
    """The lock ends by itself, to the second."""
    throttle = Throttle(clock, failures=1, lock_s=60)
    throttle.note_failure("a")
    clock.advance(59.5)
    assert throttle.locked_for("a") == 1
    clock.advance(0.5)
    assert throttle.locked_for("a") == 0


def test_old_failures_are_forgotten(clock: ManualClock) -> None:
    """Typing errors of different days do not add up."""
    throttle = Throttle(clock, failures=2, lock_s=60)
    throttle.note_failure("a")
    clock.advance(60)
    assert throttle.note_failure("a") is None


def test_setting_the_clock_opens_nothing(clock: ManualClock) -> None:
    """Only time that passed counts."""
    throttle = Throttle(clock, failures=1, lock_s=60)
    throttle.note_failure("a")
    clock.set_back(-3600)
    assert throttle.locked_for("a") == 60


def test_its_memory_is_bounded(clock: ManualClock) -> None:
    """A flood of made-up names takes no more room than its capacity."""
    throttle = Throttle(clock, failures=1, lock_s=60, capacity=10)
    for number in range(1000):
        throttle.note_failure(f"name {number}")
    assert len(throttle._counts) == 10
    assert throttle.locked_for("name 999") == 60


def test_a_name_without_account_locks_like_one_with(clock: ManualClock) -> None:
    """In whatever case it is typed, so that the lock-out does not tell which names exist."""
    attempts = Attempts(clock, 2, 60)
    assert attempts.note_unknown_failure("Nobody") is None
    assert attempts.note_unknown_failure(" nobody") == 60
    assert attempts.unknown_locked_for("NOBODY") == 60


def test_an_address_may_fail_more_often_than_an_account(clock: ManualClock) -> None:
    """A whole ward can come from one address."""
    attempts = Attempts(clock, 5, 60)
    outcomes = [attempts.note_source_failure("10.0.0.7") for _ in range(5 * SOURCE_FACTOR)]
    assert outcomes[:-1] == [None] * (5 * SOURCE_FACTOR - 1)
    assert attempts.source_locked_for("10.0.0.7") == 60
    assert attempts.source_locked_for("10.0.0.8") == 0
