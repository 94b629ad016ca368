"""Asks before something that cannot be taken back."""

from __future__ import annotations

import sys

import click

from appliance.cli import presenting


def confirm(question: str, *, yes: bool) -> None:
    """Return once a person has agreed, or `--yes` was given; end the command otherwise.

    Without a terminal only `--yes` is a yes: raises UsageError.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: read the above, then give --yes")
    if not click.confirm(question, default=False, err=True):
        presenting.remark("nothing was changed")
        raise click.exceptions.Exit(1)
