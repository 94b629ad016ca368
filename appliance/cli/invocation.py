"""One invocation of the command line: which state folder, which settings, for whom to print.

Nothing is read before a command needs it, so `--help` works on a machine without a state folder.
Not here: what commands do, and how values look (`presenting.py`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from appliance import config
from appliance.cli import presenting

if TYPE_CHECKING:
    from appliance.operations import Operations

DEFAULT_STATE = Path("/var/lib/appliance")


class Invocation:
    """What every command gets: `config`, `operations()`, and `present()`."""

    def __init__(self) -> None:
        self.state = DEFAULT_STATE
        self.state_source = "built-in default"
        self.as_json = False

    def use_state(self, folder: Path, source: str) -> None:
        """Work on this state folder; the option nearest to the command wins."""
        self.state, self.state_source = folder, source

    @cached_property
    def config(self) -> config.Config:
        """The checked settings; raises ConfigurationError naming the bad one."""
        return config.load(self.state)

    @contextlib.contextmanager
    def operations(self) -> Iterator[Operations]:
        """Yield every verb over the state folder; raises NotInitialisedError without one."""
        # The parts are heavy to import, and a command that fails must not print their logs.
        from appliance.assembly import assemble
        from appliance.operations import operations_for

        silence_logs()
        appliance = assemble(self.config)
        try:
            yield operations_for(appliance)
        finally:
            appliance.close()

    def present(self, value: Any, people: Callable[[], None]) -> None:
        """Print `value` as JSON when that was asked for, else let `people` print."""
        if self.as_json:
            presenting.json_document(value)
        else:
            people()


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def silence_logs() -> None:
    """Keep the parts' own log lines off a person's terminal: errors are shown by `errors.py`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
