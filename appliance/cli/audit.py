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
from appliance.cli.anchoring import anchor, checkpoint, keys
from appliance.cli.commands import json_option, noun
from appliance.cli.correcting import correct, history
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.verifying import verify
from appliance.cli.witness import witness

if TYPE_CHECKING:
    from appliance.operations import Operations
    from appliance.operations.receipts import AnswerReceipt

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
    "subject": "About which patient: the pseudonym pat_... that the record has for them.",
    "since": "From this time on: 2026-01-31 or 2026-01-31T09:30:00Z.",
    "until": "Before this time; a bare date includes that day.",
    "text": "Entries that contain this text.",
}
REASONS = {
    "reason": "Why you read: complaint, incident or whatever the site's list has.",
    "case": "The case number that goes with it; never a name.",
}


def filters(command: F) -> F:
    """Give a command the options that choose entries."""
    for name, words in reversed(FILTERS.items()):
        command = click.option(f"--{name}", metavar="TEXT", help=words)(command)
    return command


def reasons(command: F) -> F:
    """Give a command the options that say why the record is read; both are recorded."""
    for name, words in reversed(REASONS.items()):
        command = click.option(f"--{name}", metavar="TEXT", help=words)(command)
    return command


@noun("audit")
def audit() -> None:
    """Read, verify, correct and export the record.

    Nothing here can change an entry: a correction is a later one. Reading the record is
    itself recorded.
    """


for _command in (correct, history, verify, checkpoint, anchor, keys, witness):
    audit.add_command(_command)


@audit.command("list")
@filters
@reasons
@click.option(
    "--before", type=click.IntRange(min=0), metavar="N", help="Only those before entry N."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, metavar="N",
              help="How many entries at most.")  # fmt: skip
@json_option
@pass_invocation
def list_(
    invocation: Invocation,
    /,
    before: int | None,
    limit: int,
    reason: str | None,
    case: str | None,
    **chosen: str | None,
) -> None:
    """List entries that match every filter given, the newest last.

    \b
    Examples:
      appliance audit list
      appliance audit list --action answer.complete --since 2026-01-31
      appliance audit list --user demo --json
      appliance audit list --subject pat_0123456789abcdef01234567 --reason complaint --case K-17
    """
    with invocation.operations() as verbs:
        query = _query(verbs, chosen, before_seq=before, limit=limit)
        page = verbs.records.search(console_actor(), query, purpose=reason, case=case)
        names = verbs.records.names(console_actor(), page.entries)
        marks = verbs.corrections.marks(console_actor(), page.entries)
        rows = [_row(entry, names) for entry in reversed(page.entries)]
    invocation.present(
        {
            "entries": list(reversed(page.entries)),
            "next_before": page.next_before,
            "corrected": None if marks is None else {str(seq): by for seq, by in marks.items()},
        },
        lambda: _print(rows, page, marks, whole=len(page.entries) == limit),
    )


@audit.command("prove")
@click.argument("entry", type=click.IntRange(0, 2**53 - 1), required=False)
@click.option("--answer", metavar="MSG_ID", help="The entry that ended this answer, instead.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A file that does not exist yet.  [default: standard output]")  # fmt: skip
@reasons
@json_option
@pass_invocation
def prove(
    invocation: Invocation,
    entry: int | None,
    answer: str | None,
    out: Path | None,
    reason: str | None,
    case: str | None,
) -> None:
    """Prove that one entry is in the record, without showing any other.

    The proof is a C2SP tlog-proof: the entry, its place in the tree, and a signed checkpoint.
    Whoever has the record's public keys can check it without this appliance.

    \b
    Examples:
      appliance audit prove 42 --out entry-42.tlog-proof
      appliance audit prove --answer msg_5b74a6ce3c391794d0ca55ed
    """
    if (entry is None) == (answer is None):
        raise click.UsageError("name either ENTRY or --answer MSG_ID")
    if out is not None:
        writing.refuse_existing(out)
    with invocation.operations() as verbs:
        stated = {"purpose": reason, "case": case}
        if answer is not None:
            receipt = verbs.receipts.of_answer(console_actor(), answer, **stated)
        else:
            receipt = verbs.receipts.of_entry(console_actor(), entry or 0, **stated)
    if out is not None:
        writing.write_pieces(out, [receipt.text.encode()])
    _present_proof(invocation, receipt, out)


@audit.command("export")
@filters
@click.option("--format", "form", type=click.Choice(FORMATS), required=True,
              help="ndjson and tiles hold the hashed bytes, the others views.")  # fmt: skip
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
    stated = {**chosen, **rest}
    if chosen.get("user"):
        stated["user"] = verbs.records.account(console_actor(), chosen["user"])
    return Query(**{key: value for key, value in stated.items() if value is not None})


def _present_proof(invocation: Invocation, receipt: AnswerReceipt, out: Path | None) -> None:
    value: dict[str, Any] = {
        "entry": receipt.seq,
        "size": receipt.size,
        "log": receipt.origin,
        "key": receipt.key_id,
    }
    value |= {"proof": receipt.text} if out is None else {"file": str(out)}

    def people() -> None:
        if out is None:
            sys.stdout.write(receipt.text)
        else:
            presenting.say(f"wrote {out}: entry {receipt.seq} is in the record of "
                           f"{receipt.size} entries, signed by key {receipt.key_id}")  # fmt: skip

    invocation.present(value, people)


def _row(entry: dict[str, Any], names: Mapping[str, str]) -> tuple[object, ...]:
    model = entry["model"]
    return (
        entry["seq"],
        entry["t"][:19].replace("T", " "),
        names.get(entry["agent"]["user"], entry["agent"]["user"]),
        entry["agent"]["role"],
        entry["action"],
        entry["outcome"],
        f"{model['name']} {model['version']}" if model else None,
        names.get(entry["entity"], entry["entity"]),
    )


def _print(
    rows: list[tuple[object, ...]], page: Page, marks: Mapping[int, int] | None, *, whole: bool
) -> None:
    columns = ("entry", "time (UTC)", "who", "role", "action", "outcome", "model", "about")
    empty = "no entry matches" if page.next_before is None else "no entry matches so far"
    presenting.table(columns, rows, empty=empty, spare=SPARE)
    if page.next_before is not None and not whole:
        presenting.remark(f"searched back to entry {page.next_before}")
    if page.next_before is not None:
        presenting.remark(f"next: older entries with --before {page.next_before}")
    for seq, by in sorted((marks or {}).items()):
        presenting.remark(f"entry {seq} is corrected by entry {by}: appliance audit history {seq}")
    if marks is None:
        presenting.remark("too many corrections came since to mark them here; for one entry: "
                          "appliance audit history ENTRY")  # fmt: skip
