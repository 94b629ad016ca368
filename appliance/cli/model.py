"""`appliance model`: from imported to answering, with two people in between."""

from __future__ import annotations

import click

from appliance.bundles.library import ModelInfo
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.operations.models import ASKING_ROLES

SHORT_DIGEST = 12

version_option = click.option(
    "--version", metavar="TEXT", help="Which one.  [default: the active one, else the newest]"
)


@noun("model")
def model() -> None:
    """Look at models, approve them, make one answer."""


@model.command("list")
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List every model in the library, whatever its state.

    \b
    Example:
      appliance model list
    """
    with invocation.operations() as verbs:
        models = verbs.models.list(console_actor())
    columns = ("name", "version", "state", "kind", "for", "size", "digest")
    invocation.present(
        [value_of(item) for item in models],
        lambda: presenting.table(
            columns,
            [
                (item.name, item.version, item.state, kind_of(item), item.roles,
                 presenting.size(item.bytes), item.digest[:SHORT_DIGEST])
                for item in models
            ],
            empty="the library is empty; `appliance bundle import` brings in a model",
            spare=("digest", "size"),
        ),
    )  # fmt: skip


@model.command("show")
@click.argument("name")
@version_option
@json_option
@pass_invocation
def show(invocation: Invocation, name: str, version: str | None) -> None:
    """Show one model with its card: licence, intended use, evaluation.

    \b
    Example:
      appliance model show demo
    """
    with invocation.operations() as verbs:
        found = verbs.models.show(console_actor(), name, version)

    def people() -> None:
        presenting.facts(_facts(found))
        presenting.say("")
        presenting.say(found.card_text.rstrip())

    invocation.present({**value_of(found), "card": found.card_text}, people)


@model.command("approve")
@click.argument("name")
@version_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(sorted(ASKING_ROLES)),
    help="Who may use it; may be repeated.  [default: everyone who may ask]",
)
@json_option
@pass_invocation
def approve(invocation: Invocation, name: str, version: str | None, roles: tuple[str, ...]) -> None:
    """Agree that people may use a model. Whoever imported it cannot approve it.

    \b
    Example:
      appliance model approve demo --version 1.0 --role clinician
    """
    with invocation.operations() as verbs:
        approved = verbs.models.approve(
            console_actor(), name, version, frozenset(roles) or ASKING_ROLES
        )

    def people() -> None:
        who = " and ".join(sorted(approved.roles))
        presenting.say(f"{approved.name} {approved.version} is approved for the roles {who}")
        presenting.remark(
            f"next: appliance model activate {approved.name} --version {approved.version}"
        )

    invocation.present(value_of(approved), people)


@model.command("activate")
@click.argument("name")
@version_option
@json_option
@pass_invocation
def activate(invocation: Invocation, name: str, version: str | None) -> None:
    """Make an approved model the one that answers.

    Its weights are hashed again first. The model that answered until now stays approved.

    \b
    Example:
      appliance model activate demo --version 1.0
    """
    with invocation.operations() as verbs:
        active = verbs.models.activate(console_actor(), name, version)
    invocation.present(
        value_of(active),
        lambda: presenting.say(f"{active.name} {active.version} answers from now on"),
    )


@model.command("verify")
@click.argument("name")
@version_option
@json_option
@pass_invocation
def verify(invocation: Invocation, name: str, version: str | None) -> None:
    """Hash a model's weights again and compare with what was signed.

    Weights that differ are quarantined at once: no engine loads them any more.

    \b
    Example:
      appliance model verify demo
    """
    with invocation.operations() as verbs:
        found = verbs.models.verify(console_actor(), name, version)
    invocation.present(
        {**value_of(found), "whole": True},
        lambda: presenting.say(f"whole: {found.name} {found.version} has SHA-256 {found.digest}"),
    )


def kind_of(found: ModelInfo) -> str:
    """Return what a reader must know before anything else."""
    return presenting.DEMO_LABEL if found.demo else "as its card says"


def value_of(found: ModelInfo) -> dict[str, object]:
    """Return a model as JSON values."""
    return {
        "id": found.id,
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "state": str(found.state),
        "reason": found.reason,
        "demo": found.demo,
        "kind": kind_of(found),
        "roles": sorted(found.roles),
        "bytes": found.bytes,
        "context_tokens": found.context_tokens,
        "publisher": found.publisher,
        "imported_by": found.imported_by,
        "approved_by": found.approved_by,
    }


def _facts(found: ModelInfo) -> dict[str, object]:
    return {
        "name": found.name,
        "version": found.version,
        "kind": kind_of(found),
        "state": f"{found.state}: {found.reason}" if found.reason else found.state,
        "for": found.roles,
        "size": presenting.size(found.bytes),
        "context": f"{found.context_tokens} tokens",
        "sha-256": found.digest,
        "imported by": found.imported_by,
        "approved by": found.approved_by,
        "since": presenting.moment(found.changed),
    }
