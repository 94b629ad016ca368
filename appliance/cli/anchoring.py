"""`appliance audit checkpoint|anchor|keys`: what holds the record from outside of it.

One checkpoint kept elsewhere shows any later change of what it covers, so each command says where
to put it next. Drawing and sending are imported when used: `audit verify` needs neither.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance.audit.checkpoint import VerifierKey
from appliance.cli import presenting, writing
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.clock import rfc3339
from appliance.errors import TooLargeError

if TYPE_CHECKING:
    from appliance.operations import Operations
    from appliance.operations.anchors import Issued
    from appliance.operations.witnessing import Cosigned

NEW_FILE = click.Path(path_type=Path, dir_okay=False)
OLD_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
PLACES = ("to", "syslog", "witness", "witness_request", "witness_answer")
MAX_ANSWER = 65_536
STDIO = Path("-")


@click.command("checkpoint", cls=Command)
@click.option("--qr", "as_qr", is_flag=True, help="Show it as a QR code to photograph or print.")
@click.option("--out", type=NEW_FILE, metavar="FILE", help="Write it to a new file.")
@click.option("--svg", type=NEW_FILE, metavar="FILE", help="Write its QR code to a new SVG file.")
@json_option
@pass_invocation
def checkpoint(invocation: Invocation, as_qr: bool, out: Path | None, svg: Path | None) -> None:
    """Print the newest checkpoint: size and root of the record, signed.

    Keep it where nobody who can change the record can reach it, such as the ward's logbook.
    Whatever it covers cannot be changed unnoticed from then on.

    \b
    Examples:
      appliance audit checkpoint
      appliance audit checkpoint --qr
      appliance audit checkpoint --out record.checkpoint --svg record.svg
    """
    for path in filter(None, (out, svg)):
        writing.refuse_existing(path)
    with invocation.operations() as verbs:
        issued = verbs.anchors.checkpoint(console_actor(), _form(as_qr, out, svg))
    if out is not None:
        writing.write_pieces(out, [issued.note.encode()])
    if svg is not None:
        from appliance.audit import qr

        writing.write_pieces(svg, [qr.svg(issued.note).encode()])
    files = [str(path) for path in (out, svg) if path is not None]
    value = {**_value(issued), "note": issued.note, "files": files}
    invocation.present(value, lambda: _show(issued, files, as_qr, out))


@click.command("anchor", cls=Command)
@click.option("--to", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Write it as a new file into this folder, such as a stick.")  # fmt: skip
@click.option("--syslog", metavar="ADDRESS",
              help="Send it to a log collector: tls://HOST:PORT or tcp://HOST:PORT.")  # fmt: skip
@click.option("--witness", metavar="ADDRESS", help="Have a witness sign it: http://HOST:PORT.")
@click.option("--witness-request", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
              metavar="FILE",
              help="Write a request for a witness without a network; - prints it.")  # fmt: skip
@click.option("--witness-answer", metavar="FILE",
              type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
              help="Take what that witness signed; - reads it from standard input.")  # fmt: skip
@click.option("--witness-key", metavar="KEY",
              help="The witness's verifier key.  [default: the ledger's ledger.witness_key]",
              )  # fmt: skip
@click.option("--witness-size", type=click.IntRange(min=0), metavar="N",
              help="The size that the witness cosigned last, if it said so.")  # fmt: skip
@click.option("--ca", type=OLD_FILE, metavar="FILE",
              help="Certificates that vouch for the other side.  [default: ledger.anchor_ca]",
              )  # fmt: skip
@click.option("--cert", type=OLD_FILE, metavar="FILE", help="Our certificate, where one is asked.")
@click.option("--key", type=OLD_FILE, metavar="FILE", help="The key of our certificate.")
@json_option
@pass_invocation
def anchor(invocation: Invocation, /, **chosen: Any) -> None:
    """Keep the newest checkpoint in a place outside this machine.

    Name exactly one place. What was kept, and where, is recorded.

    \b
    Examples:
      appliance audit anchor --to /media/stick
      appliance audit anchor --syslog tls://siem.example:6514 --ca ca.pem
      appliance audit anchor --witness http://witness.example:8085
      appliance audit anchor --witness-request /media/stick/request
      appliance audit anchor --witness-answer /media/stick/answer.checkpoint
    """
    named = [place for place in PLACES if chosen[place] is not None]
    if len(named) != 1:
        raise click.UsageError("name exactly one place: " + ", ".join(map(_option, PLACES)))
    HANDLERS[named[0]](invocation, chosen)


@click.command("keys", cls=Command)
@json_option
@pass_invocation
def keys(invocation: Invocation) -> None:
    """List the keys that signed the record: from which entry on, and since when.

    The record changes its key each day and destroys the old one. Whoever trusts one of these
    keys can follow the record to the newest; a witness is made with the newest.

    \b
    Example:
      appliance audit keys
    """
    with invocation.operations() as verbs:
        known = verbs.anchors.keys(console_actor())
    rows = [(key.number, key.seq or 0, (key.opened or "")[:10], key.key) for key in known]

    def people() -> None:
        presenting.table(("epoch", "from entry", "since (UTC)", "verifier key"), rows)
        presenting.remark("next: write the newest key down where the record's host cannot reach it")

    invocation.present(
        [
            {"epoch": key.number, "entry": key.seq or 0, "since": key.opened, "key": key.key}
            for key in known
        ],
        people,
    )


def _to_folder(invocation: Invocation, chosen: dict[str, Any]) -> None:
    with invocation.operations() as verbs:
        path, issued = verbs.anchors.to_folder(console_actor(), chosen["to"])

    def people() -> None:
        presenting.say(f"wrote {path}: {_words(issued)}, and read it back")
        presenting.remark("next: take the medium away from this machine and keep it; to check it:")
        presenting.remark(f"next: appliance audit verify --anchor {path}")

    invocation.present({**_value(issued), "file": str(path)}, people)


def _to_syslog(invocation: Invocation, chosen: dict[str, Any]) -> None:
    from appliance.audit.syslog_anchor import Collector

    settings = invocation.config.ledger
    collector = Collector.parse(
        chosen["syslog"],
        _path(chosen["ca"], settings.anchor_ca),
        _path(chosen["cert"], settings.anchor_cert),
        _path(chosen["key"], settings.anchor_key),
    )
    with invocation.operations() as verbs:
        issued = verbs.anchors.to_syslog(console_actor(), collector)

    def people() -> None:
        presenting.say(f"sent {_words(issued)} to {collector.address}")
        presenting.remark("syslog has no receipt: look for this line in the collector once")
        presenting.remark(f"next: there, search for size={issued.checkpoint.size}")

    invocation.present({**_value(issued), "collector": collector.address}, people)


def _to_witness(invocation: Invocation, chosen: dict[str, Any]) -> None:
    from appliance.audit.witness_client import WitnessClient

    ca = _path(chosen["ca"], invocation.config.ledger.anchor_ca)
    with WitnessClient(chosen["witness"], ca) as client, invocation.operations() as verbs:
        witness = _witness_key(verbs, chosen)
        cosigned = verbs.anchors.to_witness(console_actor(), client, witness)
    _present_cosigned(invocation, cosigned, witness)


def _witness_request(invocation: Invocation, chosen: dict[str, Any]) -> None:
    out = chosen["witness_request"]
    if out == STDIO and invocation.as_json:
        raise click.UsageError("--json describes the file, so it needs --witness-request FILE")
    if out != STDIO:
        writing.refuse_existing(out)
    with invocation.operations() as verbs:
        witness = _witness_key(verbs, chosen)
        request = verbs.anchors.witness_request(console_actor(), witness, chosen["witness_size"])
    if out == STDIO:
        sys.stdout.buffer.write(request)
        sys.stdout.buffer.flush()
        return
    size = writing.write_pieces(out, [request], mode=0o644)

    def people() -> None:
        presenting.say(f"wrote {out}: {presenting.size(size)}; nothing in it is secret")
        presenting.remark("next: carry it to the witness, and there:")
        presenting.remark(
            f"next: appliance audit witness cosign --request {out.name} --out answer.checkpoint"
        )

    invocation.present({"file": str(out), "bytes": size, "witness": str(witness)}, people)


def _witness_answer(invocation: Invocation, chosen: dict[str, Any]) -> None:
    path = chosen["witness_answer"]
    note = _read(path)
    if len(note) > MAX_ANSWER:
        raise TooLargeError(f"{path} is no answer of a witness: it is too long")
    with invocation.operations() as verbs:
        witness = _witness_key(verbs, chosen)
        cosigned = verbs.anchors.take_answer(console_actor(), note, witness)
    _present_cosigned(invocation, cosigned, witness)


HANDLERS: dict[str, Callable[[Invocation, dict[str, Any]], None]] = {
    "to": _to_folder,
    "syslog": _to_syslog,
    "witness": _to_witness,
    "witness_request": _witness_request,
    "witness_answer": _witness_answer,
}


def _read(path: Path) -> bytes:
    if path == STDIO:
        return sys.stdin.buffer.read(MAX_ANSWER + 1)
    with path.open("rb") as file:
        return file.read(MAX_ANSWER + 1)


def _witness_key(verbs: Operations, chosen: dict[str, Any]) -> VerifierKey:
    # The ledger's own setting: in the stack, it is another container's.
    text = chosen["witness_key"] or verbs.appliance.ledger.anchoring().witness
    if not text:
        raise click.UsageError(
            "name the witness's key with --witness-key KEY, or set ledger.witness_key; "
            "`appliance audit witness show` on the witness prints it"
        )
    return VerifierKey.parse(text)


def _present_cosigned(invocation: Invocation, cosigned: Cosigned, witness: VerifierKey) -> None:
    made, when = cosigned.signed.checkpoint, rfc3339(cosigned.unix_time)
    value = {
        "size": made.size,
        "root": base64.b64encode(made.root).decode(),
        "witness": str(witness),
        "time": when,
        "note": cosigned.signed.note(),
    }

    def people() -> None:
        presenting.say(f"{witness.name} signed {made.size} entries at {when}")
        presenting.remark(
            "next: nothing; from now on the record is checked against this at each start and by "
            "`appliance audit verify`"
        )

    invocation.present(value, people)


def _show(issued: Issued, files: list[str], as_qr: bool, out: Path | None) -> None:
    if as_qr:
        from appliance.audit import qr

        # Not through `say`: it takes away what colours a terminal.
        sys.stdout.write(qr.terminal(issued.note, colours=sys.stdout.isatty()))
        sys.stdout.flush()
    elif not files:
        sys.stdout.write(issued.note)
    for file in files:
        presenting.say(f"wrote {file}: {_words(issued)}")
    presenting.remark("next: keep it where whoever can change this machine cannot reach it; later:")
    presenting.remark(f"next: appliance audit verify --anchor {files[0] if out else 'FILE'}")


def _words(issued: Issued) -> str:
    return f"a checkpoint of {issued.checkpoint.size} entries"


def _value(issued: Issued) -> dict[str, Any]:
    made = issued.checkpoint
    root = base64.b64encode(made.root).decode()
    return {"origin": made.origin, "size": made.size, "root": root}


def _form(as_qr: bool, out: Path | None, svg: Path | None) -> str:
    return "qr" if as_qr or svg else "file" if out else "text"


def _option(place: str) -> str:
    return "--" + place.replace("_", "-")


def _path(given: Path | None, setting: str) -> Path | None:
    return given or (Path(setting) if setting else None)
