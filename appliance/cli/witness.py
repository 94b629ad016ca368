"""`appliance audit witness`: the second machine, which signs only what never went back.

It needs no state folder of the appliance: a small folder of its own is all it has.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import click

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    MAX_BODY,
    MAX_STEPS,
    parse_steps,
)
from appliance.audit.witness import Refused
from appliance.audit.witness_folder import WitnessFolder
from appliance.cli import presenting, writing
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation, silence_logs
from appliance.clock import System
from appliance.errors import ApplianceError, BadInputError, ConflictError, VerificationError

THREADS = 8
DEFAULT_FOLDER = Path("/var/lib/appliance-witness")

folder_option = click.option(
    "--witness-state",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    metavar="DIR",
    help="The witness's own folder.",
)


@noun("witness")
def witness() -> None:
    """Run a witness for another machine's record.

    A witness remembers how far it saw a record, and signs a checkpoint only when it is shown
    that the record grew from there. Run it where the record's administrators have no access.
    """


@witness.command("init")
@click.option("--name", required=True, metavar="NAME", help="Its name, such as witness.example/w1.")
@click.option("--log", "log_key", required=True, metavar="KEY",
              help="The record's newest verifier key, from `appliance audit keys`.")  # fmt: skip
@folder_option
@json_option
@pass_invocation
def init(invocation: Invocation, name: str, log_key: str, folder: Path) -> None:
    """Make a witness with a key of its own, for one record.

    \b
    Example:
      appliance audit witness init --name witness.example/w1 --log "hospital/audit/0f+1a2b3c4d+AXk="
    """
    made = WitnessFolder.create(folder, name, VerifierKey.parse(log_key), System())

    def people() -> None:
        presenting.say(str(made.key))
        presenting.remark("this is the witness's key; give it to the appliance as")
        presenting.remark(f'next: ledger.witness_key = "{made.key}"')
        presenting.remark(f"next: appliance audit witness serve --witness-state {folder}")

    invocation.present({"folder": str(folder), "key": str(made.key)}, people)


@witness.command("show")
@folder_option
@json_option
@pass_invocation
def show(invocation: Invocation, folder: Path) -> None:
    """Show the witness's key, and how far it saw the record.

    \b
    Example:
      appliance audit witness show
    """
    found = WitnessFolder(folder, System())
    state = found.state
    value = {
        "witness key": str(found.key),
        "record": state.origin,
        "record's key": str(state.key),
        "entries": state.size,
        "root": base64.b64encode(state.root).decode(),
    }
    named = {name.replace("'s", "").replace(" ", "_"): item for name, item in value.items()}
    invocation.present(named, lambda: presenting.facts(value))


@witness.command("cosign")
@click.option("--request", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              required=True, metavar="FILE", help="What the appliance wrote.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True,
              metavar="FILE", help="The answer: a file that does not exist yet.")  # fmt: skip
@folder_option
@json_option
@pass_invocation
def cosign(invocation: Invocation, request: Path, out: Path, folder: Path) -> None:
    """Sign a request that came on a stick, if the record only grew.

    \b
    Example:
      appliance audit witness cosign --request /media/stick/request --out /media/stick/answer.checkpoint
    """  # noqa: E501  # one example, one line
    silence_logs()  # what is suspicious is raised here, and kept in the folder
    writing.refuse_existing(out)
    with request.open("rb") as file:
        steps = parse_steps(file.read(MAX_STEPS * MAX_BODY[ADD_CHECKPOINT]))
    found = WitnessFolder(folder, System())
    with found.held():
        for step in found.pending(steps):
            answer = found.answer(found.fitted(step))
            if answer.refused is not None:
                raise _refusal(answer.refused, found.state.size)
        note = found.newest()
    if note is None:
        raise BadInputError("the request asks for no signature")
    writing.write_pieces(out, [note.encode()], mode=0o644)

    def people() -> None:
        presenting.say(f"signed {found.state.size} entries of {found.state.origin}")
        presenting.remark(f"next: carry {out.name} back, and there:")
        presenting.remark(f"next: appliance audit anchor --witness-answer {out.name}")

    invocation.present({"file": str(out), "size": found.state.size}, people)


@witness.command("serve")
@click.option("--listen", default="127.0.0.1:8085", show_default=True, metavar="HOST:PORT",
              help="Where to answer.")  # fmt: skip
@folder_option
@pass_invocation
def serve(_invocation: Invocation, listen: str, folder: Path) -> None:
    """Answer the appliance over HTTP until told to stop (C2SP tlog-witness).

    There is no TLS: all that passes is public and signed. Who changes it on the way can only
    keep the witness from hearing, and then the record's anchors are seen to be old.

    \b
    Example:
      appliance audit witness serve --listen 0.0.0.0:8085
    """
    from appliance.audit.witness_service import WitnessService
    from appliance.cli.errors import exit_code_of, report
    from appliance.cli.processes import Program, harden_process, log_plainly, options, run_program

    bind = _address(listen)
    harden_process()
    log_plainly()
    os.environ.pop("GUNICORN_CMD_ARGS", None)
    found = WitnessFolder(folder, System())
    with found.held():
        presenting.remark(f"witness {found.key.name} of {found.state.origin} at http://{bind}")
        program = Program(
            # Opened again in the worker: a replaced worker goes on from what is on disk.
            make=lambda: (WitnessService(WitnessFolder(folder, System())), lambda: None),
            options=options(bind, THREADS, "witness"),
            exit_code_of=exit_code_of,
            report=report,
        )
        sys.exit(run_program(program))


def _address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= 65_535:
        raise click.UsageError("--listen wants HOST:PORT, for example 0.0.0.0:8085")
    return listen


def _refusal(refused: Refused, size: int) -> ApplianceError:
    """Return the error to raise for what was not signed."""
    if not refused.suspicious and refused.status == 409:
        return ConflictError(
            f"the request begins at another size than this witness saw last, which is {size}",
            hint=f"on the appliance: appliance audit anchor --witness-request FILE "
            f"--witness-size {size}",
        )
    if not refused.suspicious and refused.status == 400:
        return BadInputError(f"the request cannot be read: {refused.why}")
    return VerificationError(
        f"nothing was signed: {refused.why}",
        hint="keep the request, and call the person in charge of security at the record's site",
    )
