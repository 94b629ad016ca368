"""Who is served next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineUnavailableError
from appliance.llama.scheduler import Fifo


def test_the_first_to_come_is_the_first_served() -> None:
    """Tickets start in the order in which they were admitted."""
    fifo = Fifo(10)
    for ticket in (7, 3, 9):
        fifo.admit(ticket)
    started = []
    while (ticket_now := fifo.start()) is not None:
        started.append(ticket_now)
        fifo.leave(ticket_now)
    assert started == [7, 3, 9]


def test_only_one_runs() -> None:
    """Nothing starts while another request runs."""
    fifo = Fifo(10)
    fifo.admit(1)
    fifo.admit(2)
    assert (fifo.start(), fifo.start()) == (1, None)


def test_positions_count_those_who_wait_before() -> None:
    """The next one has position 0, and one that runs has none."""
    fifo = Fifo(10)
    for ticket in (1, 2, 3):
        fifo.admit(ticket)
    fifo.start()
    assert [fifo.position(ticket) for ticket in (1, 2, 3)] == [None, 0, 1]


def test_leaving_the_queue_moves_others_up() -> None:
    """A cancelled request frees its place."""
    fifo = Fifo(10)
    for ticket in (1, 2):
        fifo.admit(ticket)
    fifo.leave(1)
    assert fifo.position(2) == 0


def test_a_full_queue_takes_nobody() -> None:
    """The queue has an end, and the error says how many wait."""
    fifo = Fifo(1)
    fifo.admit(1)
    with pytest.raises(EngineUnavailableError, match="1 requests are waiting"):
        fifo.admit(2)


@given(st.lists(st.sampled_from(["admit", "start", "finish", "leave"]), max_size=60))
def test_no_ticket_is_lost_or_doubled(steps: list[str]) -> None:
    """Whatever happens in whatever order, each ticket runs once, leaves, or still waits."""
    fifo, fresh, done = Fifo(5), iter(range(1000)), set()
    admitted: set[int] = set()
    for step in steps:
        if step == "admit" and len(fifo.waiting) < 5:
            admitted.add(ticket := next(fresh))
            fifo.admit(ticket)
        elif step == "start":
            fifo.start()
        elif step == "finish" and fifo.running is not None:
            done.add(fifo.running)
            fifo.leave(fifo.running)
        elif step == "leave" and fifo.waiting:
            done.add(ticket := fifo.waiting[-1])
            fifo.leave(ticket)
    running = set() if fifo.running is None else {fifo.running}
    assert done | running | set(fifo.waiting) == admitted
    assert len(done) + len(running) + len(fifo.waiting) == len(admitted)
