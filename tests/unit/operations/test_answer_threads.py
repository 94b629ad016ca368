"""Work gets a thread at once; threads are used again and go away when nothing comes."""

from __future__ import annotations

import threading
import weakref

from appliance.operations.answer_threads import AnswerThreads
from tests.unit.operations.asked import eventually

SOON_S = 10


class Work:
    """What a thread does for an answer."""

    def __call__(self) -> None:
        """Do nothing."""


def test_all_work_runs_at_once_however_much_there_is() -> None:
    """Forty pieces that wait for each other all come to their end."""
    threads, meeting, met = AnswerThreads(), threading.Barrier(41), list[int]()
    for _ in range(40):
        threads.start(lambda: met.append(meeting.wait(SOON_S)))
    meeting.wait(SOON_S)


def test_a_thread_that_is_done_does_the_next_work() -> None:
    """Work that comes one after the other is done by one thread."""
    threads, seen = AnswerThreads(), set()
    for _ in range(20):
        done = threading.Event()

        def work(done: threading.Event = done) -> None:
            seen.add(threading.get_ident())
            done.set()

        threads.start(work)
        assert done.wait(SOON_S)
        assert eventually(lambda: threads.idle == 1)
    assert len(seen) == 1


def test_idle_threads_go_away_and_work_that_comes_then_is_done() -> None:
    """Whether a thread is about to go or not, nothing that is started is left undone."""
    threads, count, lock = AnswerThreads(keep_s=0.001), [0], threading.Lock()

    def work() -> None:
        with lock:
            count[0] += 1

    for _ in range(500):
        threads.start(work)
    assert eventually(lambda: count[0] == 500)
    assert eventually(lambda: threads.idle == 0)


def test_a_thread_that_waits_holds_nothing_of_its_work() -> None:
    """Neither the first nor a later piece of work, with the text in it, stays in memory."""
    threads = AnswerThreads()
    for _ in range(2):
        work = Work()
        seen = weakref.ref(work)
        threads.start(work)
        del work
        assert eventually(lambda: threads.idle == 1)
        assert seen() is None
