"""`appliance model retire|pin|unpin|export`: what happens to a version besides answering."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.confirming import confirm
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.model_views import value_of

version_option = click.option(
    "--version", metavar="TEXT", help="Which one.  [default: the active one, else the newest]"
)


@click.command("retire", cls=Command)
@click.argument("name")
@click.option("--version", metavar="TEXT", required=True, help="Which one.")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
@click.option("--delete-weights", is_flag=True, help="Free the disk space that it takes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_invocation
def retire(
    invocation: Invocation, name: str, version: str, reason: str, delete_weights: bool, yes: bool
) -> None:
    """Take a version out of use for good; it can never answer again.

    The model that answers, and a pinned one, cannot be retired. The card, the evaluation and the
    record stay. A retired version may be named again with --delete-weights.

    \b
    Example:
      appliance model retire demo --version 1.0 --reason "replaced by 2.0" --yes
    """
    confirm(f"retire {name} {version} for good?", yes=yes)
    with invocation.operations() as verbs:
        retired = verbs.models.retire(
            console_actor(), name, version, reason, delete_weights=delete_weights
        )
        kept = verbs.models.has_weights(retired)

    def people() -> None:
        presenting.say(f"{name} {version} is retired")
        if kept:
            presenting.remark(
                f"next: nothing; its weights take {presenting.size(retired.bytes)}, and the same "
                "command with --delete-weights frees them"
            )
        else:
            presenting.remark("next: nothing; its weights are deleted, its card and record stay")

    invocation.present({**value_of(retired), "weights": kept}, people)


@click.command("pin", cls=Command)
@click.argument("name")
@version_option
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
@json_option
@pass_invocation
def pin(invocation: Invocation, name: str, version: str | None, reason: str) -> None:
    """Hold a name at one approved version.

    While it is pinned, no other version of it can be activated, and the pinned one cannot be
    retired. A quarantine goes before any pin.

    \b
    Example:
      appliance model pin demo --version 1.0 --reason "study 12/26 runs until June"
    """
    with invocation.operations() as verbs:
        pinned = verbs.models.pin(console_actor(), name, version, reason)

    def people() -> None:
        presenting.say(f"{pinned.name} stays at {pinned.version}")
        presenting.remark(f"next: appliance model unpin {pinned.name}, when the reason is over")

    invocation.present({"name": pinned.name, "version": pinned.version, "reason": pinned.reason},
                       people)  # fmt: skip


@click.command("unpin", cls=Command)
@click.argument("name")
@json_option
@pass_invocation
def unpin(invocation: Invocation, name: str) -> None:
    """Let go of a pinned name.

    \b
    Example:
      appliance model unpin demo
    """
    with invocation.operations() as verbs:
        pinned = verbs.models.unpin(console_actor(), name)

    def people() -> None:
        presenting.say(f"{pinned.name} is not pinned to {pinned.version} any more")
        presenting.remark("next: any approved version of it can be activated")

    invocation.present({"name": pinned.name, "version": pinned.version}, people)


@click.command("export", cls=Command)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@version_option
@json_option
@pass_invocation
def export(invocation: Invocation, name: str, folder: Path, version: str | None) -> None:
    """Copy a model, its own signature and the key that made it to the new folder FOLDER.

    Anybody can then check it with the published tool of OpenSSF Model Signing, without this
    appliance; the command to do so is printed.

    \b
    Example:
      appliance model export demo /media/stick/demo
    """
    with (
        invocation.operations() as verbs,
        presenting.progress("copying and checking") as progress,
    ):
        found = verbs.models.export(console_actor(), name, version, folder, progress)
    check = (
        f"model_signing verify key {folder / 'model'} --signature {folder / 'model.oms.sig'} "
        f"--public_key {folder / 'publisher.pem'}"
    )

    def people() -> None:
        presenting.say(f"{found.name} {found.version} lies in {folder}")
        presenting.remark(f"next: {check}")

    invocation.present({**value_of(found), "folder": str(folder), "check": check}, people)
