"""Signs of life for engines that say nothing while they read a prompt or hold a queue.

Guarantee: the caller gets a value at least every `every_s` seconds, an empty `Delta` where the
engine said nothing, so it can always stop; and stopping ends the connection at once, also while
the engine is silent. What the engine raises is raised here. Costs one thread for each answer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Final

from appliance.inference.connection import Wire
from appliance.inference.engine import Delta, Progress

EVERY_S = 0.5
# A reader that the caller does not follow waits, and the engine's writing with it.
MOST_AHEAD = 256
END_WITHIN_S = 5.0
_END: Final = object()


def with_signs_of_life(
    answer: Callable[[Wire], Iterator[Progress]], every_s: float = EVERY_S
) -> Generator[Progress, None, None]:
    """Yield what `answer` does, and empty pieces while it waits."""
    wire = Wire()
    found: queue.Queue[object] = queue.Queue(MOST_AHEAD)
    left = threading.Event()

    def put(value: object) -> bool:
        while not left.is_set():
            try:
                found.put(value, timeout=every_s)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for value in answer(wire):
                if not put(value):
                    return
            put(_END)
        except BaseException as error:
            put(error)

    reader = threading.Thread(target=read, name="answer", daemon=True)
    reader.start()
    try:
        yield from _values(found, every_s)
    finally:
        left.set()
        wire.cut()
        reader.join(END_WITHIN_S)


def _values(found: queue.Queue[object], every_s: float) -> Generator[Progress, None, None]:
    while True:
        try:
            value = found.get(timeout=every_s)
        except queue.Empty:
            value = Delta("")
        if value is _END:
            return
        if isinstance(value, BaseException):
            raise value
        yield value  # type: ignore[misc]  # all that is left: what `answer` yields
