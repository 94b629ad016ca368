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


def test_a_turn_comes_back_when_a_request_ends() -> None:
    """After the end of what ran, arrival decides again."""
    queue = queue_of(["anna", "ben"], running=["anna"])
    queue.end("anna")
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
