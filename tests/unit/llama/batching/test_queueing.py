"""Who is next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineUnavailableError
from appliance.llama.batching.queueing import Queue, Waiter


def queue_of(people: Sequence[str], running: Sequence[str] = ()) -> Queue:
    queue = Queue(1_000)
    for number, person in enumerate(running):
        queue.add(Waiter(-1 - number, person))
        queue.begin(Waiter(-1 - number, person))
    for ticket, person in enumerate(people):
        queue.add(Waiter(ticket, person))
    return queue


def order_of(people: Sequence[str], running: Sequence[str] = ()) -> list[int]:
    return [waiter.ticket for waiter in queue_of(people, running).order()]


def test_one_person_each_is_served_in_order_of_arrival() -> None:
    """Among people with one request each, whoever came first goes first."""
    assert order_of(["anna", "ben", "carl"]) == [0, 1, 2]


def test_many_requests_of_one_person_do_not_hold_up_another() -> None:
    """The second person's only request goes before the first person's second one."""
    assert order_of(["anna", "anna", "anna", "ben", "ben"]) == [0, 3, 1, 4, 2]


def test_whoever_is_served_already_goes_behind() -> None:
    """Requests that run count as turns taken."""
    assert order_of(["anna", "ben"], running=["anna"]) == [1, 0]


def served(queue: Queue, slots: int, *, upto: int = 1_000) -> list[str]:
    """Return whose requests begin, in order, when each one ends after those before it."""
    begun: list[str] = []
    running: list[str] = []
    while len(begun) < upto and (len(queue) or running):
        while len(queue) and len(running) < slots:
            waiter = queue.order()[0]
            queue.begin(waiter)
            begun.append(waiter.person)
            running.append(waiter.person)
        queue.end(running.pop(0))
    return begun


@pytest.mark.parametrize(("slots", "order"), [(1, "abcaaa"), (2, "abcaaa"), (3, "abcaaa")])
def test_what_one_person_asked_first_does_not_go_first_as_a_whole(slots: int, order: str) -> None:
    """Nor when an answer ends and its person's next one has waited longest of all."""
    assert "".join(served(queue_of("aaaabc"), slots)) == order


def test_who_comes_while_another_is_served_goes_before_that_ones_next() -> None:
    """One has begun already; the end of it does not bring its person's next one to the front."""
    queue = queue_of("aaabc", running="a")
    queue.end("a")
    assert "".join(served(queue, 1)) == "bcaaa"


def test_newcomers_without_end_do_not_keep_anybody_waiting() -> None:
    """Each is new, and so due at once; a second question is reached all the same."""
    queue = queue_of("aa")
    begun: list[str] = []
    for number in range(20):
        queue.add(Waiter(100 + number, f"new {number}"))
        begun += served_one(queue)
    assert begun.count("a") == 2
    assert begun.index("a", 1) <= 4


def served_one(queue: Queue) -> list[str]:
    waiter = queue.order()[0]
    queue.begin(waiter)
    queue.end(waiter.person)
    return [waiter.person]


def test_one_who_gives_up_and_asks_again_has_lost_nothing_but_the_place() -> None:
    """The round that was not used is the person's own still."""
    queue = queue_of("aba")
    assert queue.drop(0)
    queue.add(Waiter(9, "a"))
    assert [waiter.ticket for waiter in queue.order()] == [1, 2, 9]


def test_nothing_is_remembered_of_a_time_when_nobody_asked() -> None:
    """After a quiet moment, arrival alone decides."""
    queue = queue_of("", running="aaa")
    for _ in range(3):
        queue.end("a")
    for ticket, person in enumerate("ab"):
        queue.add(Waiter(ticket, person))
    assert [waiter.ticket for waiter in queue.order()] == [0, 1]


def test_one_who_left_is_not_waited_for() -> None:
    """Dropping tells whether the ticket was there, and closes the gap."""
    queue = queue_of(["anna", "ben"])
    assert queue.drop(0)
    assert not queue.drop(0)
    assert [waiter.ticket for waiter in queue.order()] == [1]


def test_a_full_queue_takes_no_more() -> None:
    """Beyond its capacity a request is refused with a word on what to do."""
    queue = Queue(1)
    queue.add(Waiter(0, "anna"))
    with pytest.raises(EngineUnavailableError, match="1 requests are waiting"):
        queue.add(Waiter(1, "ben"))


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_nobody_waits_for_more_than_a_round_per_own_request(people: list[str]) -> None:
    """The n-th request of a person stands behind at most n requests of each other person."""
    order = order_of(people)
    assert sorted(order) == list(range(len(people)))
    for place, ticket in enumerate(order):
        own = people[: ticket + 1].count(people[ticket])
        before = [people[other] for other in order[:place]]
        assert all(before.count(person) <= own for person in set(people))
