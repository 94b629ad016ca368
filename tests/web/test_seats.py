"""Streams and waits never take every thread: counted, and tried on a real gunicorn with four."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import pytest

from appliance.errors import BusyError
from appliance.web.seats import Seats
from tests.simulators.clinic import CSRF, ONCE, Clinic
from tests.simulators.stack import Stack

LONG = "Tell me everything about this appliance."
ANSWER = re.compile(r'data-events="(/answers/msg_[0-9a-f]{24}/events)"')
# One thread is left of four: it answers at once, but signing in costs an argon2id hash.
SOON_S = 8.0


@pytest.mark.parametrize("threads", [2, 3, 4, 8, 32, 512])
def test_a_quarter_of_the_threads_is_never_given_away(threads: int) -> None:
    """Whatever the number of threads, at least one and a quarter of them stay free."""
    seats = Seats(threads)
    held = 0
    while seats.page() is not None:
        held += 1
    with contextlib.suppress(BusyError):
        while seats.program() is not None:
            held += 1
    with pytest.raises(BusyError):
        seats.record()
    assert 1 <= held <= threads - max(1, threads // 4)


def test_a_seat_given_back_twice_is_one_seat() -> None:
    """Ending a response twice never makes room for one more than there is."""
    seats = Seats(4)
    assert seats.for_programs == 1
    release = seats.program()
    release()
    release()
    seats.program()
    with pytest.raises(BusyError):
        seats.program()


def test_pages_and_programs_cannot_shut_each_other_out() -> None:
    """With every seat of programs taken, a page still gets one."""
    seats = Seats(32)
    for _ in range(seats.for_programs):
        seats.program()
    assert seats.page() is not None


def test_a_request_that_is_refused_or_fails_gives_its_seat_back(answering: Clinic) -> None:
    """A hundred refused questions leave as many seats as there were."""
    client, key = answering.app.test_client(), answering.key()
    body = {"model": "nowhere", "messages": [{"role": "user", "content": "x"}]}
    for _ in range(100):
        response = client.post(
            "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        )
        assert response.status_code == 404


# --- a real server


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole appliance with a gateway of four threads: one seat for programs, two for pages."""
    state = tmp_path_factory.mktemp("narrow") / "state"
    running = Stack(state, settings={"APPLIANCE_GATEWAY__THREADS": "4"}).start()
    yield running
    running.stop()


@contextlib.contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """Let the engine stand still, so that no answer ends while the block runs."""
    worker = stack.parts()["model"][-1]
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@contextlib.contextmanager
def sign_in(stack: Stack) -> Iterator[httpx.Client]:
    """Yield a client that is signed in as the demo clinician."""
    with httpx.Client(base_url=stack.address, timeout=SOON_S, follow_redirects=True) as client:
        form = CSRF.search(client.get("/sign-in").text)
        assert form is not None
        fields = {"csrf": form[1], "name": "demo", "password": stack.passwords["demo"]}
        shown = client.post("/sign-in", data=fields)
        assert "New chat" in shown.text
        yield client


def start_answer(client: httpx.Client) -> str:
    """Ask in a new chat and return the address of the answer's events."""
    page = client.get("/").text
    csrf, once = CSRF.search(page), ONCE.search(page)
    assert csrf is not None
    assert once is not None
    shown = client.post("/c", data={"csrf": csrf[1], "once": once[1], "prompt": LONG})
    events = ANSWER.search(shown.text)
    assert events is not None
    return events[1]


def complete(stack: Stack, key: str) -> httpx.Response:
    """Send one question through the API and wait for the whole answer."""
    body = {"model": "demo", "messages": [{"role": "user", "content": LONG}]}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(
        f"{stack.address}/v1/chat/completions", json=body, headers=headers, timeout=90
    )


def test_the_api_beyond_its_share_is_busy_while_people_go_on_working(narrow: Stack) -> None:
    """Of eight requests sent at once on four threads seven get 429 at once; pages still answer."""
    key = narrow.api_key()
    with ThreadPoolExecutor(8) as pool:
        with frozen(narrow):
            sent = [pool.submit(complete, narrow, key) for _ in range(8)]
            ended = as_completed(sent, timeout=SOON_S)
            # All but the one that holds the seat are refused, though nothing is being answered.
            for _ in range(7):
                next(ended)
            with sign_in(narrow) as person:
                assert person.get("/account").status_code == 200
                assert person.get("/healthz").json()["parts"]["gateway"] == "ok"
        answers = [request.result() for request in sent]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert sorted(answer.status_code for answer in answers) == [200, *[429] * 7]
    error = refused[0].json()["error"]
    assert (error["code"], error["type"]) == ("busy", "rate_limit_error")
    assert int(refused[0].headers["Retry-After"]) > 0
    assert complete(narrow, key).status_code == 200


def test_every_seat_taken_still_leaves_sign_in_stop_and_health(narrow: Stack) -> None:
    """Two open pages and one program hold their seats; signing in, a third page and Stop work."""
    key = narrow.api_key()
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": LONG}]}
    headers = {"Authorization": f"Bearer {key}"}
    # Kept, because an iterator that nobody holds closes its connection.
    lines: list[Iterator[str]] = []
    with contextlib.ExitStack() as held, frozen(narrow):
        person = held.enter_context(sign_in(narrow))
        events = start_answer(person)
        for _ in range(2):
            lines.append(held.enter_context(person.stream("GET", events)).iter_lines())
            assert next(lines[-1]).startswith("retry")
        program = httpx.Client(base_url=narrow.address, headers=headers, timeout=SOON_S)
        held.enter_context(program)
        stream = held.enter_context(program.stream("POST", "/v1/chat/completions", json=body))
        assert stream.status_code == 200
        lines.append(stream.iter_lines())
        assert next(lines[-1]).startswith("data: ")

        other = held.enter_context(sign_in(narrow))
        assert other.get("/healthz").json()["parts"]["gateway"] == "ok"
        snapshot = other.get(events).text
        assert snapshot.count("data: ") == 1
        assert '"ended": false' in snapshot
        csrf = CSRF.search(other.get("/account").text)
        assert csrf is not None
        stopped = other.post(
            events.replace("/events", "/stop"),
            data={"csrf": csrf[1]},
            headers={"Accept": "application/json"},
        )
        assert stopped.status_code == 200
