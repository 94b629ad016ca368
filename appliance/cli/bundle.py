"""`appliance bundle`: models that come in on a stick."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.model import value_of


@noun("bundle")
def bundle() -> None:
    """Bring in signed model bundles."""


@bundle.command("import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
@pass_invocation
def import_(invocation: Invocation, folder: Path) -> None:
    """Verify the bundle in FOLDER and copy its models into the library.

    Nothing of it is used before every signature and digest is verified. The models then wait
    until another person approves them. Importing the same bundle again changes nothing.

    \b
    Example:
      appliance bundle import /media/stick
    """
    with (
        invocation.operations() as verbs,
        presenting.progress("verifying and copying") as progress,
    ):
        imported = verbs.models.import_bundle(console_actor(), folder, progress)

    def people() -> None:
        for model in imported:
            presenting.say(f"{model.name} {model.version} is in the library ({model.state})")
            presenting.remark(
                "next: another person than you runs "
                f"appliance model approve {model.name} --version {model.version}"
            )

    invocation.present([value_of(model) for model in imported], people)
