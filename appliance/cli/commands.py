"""The two kinds of things on the command line: a noun, which is a group, and a command.

Every command takes `--state` like the top level does, because people type it in either place.
Help keeps its example as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from appliance.cli.invocation import DEFAULT_STATE, Invocation

F = TypeVar("F", bound=Callable[..., Any])
SOURCES = {
    ParameterSource.COMMANDLINE: "--state",
    ParameterSource.ENVIRONMENT: "APPLIANCE_STATE",
}


def _take_state(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    source = ctx.get_parameter_source(str(parameter.name))
    if value is not None and source in SOURCES:
        ctx.ensure_object(Invocation).use_state(value, SOURCES[source])


def _take_json(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Invocation).as_json = True


def state_option(*, top: bool = False) -> click.Option:
    """Return the `--state` option; the one at the top also reads APPLIANCE_STATE."""
    return click.Option(
        ["--state"],
        type=click.Path(path_type=Path, file_okay=False),
        envvar="APPLIANCE_STATE" if top else None,
        show_envvar=top,
        metavar="DIR",
        help=f"The state folder.  [default: {DEFAULT_STATE}]" if top else "The state folder.",
        expose_value=False,
        callback=_take_state,
    )


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_take_json,
    help="Print JSON, for programs.",
)


def with_state(command: click.Command) -> click.Command:
    """Return the command with a `--state` option, which it gets once."""
    is_leaf = not isinstance(command, click.Group)
    if is_leaf and all(parameter.name != "state" for parameter in command.params):
        command.params.append(state_option())
    return command


class Command(click.Command):
    """A command that takes `--state`."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        with_state(self)


class Noun(click.Group):
    """A group of commands about one kind of thing; its commands are `Command`s."""

    command_class = Command


def noun(name: str, **settings: Any) -> Callable[[F], Noun]:
    """Make a noun of a function whose docstring is its help."""
    return click.group(name, cls=Noun, **settings)
