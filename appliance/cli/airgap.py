"""`appliance doctor --airgap`: is there a way out of here, and where is that written down?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from appliance.airgap import looking
from appliance.airgap.report import MAX_BYTES, Report, parse
from appliance.airgap.stack import Role
from appliance.audit.access import open_ledger
from appliance.audit.client import LedgerClient
from appliance.audit.ledger import Ledger
from appliance.cli import presenting, writing
from appliance.cli.actor import console_actor
from appliance.cli.errors import REFUSED
from appliance.cli.invocation import Invocation, silence_logs
from appliance.clock import System
from appliance.errors import UnavailableError
from appliance.operations.airgap import AirGap, Recorded

STDIO = Path("-")
PROOF = ".tlog-proof"


def check(
    invocation: Invocation, role: Role | None, process: int | None,
    out: Path | None, collected: Path | None,
) -> None:  # fmt: skip
    """Look, or take in what was seen elsewhere; record it where there is a record; print it."""
    if out is not None and out != STDIO:
        writing.refuse_existing(out)
        writing.refuse_existing(_proof_of(out))
    chosen = role or Role(invocation.config.airgap.role or Role.MACHINE)
    proof = ""
    with _ledger(invocation) as ledger:
        if ledger is None:
            report, recorded = _without_record(chosen, process, collected), None
        else:
            verbs = AirGap(ledger, System(), chosen)
            recorded = _done(verbs, chosen, process, collected)
            report = recorded.report
            proof = verbs.prove(recorded) if out not in (None, STDIO) else ""
    if out == STDIO:
        sys.stdout.write(report.to_bytes().decode() + "\n")
    else:
        if out is not None:
            _write(out, report, proof)
        _present(invocation, report, recorded)
    if not report.is_closed:
        click.get_current_context().exit(REFUSED)


def _done(verbs: AirGap, role: Role, process: int | None, collected: Path | None) -> Recorded:
    actor = console_actor()
    if collected is not None:
        return verbs.take(actor, parse(_read(collected)))
    return verbs.check(actor, role, process)


def _without_record(role: Role, process: int | None, collected: Path | None) -> Report:
    if collected is not None:
        raise UnavailableError("there is no record here to write it into",
                               hint="collect it where the ledger can be reached")  # fmt: skip
    try:
        return looking.look(role, System().now(), process)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"the air gap cannot be looked at: {error}") from error


@contextmanager
def _ledger(invocation: Invocation) -> Iterator[Ledger | None]:
    """Yield the record if there is a way to it: most containers have none, and that is meant."""
    silence_logs()
    paths = invocation.config.paths
    client = LedgerClient(paths.ledger_socket)
    found: Ledger | None = client if client.answers() else None
    if found is None and paths.audit_db.exists():
        found = open_ledger(paths, invocation.config, System())
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def _present(invocation: Invocation, report: Report, recorded: Recorded | None) -> None:
    entry = None if recorded is None else recorded.seq
    invocation.present({**report.to_json(), "entry": entry}, lambda: _print(report, entry))


def _print(report: Report, entry: int | None) -> None:
    presenting.table(
        ("what", "verdict", "found", "expected"),
        [(line.check, line.verdict, line.found, line.expected) for line in report.lines],
        spare=("expected",),
    )
    by_advice: dict[str, list[str]] = {}
    for line in report.lines:
        if line.next:
            by_advice.setdefault(line.next, []).append(line.check)
    for advice, checks in by_advice.items():
        presenting.remark(f"next ({', '.join(checks)}): {advice}")
    count = len(report.ways_out)
    words = "no way out was found" if report.is_closed else f"open, or not to be seen: {count}"
    presenting.remark(f"{report.role}: {words}")
    presenting.remark(
        f"recorded as entry {entry}" if entry is not None else
        "not recorded: there is no way to the record here; compose/airgap.sh collects it"
    )  # fmt: skip


def _write(out: Path, report: Report, proof: str) -> None:
    writing.write_pieces(out, [report.to_bytes()], mode=0o644)
    if proof:
        writing.write_pieces(_proof_of(out), [proof.encode()], mode=0o644)


def _proof_of(out: Path) -> Path:
    return out.with_name(out.name + PROOF)


def _read(file: Path) -> bytes:
    if file == STDIO:
        return sys.stdin.read(MAX_BYTES + 1).encode()
    with file.open("rb") as opened:
        return opened.read(MAX_BYTES + 1)
