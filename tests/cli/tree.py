"""The whole tree of commands, as click knows it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from appliance.cli.main import appliance

Path = tuple[str, ...]


def walk(
    command: click.Command = appliance, path: Path = ()
) -> Iterator[tuple[Path, click.Command]]:
    """Yield every noun and command with the words that lead to it."""
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                assert found is not None
                yield from walk(found, (*path, name))


def leaves() -> list[Path]:
    """Return the words of every command that does something."""
    return [path for path, command in walk() if not isinstance(command, click.Group)]
