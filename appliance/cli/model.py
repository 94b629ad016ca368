"""`appliance model`: from imported to answering, with two people in between."""

from __future__ import annotations

import click

from appliance.bundles.inventory import ModelInfo
from appliance.bundles.states import State
from appliance.cli import model_views, presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.evaluating import evaluate, validation
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.model_keeping import export, pin, retire, unpin, version_option
from appliance.cli.model_views import value_of
from appliance.operations.models import ASKING_ROLES

SHORT_DIGEST = 12


@noun("model")
def model() -> None:
    """Look at models, agree to them, choose which one answers."""


for _command in (evaluate, validation, retire, pin, unpin, export):
    model.add_command(_command)


@model.command("list")
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List every model in the library, whatever its state.

    \b
    Example:
      appliance model list
    """
    actor = console_actor()
    with invocation.operations() as verbs:
        models, pins = verbs.models.list(actor), verbs.models.pins(actor)
    columns = ("name", "version", "state", "pinned", "kind", "for", "size", "digest")

    def people() -> None:
        presenting.table(
            columns,
            [
                (item.name, item.version, model_views.state_of(item),
                 model_views.pinned(item, pins), model_views.kind_of(item), item.roles,
                 presenting.size(item.bytes), item.digest[:SHORT_DIGEST])
                for item in models
            ],
            empty="the library is empty; `appliance bundle import` brings in a model",
            spare=("digest", "size", "pinned"),
        )  # fmt: skip
        for hint in model_views.next_steps(models):
            presenting.remark(hint)

    invocation.present(
        [{**value_of(item), "pinned": model_views.pinned(item, pins)} for item in models], people
    )


@model.command("show")
@click.argument("name")
@version_option
@json_option
@pass_invocation
def show(invocation: Invocation, name: str, version: str | None) -> None:
    """Show what is known of one model: signers, evaluation, template, card.

    This is what a colleague reads before agreeing to it; the browser shows the same.

    \b
    Example:
      appliance model show demo
    """
    with invocation.operations() as verbs:
        dossier = verbs.dossiers.of(console_actor(), name, version)

    def people() -> None:
        presenting.facts(model_views.facts(dossier))
        for line in model_views.template_lines(dossier):
            presenting.say(line)
        presenting.say("")
        presenting.say(dossier.model.card_text.rstrip())
        for hint in model_views.next_steps([dossier.model]):
            presenting.remark(hint)

    invocation.present(model_views.dossier_value(dossier), people)


@model.command("approve")
@click.argument("name")
@click.option(
    "--version", metavar="TEXT", help="Which one.  [default: the newest that was evaluated]"
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(sorted(ASKING_ROLES)),
    help="Who may use it; may be repeated.  [default: everyone who may ask]",
)
@click.option(
    "--accept-failed",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Agree although exactly N prompts of its evaluation failed.",
)
@json_option
@pass_invocation
def approve(
    invocation: Invocation,
    name: str,
    version: str | None,
    roles: tuple[str, ...],
    accept_failed: int,
) -> None:
    """Agree that people may use an evaluated model. Whoever imported it cannot.

    Read `appliance model show NAME` first. When prompts of its evaluation failed, their number
    has to be stated, so that nobody agrees to them unknowingly; it is recorded.

    \b
    Example:
      appliance model approve demo --version 1.0 --role clinician
    """
    with invocation.operations() as verbs:
        approved = verbs.models.approve(
            console_actor(),
            name,
            version,
            frozenset(roles) or ASKING_ROLES,
            accept_failed=accept_failed,
        )

    def people() -> None:
        who = " and ".join(sorted(approved.roles))
        presenting.say(f"{approved.name} {approved.version} is approved for the roles {who}")
        presenting.remark(
            f"next: appliance model activate {approved.name} --version {approved.version}"
        )

    invocation.present(value_of(approved), people)


beside_option = click.option(
    "--beside", is_flag=True, help="In the second place: asked by its name, beside the default."
)


@model.command("activate")
@click.argument("name")
@version_option
@beside_option
@json_option
@pass_invocation
def activate(invocation: Invocation, name: str, version: str | None, beside: bool) -> None:
    """Make an approved model the one that answers.

    Its weights are hashed again, loaded and tried with a real answer; until then the present
    model goes on answering, and stays approved afterwards. When anything of this fails, nothing
    has changed.

    With --beside, the model that answers by default is not touched: the new one answers only who
    asks it by its name. Two models share the processors, so both get slower.

    \b
    Example:
      appliance model activate demo --version 1.0
    """
    with invocation.operations() as verbs:
        active = verbs.activation.activate(console_actor(), name, version, beside=beside)
    _answers(invocation, active)


@model.command("rollback")
@beside_option
@json_option
@pass_invocation
def rollback(invocation: Invocation, beside: bool) -> None:
    """Let the model answer again that answered before the present one.

    \b
    Example:
      appliance model rollback
    """
    with invocation.operations() as verbs:
        active = verbs.activation.rollback(console_actor(), beside=beside)
    _answers(invocation, active)


@model.command("release")
@click.argument("name")
@json_option
@pass_invocation
def release(invocation: Invocation, name: str) -> None:
    """Let the model that answers beside the default answer no more.

    Its running answers end first, and it stays approved. The default is never released, only
    replaced by `appliance model activate`.

    \b
    Example:
      appliance model release demo
    """
    with invocation.operations() as verbs:
        released = verbs.activation.release(console_actor(), name)

    def people() -> None:
        presenting.say(f"{released.name} {released.version} does not answer any more")
        presenting.remark(
            f"next: nothing; `appliance model activate {released.name} --beside` brings it back"
        )

    invocation.present(value_of(released), people)


def _answers(invocation: Invocation, active: ModelInfo) -> None:
    place, back = ("when asked by its name, ", " --beside") if active.beside else ("", "")

    def people() -> None:
        presenting.say(f"{active.name} {active.version} answers {place}from now on")
        presenting.remark(
            f"next: ask it something; `appliance model rollback{back}` goes back one step"
        )

    invocation.present(value_of(active), people)


@model.command("verify")
@click.argument("name")
@version_option
@json_option
@pass_invocation
def verify(invocation: Invocation, name: str, version: str | None) -> None:
    """Hash a model's files again and compare with what was signed.

    Files that differ quarantine the model at once: no engine loads it any more.

    \b
    Example:
      appliance model verify demo
    """
    with invocation.operations() as verbs:
        found = verbs.models.verify(console_actor(), name, version)

    def people() -> None:
        presenting.say(f"whole: {found.name} {found.version} has SHA-256 {found.digest}")
        if found.state is State.QUARANTINED:
            presenting.remark(f"it stays quarantined: {found.reason}")
        presenting.remark("next: nothing")

    invocation.present({**value_of(found), "whole": True}, people)
