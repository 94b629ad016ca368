"""`appliance audit verify`: is the record whole? Works while the stack is up, down, or broken.

The file is read where it lies, without asking the ledger: a ledger that lies cannot vouch for
itself. So in the stack this is for the ledger's container alone. That the record was verified is
then recorded, if the record can be written: nothing but a way to the ledger is needed for it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from appliance.audit import anchors as anchoring
from appliance.audit.access import open_ledger
from appliance.audit.actions import Outcome
from appliance.audit.anchors import Anchor, Places
from appliance.audit.checkpoint import MAX_NOTE_BYTES
from appliance.audit.ledger import VerifiedRecord
from appliance.audit.verify import verify_file
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation, silence_logs
from appliance.clock import System
from appliance.errors import ApplianceError, BadInputError, NotFoundError

SQLITE = b"SQLite format 3\x00"
STDIO = Path("-")


@click.command("verify", cls=Command)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Verify this copy of a record instead; nothing is recorded then.",
)
@click.option(
    "--anchor",
    "given",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    multiple=True,
    metavar="FILE",
    help="Also hold the record against this checkpoint, kept elsewhere; - reads it from standard "
    "input. May be given often.",
)
@json_option
@pass_invocation
def verify(invocation: Invocation, file: Path | None, given: tuple[Path, ...]) -> None:
    """Verify the whole record: every entry, its place, the tree, every checkpoint and key.

    What is whole is shown in three parts: what a checkpoint kept elsewhere vouches for, what is
    signed but only in the record itself, and the newest entries that are not signed yet.

    Exit 0 means whole. Exit 3 means that it was altered, and the first bad entry is named. It
    works while the appliance runs, while it is stopped, and on a copy.

    \b
    Examples:
      appliance audit verify
      appliance audit verify --anchor /media/stick/hospital-4200.checkpoint
      appliance audit verify --file /media/stick/audit.db
    """
    anchors = [_anchor(path) for path in given]
    if file is not None:
        _present(invocation, _verified_copy(file, anchors), None)
        return
    record = invocation.config.paths.audit_db
    if invocation.config.ledger.socket_folder and not record.exists():
        raise NotFoundError(
            "the record's file is not here: the ledger has a container of its own",
            hint="docker exec -i appliance-ledger-1 appliance audit verify",
        )
    try:
        verified = verify_file(record, Places.of(record, invocation.config.ledger), anchors)
    except ApplianceError as error:
        problem = _recorded(invocation, error)
        if problem == error.message:
            problem = "nothing is added to a record that is not whole"
        _mention(problem)
        raise
    _present(invocation, verified, _recorded(invocation, verified))


def _anchor(path: Path) -> Anchor:
    if path == STDIO:
        return anchoring.take("on standard input", sys.stdin.buffer.read(MAX_NOTE_BYTES + 1))
    return anchoring.read(path)


def _verified_copy(file: Path, anchors: Sequence[Anchor]) -> VerifiedRecord:
    if not file.exists():
        raise NotFoundError(f"there is no file {file}", hint="check the path")
    with file.open("rb") as start:
        if start.read(len(SQLITE)) != SQLITE:
            raise BadInputError(
                f"{file} is not a database, so it is no record",
                hint="name a copy of audit.db; if this is one, it was damaged: keep it",
            )
    return verify_file(file, None, anchors)


def _recorded(invocation: Invocation, result: VerifiedRecord | ApplianceError) -> str | None:
    """Record the verification; return why it could not be recorded, or None."""
    try:
        # Not at the top: a record can be verified where other parts do not even load.
        from appliance.identity.permissions import Permission
        from appliance.operations.recording import Recorder

        silence_logs()
        config = invocation.config
        with contextlib.closing(open_ledger(config.paths, config, System())) as ledger:
            recorder, actor = Recorder(ledger), console_actor()
            recorder.authorise(actor, Permission.RECORD_VERIFY, "record.verify")
            facts: dict[str, object] = {}
            if isinstance(result, ApplianceError):
                facts["code"], outcome = result.code, Outcome.FAILURE
            else:
                facts |= result.facts()
                outcome = Outcome.SUCCESS
            recorder.note(actor, "record.verify", outcome, content=facts)
    except ApplianceError as error:
        return error.message
    except ImportError as error:
        return f"a part of the program does not load ({error.name})"
    return None


def _present(invocation: Invocation, verified: VerifiedRecord, problem: str | None) -> None:
    value = {
        "whole": True,
        "entries": verified.entries,
        "first": verified.first_t,
        "last": verified.last_t,
        "pruned": verified.pruned,
        "anchored": verified.anchored,
        "signed": verified.signed,
        "head": verified.head.leaf.hex(),
        "recorded": problem is None,
    }
    invocation.present(value, lambda: _print(verified, problem))


def _print(verified: VerifiedRecord, problem: str | None) -> None:
    there = verified.entries - verified.pruned
    presenting.say(
        f"whole: {there} entries, the first of {verified.first_t}, the last of {verified.last_t}"
    )
    for name, first, stop in verified.ranges():
        presenting.say(f"{name:<24} {_range(first, stop)}")
    presenting.say(f"head {verified.head.leaf.hex()}")
    if verified.anchored < verified.signed:
        presenting.remark(
            "next: keep a checkpoint elsewhere, so that nobody with this machine can change what "
            "is only signed: appliance audit anchor --to FOLDER"
        )
    _mention(problem)


def _range(first: int, stop: int) -> str:
    return "none" if first >= stop else f"entries {first} to {stop - 1}"


def _mention(problem: str | None) -> None:
    if problem is not None:
        presenting.remark(f"this verification was not recorded: {problem}")
