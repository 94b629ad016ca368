"""`appliance audit correct|history`: say what is wrong with an entry, and see that it still stands.

An entry is never changed. `correct` appends one that names it; `history` shows both, and proves
that the first one is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from appliance.audit.corrections import REASONS, Correction
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation

if TYPE_CHECKING:
    from appliance.operations import Operations
    from appliance.operations.histories import History, Step
    from appliance.operations.proving import Proved

LARGEST = 2**53 - 1
MOST_DIGITS = 16


@click.command("correct", cls=Command)
@click.argument("entry", type=click.IntRange(0, LARGEST))
@click.option("--reason", type=click.Choice(REASONS), required=True, help="What is wrong with it.")
@click.option("--purpose", metavar="NAME", help="The purpose that is right.")
@click.option("--case", metavar="ID", help="The case number that goes with it; never a name.")
@json_option
@pass_invocation
def correct(
    invocation: Invocation, entry: int, reason: str, purpose: str | None, case: str | None
) -> None:
    """Correct an entry by a later one; the entry itself stays as it is, for ever.

    The correction names the entry and its hash, what is wrong, and who says so. It takes no text
    of your own, because the record keeps it for ever. A correction can be corrected too.

    \b
    Examples:
      appliance audit correct 42 --reason wrong-purpose --purpose treatment
      appliance audit correct 42 --reason wrong-patient --case K-17/2026
    """
    with invocation.operations() as verbs:
        done = verbs.corrections.correct(console_actor(), entry, Correction(reason, purpose, case))

    def people() -> None:
        presenting.say(f"entry {done.by} corrects entry {done.seq}, which stays as it is")
        presenting.remark(f"next: appliance audit history {done.seq}")

    invocation.present({"entry": done.by, "corrects": done.seq, "leaf": done.leaf}, people)


@click.command("history", cls=Command)
@click.argument("what", metavar="ENTRY|ENTITY")
@click.option("--reason", metavar="TEXT", help="Why you read, from the site's list.")
@click.option("--case", metavar="TEXT", help="The case number that goes with it; never a name.")
@json_option
@pass_invocation
def history(invocation: Invocation, what: str, reason: str | None, case: str | None) -> None:
    """Show an entry and everything that corrects it, and prove that it is unchanged.

    With a number: that entry and its corrections; of a correction, what it corrects. With the id
    of an account, answer, key or model, or a user's name: all that is recorded about it. Oldest
    first, each entry with its leaf hash. Reading and proving are recorded.

    \b
    Examples:
      appliance audit history 42
      appliance audit history msg_5b74a6ce3c391794d0ca55ed --reason complaint --case K-17
    """
    is_number = what.isascii() and what.isdigit() and len(what) <= MOST_DIGITS
    with invocation.operations() as verbs:
        stated = {"purpose": reason, "case": case}
        if is_number:
            found = verbs.histories.of_entry(console_actor(), int(what), **stated)
        else:
            entity = verbs.records.account(console_actor(), what)
            found = verbs.histories.of_entity(console_actor(), entity, **stated)
        names = _names(verbs, found)
    invocation.present(_value(found), lambda: _print(found, names))


def _names(verbs: Operations, found: History) -> Mapping[str, str]:
    return verbs.records.names(console_actor(), [step.entry for step in found.steps])


def _value(found: History) -> dict[str, Any]:
    return {
        "entries": [
            {"entry": step.entry, "corrects": step.corrects, "holds": step.holds}
            for step in found.steps
        ],
        "unchanged": [
            {
                "entry": proved.seq,
                "leaf": proved.entry["leaf"],
                "size": proved.size,
                "root": proved.root.hex(),
                "key": proved.key_id,
                "epoch": proved.epoch,
            }
            for proved in found.proofs
        ],
        "whole": found.whole,
    }


def _print(found: History, names: Mapping[str, str]) -> None:
    for step in found.steps:
        for line in _lines(step, names):
            presenting.say(line)
    for proved in found.proofs:
        presenting.say(_unchanged(proved, found))
    newest = found.proofs[-1].seq
    presenting.remark(f"next: for somebody outside: appliance audit prove {newest} --out FILE")
    if not found.whole:
        presenting.remark("there is more than is shown here: appliance audit list --entity ID")


def _lines(step: Step, names: Mapping[str, str]) -> Iterator[str]:
    entry, agent = step.entry, step.entry["agent"]
    who = names.get(agent["user"], agent["user"])
    about = names.get(entry["entity"], entry["entity"])
    words = [
        f"entry {step.seq}",
        entry["t"][:19].replace("T", " "),
        f"{who} ({agent['role']})",
        f"{entry['action']} {entry['outcome']}",
    ]
    yield "   ".join([*words, f"about {about}"] if about else words)
    if step.corrects is None and entry["purpose"]:
        yield f"  purpose {entry['purpose']}"
    if step.corrects is not None:
        yield f"  {_said(step)}"
    yield f"  leaf {entry['leaf']}"


def _said(step: Step) -> str:
    """Return what a correction says, or that it is none."""
    content = step.entry["content"]
    if step.holds is False:
        return f"does not correct entry {step.corrects}: it names another leaf hash than its"
    words = f"corrects entry {step.corrects}: {content.get('reason')}"
    if content.get("purpose"):
        words += f", the right purpose is {content['purpose']}"
    if content.get("case"):
        words += f", case {content['case']}"
    return words if step.holds else f"{words} (that entry is not shown here)"


def _unchanged(proved: Proved, found: History) -> str:
    corrected = any(step.holds and step.corrects == proved.seq for step in found.steps)
    what = f"the original, entry {proved.seq}," if corrected else f"entry {proved.seq}"
    return (
        f"{what} is unchanged: its leaf hash is in the checkpoint of "
        f"{proved.size} entries, signed by key {proved.key_id}"
    )
