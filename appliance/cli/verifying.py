"""`appliance audit verify`: is the record whole? Works while the stack is up, down, or broken.

The file is read where it lies, without asking the ledger: a ledger that lies cannot vouch for
itself. That the record was verified is then recorded, if the record can be written.
"""

from __future__ import annotations

from pathlib import Path

import click

from appliance.audit.actions import Outcome
from appliance.audit.ledger import VerifiedRecord
from appliance.audit.verify import verify_file
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.errors import ApplianceError, NotFoundError


@click.command("verify", cls=Command)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Verify this copy of a record instead; nothing is recorded then.",
)
@json_option
@pass_invocation
def verify(invocation: Invocation, file: Path | None) -> None:
    """Verify the whole record: every entry, its hash, its place in the chain, the head.

    Exit 0 means whole. Exit 3 means that it was altered, and the first bad entry is named. It
    works while the appliance runs, while it is stopped, and on a copy.

    \b
    Examples:
      appliance audit verify
      appliance audit verify --file /media/stick/audit.db
    """
    if file is not None:
        _present(invocation, _verified_copy(file), None)
        return
    try:
        verified = verify_file(invocation.config.paths.audit_db)
    except ApplianceError as error:
        problem = _recorded(invocation, error)
        if problem == error.message:
            problem = "nothing is added to a record that is not whole"
        _mention(problem)
        raise
    _present(invocation, verified, _recorded(invocation, verified))


def _verified_copy(file: Path) -> VerifiedRecord:
    if not file.exists():
        raise NotFoundError(f"there is no file {file}", hint="check the path")
    return verify_file(file)


def _recorded(invocation: Invocation, result: VerifiedRecord | ApplianceError) -> str | None:
    """Record the verification; return why it could not be recorded, or None."""
    try:
        # Not at the top: a record can be verified where other parts do not even load.
        from appliance.identity.permissions import Permission
        from appliance.operations.recording import Recorder

        with invocation.operations() as verbs:
            recorder, actor = Recorder(verbs.appliance.ledger), console_actor()
            recorder.authorise(actor, Permission.RECORD_VERIFY, "record.verify")
            facts: dict[str, object] = {}
            if isinstance(result, ApplianceError):
                facts["code"], outcome = result.code, Outcome.FAILURE
            else:
                facts["entries"], outcome = result.entries, Outcome.SUCCESS
            recorder.note(actor, "record.verify", outcome, content=facts)
    except ApplianceError as error:
        return error.message
    except ImportError as error:
        return f"a part of the program does not load ({error.name})"
    return None


def _present(invocation: Invocation, verified: VerifiedRecord, problem: str | None) -> None:
    head = verified.head.leaf.hex()
    value = {
        "whole": True,
        "entries": verified.entries,
        "first": verified.first_t,
        "last": verified.last_t,
        "head": head,
        "recorded": problem is None,
    }

    def people() -> None:
        presenting.say(f"whole: {verified.entries} entries, the first of {verified.first_t}, "
                       f"the last of {verified.last_t}")  # fmt: skip
        presenting.say(f"head {head}")
        _mention(problem)

    invocation.present(value, people)


def _mention(problem: str | None) -> None:
    if problem is not None:
        presenting.remark(f"this verification was not recorded: {problem}")
