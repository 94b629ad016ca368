"""`appliance`: the way in. Finds the command, runs it, and turns its end into an exit code.

A command's module is imported only when it is called: the record can be verified although, say,
the model's libraries are broken, and the answer to a typing mistake comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

import click

from appliance.cli import errors
from appliance.cli.commands import Noun, state_option, with_state
from appliance.cli.invocation import Invocation

# In the order of a first day: make it, start it, ask, then everything that is looked after.
COMMANDS: Mapping[str, str] = {
    "init": "appliance.cli.init:init",
    "run": "appliance.cli.run:run",
    "serve": "appliance.cli.serve:serve",
    "ask": "appliance.cli.ask:ask",
    "user": "appliance.cli.user:user",
    "key": "appliance.cli.key:key",
    "trust": "appliance.cli.trust:trust",
    "bundle": "appliance.cli.bundle:bundle",
    "model": "appliance.cli.model:model",
    "publisher": "appliance.cli.publisher:publisher",
    "audit": "appliance.cli.audit:audit",
    "tls": "appliance.cli.tls:tls",
    "retention": "appliance.cli.retention:retention",
    "doctor": "appliance.cli.doctor:doctor",
    "config": "appliance.cli.settings:config",
}


class TopLevel(Noun):
    """The nouns and verbs of the appliance, loaded when named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        if not isinstance(found, click.Command):
            raise TypeError(f"{place} is not a command")
        return with_state(found)


@click.group(
    "appliance",
    cls=TopLevel,
    params=[state_option(top=True)],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(
    package_name="appliance", prog_name="appliance", message="%(prog)s %(version)s"
)
@click.pass_context
def appliance(ctx: click.Context) -> None:
    """An LLM appliance for hospitals, with no way out and a record of every answer.

    Everything a command does is recorded, under the name of the person at this terminal.

    \b
    Example, from nothing to a first answer:
      appliance --state var init --demo models/demo
      appliance --state var run
      appliance --state var ask --user demo "What can you do?"

    \b
    Exit codes:
      0  done
      1  refused or failed; nothing was changed
      2  wrong usage
      3  verification failed: tampering, or a bad signature
      4  not available: a part is down, or the disk is full
    """
    ctx.ensure_object(Invocation)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; prints errors, never a stack trace."""
    try:
        result = appliance.main(list(arguments), prog_name="appliance", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        errors.report(error, as_json=_wants_json(arguments))
        return errors.exit_code_of(error)
    return result if isinstance(result, int) else 0


def main() -> NoReturn:
    """The installed command."""
    sys.exit(run(sys.argv[1:]))


def _wants_json(arguments: Sequence[str]) -> bool:
    """Tell it from the words themselves: a wrong command line is not parsed to its end."""
    words = list(arguments)
    return "--json" in (words[: words.index("--")] if "--" in words else words)


if __name__ == "__main__":
    main()
