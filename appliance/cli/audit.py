"""`appliance audit`: read the record, prove that it is whole, take it along."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from appliance.audit.ledger import FORMATS
from appliance.audit.query import Page, Query
from appliance.cli import presenting, writing
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.verifying import verify
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from appliance.identity.store import People
    from appliance.operations import Operations

F = TypeVar("F", bound=Callable[..., Any])
SPARE = ("role", "model", "about")
FILTERS = {
    "user": "Who did it: a user name, an account id, or os:NAME for this machine's console.",
    "role": "In which role.",
    "action": "What, for example answer.complete.",
    "outcome": "How it ended: intent, success, refused or failure.",
    "model": "With which model.",
    "purpose": "For which purpose of use.",
    "source": "From which address.",
    "entity": "About which account, answer, key or model.",
    "since": "From this time on: 2026-01-31 or 2026-01-31T09:30:00Z.",
    "until": "Before this time; a bare date includes that day.",
    "text": "Entries that contain this text.",
}


def filters(command: F) -> F:
    """Give a command the options that choose entries."""
    for name, words in reversed(FILTERS.items()):
        command = click.option(f"--{name}", metavar="TEXT", help=words)(command)
    return command


@noun("audit")
def audit() -> None:
    """Read, verify and export the record.

    Nothing here can change an entry. Reading the record is itself recorded.
    """


audit.add_command(verify)


@audit.command("list")
@filters
@click.option(
    "--before", type=click.IntRange(min=0), metavar="N", help="Only those before entry N."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N",
              help="How many entries at most.")  # fmt: skip
@json_option
@pass_invocation
def list_(invocation: Invocation, /, before: int | None, limit: int, **chosen: str | None) -> None:
    """List entries that match every filter given, the newest last.

    \b
    Examples:
      appliance audit list
      appliance audit list --action answer.complete --since 2026-01-31
      appliance audit list --user demo --json
    """
    with invocation.operations() as verbs:
        query = _query(verbs, chosen, before_seq=before, limit=limit)
        page = verbs.records.search(console_actor(), query)
        rows = [_row(entry, verbs.appliance.people) for entry in reversed(page.entries)]
    invocation.present(
        {"entries": list(reversed(page.entries)), "next_before": page.next_before},
        lambda: _print(rows, page),
    )


@audit.command("export")
@filters
@click.option("--format", "form", type=click.Choice(FORMATS), required=True,
              help="ndjson is the exact bytes that were hashed, csv a view of them.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A file that does not exist yet.  [default: standard output]")  # fmt: skip
@json_option
@pass_invocation
def export(invocation: Invocation, /, form: str, out: Path | None, **chosen: str | None) -> None:
    """Export the entries that match every filter given, the oldest first.

    The file appears when it is complete and safe on disk; a command that fails leaves none.

    \b
    Examples:
      appliance audit export --format csv --out record.csv
      appliance audit export --format ndjson --since 2026-01-01 > record.ndjson
    """
    if invocation.as_json and out is None:
        raise click.UsageError("--json describes the file, so it needs --out FILE")
    with invocation.operations() as verbs:
        query = _query(verbs, chosen)
        if out is None:
            with contextlib.closing(verbs.records.export(console_actor(), form, query)) as pieces:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        writing.refuse_existing(out)
        with contextlib.closing(verbs.records.export(console_actor(), form, query)) as pieces:
            size = writing.write_pieces(out, pieces)
    invocation.present(
        {"file": str(out), "format": form, "bytes": size},
        lambda: presenting.say(f"wrote {out}: {presenting.size(size)} of {form}"),
    )


def _query(verbs: Operations, chosen: Mapping[str, Any], **rest: int | None) -> Query:
    """Return the query; a user's name stands for the account's id, which is what is recorded."""
    name = chosen.get("user")
    person = verbs.appliance.people.by_name(name) if name else None
    stated = {**chosen, **rest, "user": person.id if person else name}
    return Query(**{key: value for key, value in stated.items() if value is not None})


def _row(entry: dict[str, Any], people: People) -> tuple[object, ...]:
    model = entry["model"]
    return (
        entry["seq"],
        entry["t"][:19].replace("T", " "),
        _who(entry["agent"]["user"], people),
        entry["agent"]["role"],
        entry["action"],
        entry["outcome"],
        f"{model['name']} {model['version']}" if model else None,
        _who(entry["entity"], people),
    )


def _who(user: str | None, people: People) -> str | None:
    """Return the account's name for a person at a screen; the record itself holds ids."""
    if user is None or not user.startswith("usr_"):
        return user
    try:
        return people.get(user).name
    except ApplianceError:
        return user


def _print(rows: list[tuple[object, ...]], page: Page) -> None:
    columns = ("entry", "time (UTC)", "who", "role", "action", "outcome", "model", "about")
    presenting.table(columns, rows, empty="no entry matches", spare=SPARE)
    if page.next_before is not None:
        presenting.remark(f"next: older entries with --before {page.next_before}")
