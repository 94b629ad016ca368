"""What the tests of asking share: limits, and the real engine watched or held back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from appliance.assembly import Appliance
from appliance.conversations.store import ModelUsed, Turn
from appliance.identity.permissions import Actor
from appliance.inference.engine import (
    Delta,
    Engine,
    Generation,
    Message,
    Progress,
    Sampling,
)
from appliance.operations.questions import SamplingWish


@contextlib.contextmanager
def held_back(engine: Engine) -> Iterator[None]:
    """Keep the real engine busy with an answer that nobody reads, so that others wait."""
    digest = engine.status().digest
    assert digest is not None
    request = Generation(digest, (Message("user", "x"),), Sampling(max_tokens=400, temperature=1.0))
    holders = [engine.generate(request) for _ in range(40)]
    try:
        for holder in holders:
            next(holder)
        yield
    finally:
        for holder in holders:
            holder.close()


def unanswered(appliance: Appliance, actor: Actor) -> tuple[str, Turn]:
    """Return a conversation with one question that nothing was recorded of, as a crash leaves."""
    model = appliance.library.by_name("tiny")
    used = ModelUsed(model.name, model.version, model.digest)
    return appliance.conversations.begin(actor.user, "t", "chat", "hello", used)


def eventually(check: Callable[[], bool]) -> bool:
    """Tell whether `check` becomes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not check() and time.monotonic() < deadline:
        time.sleep(0.02)
    return check()


Entries = Callable[..., list[dict[str, Any]]]
SHORT = SamplingWish(max_tokens=8, temperature=0.0)
ENDLESS = SamplingWish(max_tokens=400, temperature=1.0)
END_S = 60


class Watched:
    """The real engine, with a look at what is in the record when it is asked."""

    def __init__(self, engine: Engine, look: Callable[[], Any]) -> None:
        self._engine, self._look = engine, look
        self.seen: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        self.seen.append(self._look())
        return self._engine.generate(request)


class Paused(Watched):
    """The real engine, which stands still after its first words until it is let go on."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, lambda: None)
        self.go_on = threading.Event()

    def generate(self, request: Generation) -> Generator[Progress, None, None]:
        with contextlib.closing(self._engine.generate(request)) as steps:
            for step in steps:
                yield step
                if isinstance(step, Delta) and step.text:
                    assert self.go_on.wait(END_S)
