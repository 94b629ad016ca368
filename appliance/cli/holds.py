"""`appliance retention hold`, `holds` and `release`; and the options that say whose content."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.conversations.retention import ALL, CONVERSATION, PATIENT, USER, Hold
from appliance.operations.scopes import Wanted

F = TypeVar("F", bound=Callable[..., Any])


def whose(command: F) -> F:
    """Give a command the options that say whose content."""
    for name, metavar, words in (
        (USER, "NAME", "All content of this person, by sign-in name."),
        (CONVERSATION, "ID", "One conversation."),
        (PATIENT, "REF", "What is kept about a patient or encounter; - reads it from a line."),
    ):
        command = click.option(f"--{name}", metavar=metavar, help=words)(command)
    return command


def wanted_of(chosen: dict[str, str | None], *, everything: bool = False) -> Wanted:
    """Return whose content was named; UsageError unless it is exactly one."""
    given = [(kind, text) for kind, text in chosen.items() if text is not None]
    if len(given) + everything != 1:
        choices = "--patient, --conversation, --user"
        raise click.UsageError(f"say whose content: exactly one of {choices}")
    if everything:
        return Wanted(ALL)
    kind, text = given[0]
    if kind == PATIENT and text == "-":
        # On a command line everybody on the machine could read it.
        text = sys.stdin.readline()
    return Wanted(kind, text.strip())


@click.command("hold", cls=Command)
@whose
@click.option("--all", "everything", is_flag=True, help="All content there is.")
@click.option("--reason", required=True, metavar="TEXT",
              help="Why, with a case number and no name; it is recorded.")  # fmt: skip
@json_option
@pass_invocation
def hold(invocation: Invocation, /, reason: str, everything: bool, **chosen: str | None) -> None:
    """Keep content from being erased, until the hold is released.

    \b
    Examples:
      appliance retention hold --user eva --reason "litigation 2026-113"
      appliance retention hold --patient - --reason "complaint 7/26" < number.txt
    """
    wanted = wanted_of(chosen, everything=everything)
    with invocation.operations() as verbs:
        placed = verbs.content.hold(console_actor(), wanted, reason)

    def people() -> None:
        presenting.say(f"hold {placed.id} is in force")
        presenting.remark(f'next: appliance retention release {placed.id} --reason "..." ends it')

    invocation.present(_hold_value(placed), people)


@click.command("holds", cls=Command)
@json_option
@pass_invocation
def holds(invocation: Invocation) -> None:
    """List every hold, released ones too.

    \b
    Example:
      appliance retention holds
    """
    with invocation.operations() as verbs:
        found = verbs.content.holds(console_actor())
    columns = ("hold", "scope", "whose", "reason", "placed", "by", "released")
    invocation.present(
        [_hold_value(one) for one in found],
        lambda: presenting.table(
            columns,
            [
                (one.id, one.scope.kind, one.scope.target, one.reason,
                 presenting.moment(one.created), one.placed_by,
                 presenting.moment(one.released, "no"))
                for one in found
            ],
            empty="nothing is held",
            spare=("by", "placed"),
        ),
    )  # fmt: skip


@click.command("release", cls=Command)
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is recorded.")
@json_option
@pass_invocation
def release(invocation: Invocation, hold_id: str, reason: str) -> None:
    """End a hold.

    What it kept is due like anything else, from the next run of the schedule on.

    \b
    Example:
      appliance retention release hld_4f... --reason "case 2026-113 closed"
    """
    with invocation.operations() as verbs:
        ended = verbs.content.release(console_actor(), hold_id, reason)
    invocation.present(_hold_value(ended), lambda: presenting.say(f"hold {ended.id} is released"))


def _hold_value(one: Hold) -> dict[str, object]:
    rest = {key: value for key, value in vars(one).items() if key != "scope"}
    return {**rest, "scope": one.scope.kind, "target": one.scope.target}
