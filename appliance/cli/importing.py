"""What a person or a program sees while a bundle is read: steps, speed, time left, what is next."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from appliance.bundles.imports.steps import Step
from appliance.cli import presenting
from appliance.cli.pace import Pace, Reading
from appliance.errors import ApplianceError
from appliance.operations import imports
from appliance.operations.imports import ImportEvent

JSON_EVERY_S = 0.5
LINE_PERCENT = 10
STEPS: Mapping[str, str] = {
    Step.METADATA_OK: "the list of models is signed and new enough",
    Step.SPACE_RESERVED: "room is set aside",
    Step.STREAMED: "every byte was read and is the one that was signed",
    Step.SIGNATURE_OK: "each model's own signature is good",
    Step.INSPECTED: "the files say what was signed",
    Step.COMMITTED: "the models are in the library",
}


class Shown:
    """Shows events; use as a context manager, so that a bar on a terminal ends."""

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def tell(self, event: ImportEvent) -> None:
        """Show one event."""
        if event.step is None:
            self.progress(event)
        elif event.step in STEPS:
            self.step(STEPS[event.step])
        else:
            self.found(event.step, event.facts)

    def step(self, words: str) -> None:
        """Say what was reached."""
        presenting.remark(f"ok: {words}")

    def progress(self, event: ImportEvent) -> None:
        """Show how far reading has come."""

    def found(self, what: str, facts: Mapping[str, object]) -> None:
        """Say what was found on the way."""
        words = _found(what, facts)
        if words:
            presenting.remark(words)


class Lines(Shown):
    """For a log: a line for every tenth."""

    def __init__(self) -> None:
        self._pace = Pace(time.monotonic)
        self._shown = -1

    def progress(self, event: ImportEvent) -> None:
        """Print a line when another tenth of the bytes is read."""
        if event.what != "copy":
            return
        reading = self._pace.read(event.done, event.total)
        reached = event.done * 100 // max(event.total, 1) // LINE_PERCENT * LINE_PERCENT
        if reached > self._shown:
            self._shown = reached
            presenting.remark(
                f"reading: {reached} % of {presenting.size(event.total)}{_speed(reading)}"
            )


class Bar(Shown):
    """For a terminal: a bar with bytes, speed and time left."""

    def __init__(self) -> None:
        self._bytes = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._prompts = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def __exit__(self, *_: object) -> None:
        self._bytes.stop()
        self._prompts.stop()

    def step(self, words: str) -> None:
        """Say what was reached, and put an end to the bar that led there."""
        self.__exit__()
        super().step(words)

    def progress(self, event: ImportEvent) -> None:
        """Move the bar."""
        bar = self._bytes if event.what == "copy" else self._prompts
        if event.what not in self._tasks:
            words = "reading" if event.what == "copy" else "asking the golden prompts"
            self._tasks[event.what] = bar.add_task(words, total=None)
            bar.start()
        bar.update(self._tasks[event.what], completed=event.done, total=event.total)

    def found(self, what: str, facts: Mapping[str, object]) -> None:
        """Say what was found on the way."""
        self.__exit__()
        super().found(what, facts)


class JsonLines(Shown):
    """For a program: one JSON object to a line, on stdout."""

    def __init__(self) -> None:
        self._pace = Pace(time.monotonic)
        self._last = float("-inf")

    def tell(self, event: ImportEvent) -> None:
        """Print the event; progress twice a second, and at the end."""
        if event.step is not None:
            self.line({"event": "step", "step": event.step, **event.facts})
            return
        now = time.monotonic()
        if event.what == "copy":
            reading = self._pace.read(event.done, event.total)
            if now - self._last >= JSON_EVERY_S or event.done == event.total:
                self._last = now
                self.line({"event": "progress", "what": "copy", **asdict(reading)})
        else:
            self.line({"event": "progress", "what": event.what, "done": event.done,
                       "total": event.total})  # fmt: skip

    def error(self, error: ApplianceError) -> None:
        """Print how it ended, when it did not end well."""
        self.line(
            {"event": "error", "code": error.code, "message": error.message, "next": error.hint}
        )

    @staticmethod
    def line(value: Mapping[str, Any]) -> None:
        """Print one object."""
        print(presenting.json_text(value), flush=True)


def shown(*, as_json: bool) -> Shown:
    """Return what shows events to whoever looks."""
    if as_json:
        return JsonLines()
    return Bar() if sys.stderr.isatty() else Lines()


def _speed(reading: Reading) -> str:
    if reading.bytes_per_s is None:
        return ""
    return f", {presenting.size(reading.bytes_per_s)}/s, {reading.seconds_left} s left"


def _found(what: str, facts: Mapping[str, object]) -> str:
    model = f"{facts.get('name')} {facts.get('version')}"
    if what == imports.QUARANTINED:
        return f"mind: {model} is out of use from now on: {facts['reason']}"
    if what == imports.EVALUATED:
        return f"{model}: {facts['passed']} golden prompts passed, {facts['failed']} did not"
    if what == imports.NOT_EVALUATED:
        return f"mind: {model} could not be evaluated: {facts['message']}\nnext: {facts['next']}"
    if what == imports.CHECKPOINT:
        return f"a checkpoint of the record was left in {facts['folder']}/returns"
    if what == imports.NO_CHECKPOINT:
        return f"no checkpoint of the record was left in {facts['folder']}: {facts['reason']}"
    return ""
