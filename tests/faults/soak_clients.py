"""Clients of the soak: browsers that watch their answers as the page does, and programs.

Each asks, waits for the end, and asks again, until told to stop. What it saw of each question is
kept as a `Seen`; a stream that does not end within its bound is kept as one that hangs.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
ONCE = re.compile(r'name="once" value="([^"]+)"')
WATCHED = re.compile(r'data-events="([^"]+)"')
ANSWER = re.compile(r"msg_[0-9a-f]{24}")
FORM = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
COME_BACK_S = 0.5
REST_S = 0.3
SILENCE_S = 45.0


@dataclass(frozen=True)
class Seen:
    """What a client saw of one question; `answer` is its id, where it got one."""

    client: str
    ending: str
    seconds: float
    answer: str | None = None


@dataclass(frozen=True)
class Station:
    """Where a client asks, and until when: `bound_s` is for one answer, however it ends."""

    address: str
    number: int
    stopping: threading.Event
    bound_s: float


class Client(threading.Thread, ABC):
    """Asks until its station is told to stop."""

    kind = "client"

    def __init__(self, at: Station) -> None:
        super().__init__(daemon=True, name=f"{self.kind}-{at.number}")
        self.http = httpx.Client(base_url=at.address, timeout=SILENCE_S, trust_env=False)
        self.random = random.Random(at.number)  # noqa: S311  # the same each time
        self.stopping, self.bound_s = at.stopping, at.bound_s
        self.seen: list[Seen] = []
        self.fault: str | None = None

    def run(self) -> None:
        try:
            with self.http:
                self.prepare()
                while not self.stopping.wait(REST_S * self.random.random()):
                    self.seen.append(self._one())
        except Exception as error:
            self.fault = repr(error)

    def _one(self) -> Seen:
        began = time.monotonic()
        answer: str | None = None
        ending = "hangs"
        for word, named in self.ask(began + self.bound_s):
            answer, ending = named or answer, word or ending
        return Seen(self.kind, ending, time.monotonic() - began, answer)

    def question(self) -> str:
        age, pain = self.random.randrange(20, 90), self.random.random()
        return f"Tell me everything about this appliance. {age} y/o, pain {pain:.3f}."

    def prepare(self) -> None:
        """Get ready to ask."""

    @abstractmethod
    def ask(self, until: float) -> Iterator[tuple[str, str | None]]:
        """Yield the answer's id once known, and last how it ended; nothing more when it hangs."""


class Browser(Client):
    """A signed-in page: a form, a page, a stream of snapshots, and back when a stream breaks."""

    kind = "browser"

    def __init__(self, name: str, password: str, at: Station) -> None:
        super().__init__(at)
        self.name_, self.password = name, password

    def prepare(self) -> None:
        page = self.http.get("/sign-in").text
        form = {"csrf": _first(CSRF, page), "name": self.name_, "password": self.password}
        sent = self.http.post("/sign-in", data=form, headers=FORM)
        assert sent.headers.get("Location") == "/", (
            f"{self.name_} cannot sign in: {sent.status_code}"
        )

    def ask(self, until: float) -> Iterator[tuple[str, str | None]]:
        page = self.http.get("/").text
        once = _first(ONCE, page)
        form = {"csrf": _first(CSRF, page), "once": once, "prompt": self.question()}
        sent = self.http.post("/c", data=form, headers={**FORM, "Accept": "application/json"})
        if sent.status_code != httpx.codes.OK:
            yield f"refused {sent.status_code}", None
            return
        place = sent.json()["location"]
        while time.monotonic() < until:
            page = self.http.get(place).text
            answer = ANSWER.search(page)
            watched = WATCHED.search(page)
            if watched is None:
                yield _ending(page), answer[0] if answer else None
                return
            yield "", answer[0] if answer else None
            self._watch(watched[1], until)
            if self.random.random() < 0.02:
                self._press_stop(watched[1], page)

    def _watch(self, address: str, until: float) -> None:
        """Follow the stream until its answer has ended or it breaks, as an EventSource does."""
        with contextlib.suppress(httpx.HTTPError), self.http.stream("GET", address) as stream:
            for line in stream.iter_lines():
                if line.startswith("event: over") or time.monotonic() > until:
                    return
                if line.startswith("data: {") and json.loads(line[6:]).get("ended"):
                    return
        time.sleep(COME_BACK_S)

    def _press_stop(self, address: str, page: str) -> None:
        form = {"csrf": _first(CSRF, page)}
        self.http.post(address.replace("/events", "/stop"), data=form, headers=FORM)


class Program(Client):
    """A caller of the API with a key, streaming; now and then it hangs up in the middle."""

    kind = "program"

    def __init__(self, key: str, at: Station) -> None:
        super().__init__(at)
        self.http.headers["Authorization"] = f"Bearer {key}"

    def ask(self, until: float) -> Iterator[tuple[str, str | None]]:
        turns = [{"role": "user", "content": self.question()}]
        body = {"model": "demo", "messages": turns, "stream": True, "temperature": 1.5}
        hangs_up = self.random.random() < 0.05
        with self.http.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                yield f"refused {response.status_code}", None
                return
            for line in response.iter_lines():
                if time.monotonic() > until:
                    return
                if line == "data: [DONE]":
                    yield "complete", None
                elif line.startswith('data: {"error"'):
                    yield "failed", None
                elif (found := ANSWER.search(line)) is not None:
                    yield ("hung up" if hangs_up else "cut off"), found[0]
                    if hangs_up:
                        return


def _ending(page: str) -> str:
    """Return how the answer on a page ended, as its reader is told."""
    if 'class="badge fail"' in page:
        return "failed"
    return "stopped" if ">Stopped</span>" in page else "complete"


def _first(pattern: re.Pattern[str], page: str) -> str:
    found = pattern.search(page)
    assert found is not None, f"no {pattern.pattern} in the page"
    return found[1]
