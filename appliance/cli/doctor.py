"""`appliance doctor`: look at everything once and say what to do."""

from __future__ import annotations

import click

from appliance.cli import presenting
from appliance.cli.checks import finding, hardware, machine, services, state
from appliance.cli.checks.finding import Check, Finding
from appliance.cli.commands import Command, json_option
from appliance.cli.errors import REFUSED
from appliance.cli.invocation import Invocation, pass_invocation

CHECKS: tuple[tuple[str, Check], ...] = (
    ("state folder", state.folder),
    ("key file", state.key),
    ("databases", state.databases),
    ("record", state.record),
    ("clock", state.clock),
    ("model", state.model),
    ("disk", state.room),
    ("processor", machine.processor),
    ("hardware", hardware.machine),
    ("hardware floor", hardware.floor),
    ("ledger", services.ledger),
    ("engine", services.engine),
    ("gateway", services.gateway),
)
BEFORE_INIT = tuple(
    entry for entry in CHECKS if entry[0] in {"state folder", "processor", "hardware"}
)


@click.command(cls=Command)
@json_option
@pass_invocation
def doctor(invocation: Invocation) -> None:
    """Look at everything, change nothing.

    It looks at the state folder, the record, the model, the machine and the running parts. Each
    check says ok, warn or fail, and what to do next. Exit 1 when any check fails.

    \b
    Example:
      appliance doctor
    """
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
