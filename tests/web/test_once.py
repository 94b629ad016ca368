"""A form sent twice acts once."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from appliance.errors import BadInputError, ConflictError
from appliance.web.once import Once, new_token


def test_the_second_sending_gets_the_first_result() -> None:
    """The same person and token get the same result, and the work runs once."""
    once, done = Once(), []
    for _ in range(2):
        assert once.run("p", "t", lambda: done.append(1) or len(done)) == 1
    assert done == [1]


def test_two_sendings_at_the_same_moment_run_the_work_once() -> None:
    """A second request waits for the first one that is still at work."""
    once, begun, go, results = Once(), threading.Event(), threading.Event(), []

    def work() -> str:
        begun.set()
        assert go.wait(5)
        return "done"

    first = threading.Thread(target=lambda: results.append(once.run("p", "t", work)))
    first.start()
    assert begun.wait(5)
    second = threading.Thread(target=lambda: results.append(once.run("p", "t", lambda: "again")))
    second.start()
    go.set()
    first.join()
    second.join()
    assert results == ["done", "done"]


def test_work_that_failed_may_be_tried_again() -> None:
    """A token is free again after its work raised."""
    once = Once()

    def fail() -> str:
        raise ConflictError("not now")

    with pytest.raises(ConflictError):
        once.run("p", "t", fail)
    assert once.run("p", "t", lambda: "done") == "done"


def test_tokens_of_two_people_are_apart() -> None:
    """Nobody gets the result of somebody else's form."""
    once = Once()
    assert once.run("p", "t", lambda: 1) == 1
    assert once.run("q", "t", lambda: 2) == 2


@pytest.mark.parametrize("token", ["", "x" * 65])
def test_a_form_without_a_sane_token_is_refused(token: str) -> None:
    """A missing or oversized token is bad input."""
    with pytest.raises(BadInputError):
        Once().run("p", token, lambda: 1)


def test_memory_is_bounded() -> None:
    """The oldest results are forgotten when many forms come."""
    once = Once(capacity=2)
    for token in ("a", "b", "c"):
        once.run("p", token, lambda: "done")
    assert once.run("p", "a", lambda: "again") == "again"


def test_a_secret_is_given_again_for_a_moment_only() -> None:
    """A double click still shows the password; later the form is refused and makes nothing."""
    once, made = Once(secret_s=0.2), []

    def make() -> str:
        made.append(1)
        return "a fresh password"

    assert once.run_secret("s", "t", make) == "a fresh password"
    assert once.run_secret("s", "t", make) == "a fresh password"
    time.sleep(0.5)
    with pytest.raises(ConflictError):
        once.run_secret("s", "t", make)
    assert made == [1]


def test_a_secret_leaves_memory_though_nobody_asks_again() -> None:
    """A minute after a key was made, the gateway no longer holds it anywhere."""

    class Secret:
        pass

    once = Once(secret_s=0.1)
    kept = weakref.ref(once.run_secret("s", "t", Secret))
    for _ in range(50):
        gc.collect()
        if kept() is None:
            break
        time.sleep(0.1)
    assert kept() is None


def test_fresh_tokens_differ() -> None:
    """Each form gets a token of its own."""
    assert new_token() != new_token()
