"""`appliance init`: make a state folder, once."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation, silence_logs
from appliance.operations.setup import Initialised, initialise


@click.command(cls=Command)
@click.option(
    "--demo",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Also import the demo model from this folder, and make a clinician to try it with.",
)
@json_option
@pass_invocation
def init(invocation: Invocation, demo: Path | None) -> None:
    """Make the state folder, once.

    In it: the keys, an empty record, the databases, and the first administrator. The record's
    first public key is printed: whoever has it on paper can later prove the record, without
    trusting this machine.

    The first passwords are printed once. They are stored only as argon2id hashes, so write them
    down now. A folder that holds anything is refused and left as it is.

    \b
    Examples:
      appliance init
      appliance --state var init --demo models/demo
    """
    silence_logs()
    made = initialise(invocation.config, console_actor(), demo)
    credentials = [vars(credential) for credential in made.credentials]
    invocation.present(
        {
            "state": str(invocation.config.state),
            "log": made.log_id,
            "key": made.key,
            "credentials": credentials,
        },
        lambda: _print(invocation, made),
    )


def _print(invocation: Invocation, made: Initialised) -> None:
    for credential in made.credentials:
        presenting.say(f"{credential.role} {credential.name} {credential.password}")
    presenting.remark(f"made {invocation.config.state}; its record is named {made.log_id}")
    presenting.remark("the passwords above are shown this once: write them down now")
    presenting.remark("the record's first public key, to be kept on paper by whoever audits it:")
    presenting.remark(made.key)
    presenting.remark(f"next: appliance --state {invocation.state} run")
