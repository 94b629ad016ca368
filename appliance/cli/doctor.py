"""`appliance doctor`: look at everything once and say what to do."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.airgap.stack import Role
from appliance.cli import presenting
from appliance.cli.checks import anchors, edge, finding, hardware, machine, services, state
from appliance.cli.checks.finding import Check, Finding
from appliance.cli.commands import Command, json_option
from appliance.cli.errors import REFUSED
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.errors import ConflictError

CHECKS: tuple[tuple[str, Check], ...] = (
    ("state folder", state.folder),
    ("key file", state.key),
    ("databases", state.databases),
    ("record", state.record),
    ("anchors", anchors.anchors),
    ("clock", state.clock),
    ("model", state.model),
    ("disk", state.room),
    ("processor", machine.processor),
    ("hardware", hardware.machine),
    ("hardware floor", hardware.floor),
    ("ledger", services.ledger),
    ("engine", services.engine),
    ("gateway", services.gateway),
    ("certificate", edge.certificate),
    ("air gap", edge.air_gap),
)
BEFORE_INIT = tuple(
    entry for entry in CHECKS if entry[0] in {"state folder", "processor", "hardware"}
)

ELSEWHERE = frozenset({Role.LEDGER, Role.ENGINE})

FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command(cls=Command)
@click.option("--airgap", "is_airgap", is_flag=True, help="Look for a way out instead.")
@click.option("--role", type=click.Choice([str(role) for role in Role]),
              help="What to look at it as.  [default: the setting airgap.role, else machine]",
              )  # fmt: skip
@click.option("--pid", type=click.IntRange(min=1), metavar="N",
              help="Look at this process and its network instead of at oneself.")  # fmt: skip
@click.option("--out", type=FILE, metavar="FILE",
              help="Also write report and receipt to new files; - prints the report alone.",
              )  # fmt: skip
@click.option("--collect", type=FILE, metavar="FILE",
              help="Record a report that a part without the record printed; - reads it.",
              )  # fmt: skip
@json_option
@pass_invocation
def doctor(
    invocation: Invocation, is_airgap: bool, role: str | None, pid: int | None,
    out: Path | None, collect: Path | None,
) -> None:  # fmt: skip
    """Look at everything, change nothing.

    It looks at the state folder, the record, the model, the machine and the running parts. Each
    check says ok, warn or fail, and what to do next. Exit 1 when any check fails.

    With --airgap it looks for a way out: it tries public addresses, the host, neighbours and name
    servers, and looks at routes, ports, rights and variables. Nothing of this site is in what it
    sends. What it finds is recorded. Exit 1 when anything is open.

    \b
    Examples:
      appliance doctor
      appliance doctor --airgap
      appliance doctor --airgap --out /media/stick/airgap.json
    """
    if is_airgap:
        from appliance.cli import airgap

        airgap.check(invocation, Role(role) if role else None, pid, out, collect)
        return
    if any((role, pid, out, collect)):
        raise click.UsageError("--role, --pid, --out and --collect go with --airgap")
    _look(invocation)


def _look(invocation: Invocation) -> None:
    # Of the stack's parts the gateway alone has state, and ways to ask the others.
    if invocation.config.airgap.role in ELSEWHERE:
        raise ConflictError(
            f"the {invocation.config.airgap.role} of the stack has no state to look at",
            hint="docker exec appliance-gateway-1 appliance doctor",
        )
    patient = finding.Patient(invocation.config)
    # Without a state folder, everything else would only say the same again.
    wanted = CHECKS if patient.paths.state.is_dir() else BEFORE_INIT
    found = [finding.run(name, check, patient) for name, check in wanted]
    invocation.present([item.to_json() for item in found], lambda: _print(found))
    if any(item.verdict == "fail" for item in found):
        click.get_current_context().exit(REFUSED)


def _print(found: list[Finding]) -> None:
    presenting.table(
        ("check", "verdict", "found"), [(item.check, item.verdict, item.found) for item in found]
    )
    checks_by_advice: dict[str, list[str]] = {}
    for item in found:
        if item.next:
            checks_by_advice.setdefault(item.next, []).append(item.check)
    for advice, checks in checks_by_advice.items():
        presenting.remark(f"next ({', '.join(checks)}): {advice}")
