"""`appliance bundle`: models that come in on a stick, or are made to go out on one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from appliance.bundles.inventory import ModelInfo
from appliance.bundles.manifest import VerifiedModel
from appliance.bundles.refusals import IncompleteError
from appliance.bundles.reviewing import Review
from appliance.bundles.states import State
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.importing import JsonLines, Shown, shown
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.model_views import value_of
from appliance.cli.publishing import build, sign
from appliance.errors import ApplianceError
from appliance.operations.imports import Imports

SHORT_KEY = 12

folders_argument = click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)


@noun("bundle")
def bundle() -> None:
    """Bring in signed model bundles, or make one."""


for _command in (build, sign):
    bundle.add_command(_command)


@bundle.command("import")
@folders_argument
@json_option
@pass_invocation
def import_(invocation: Invocation, folders: tuple[Path, ...]) -> None:
    """Verify the bundle in FOLDER, copy its models into the library and evaluate them.

    Nothing of it is used before every signature and digest is verified. The models then wait
    until another person approves them. A bundle on several media is one import: give all their
    folders, or run the command again with the next one. After a power cut it goes on where it
    stopped. Importing the same bundle again changes nothing. With --json every event is a line.

    \b
    Examples:
      appliance bundle import /media/stick
      appliance bundle import /media/stick1 /media/stick2
    """
    view = shown(as_json=invocation.as_json)
    with invocation.operations() as verbs:
        try:
            with view:
                models = _import(verbs.imports, folders, view)
        except ApplianceError as error:
            if isinstance(view, JsonLines):
                view.error(error)
            raise
    if isinstance(view, JsonLines):
        view.line({"event": "result", "models": [value_of(model) for model in models]})
        return
    if not models:
        presenting.say("the newer list was taken over; it carries no model")
    for model in models:
        presenting.say(f"{model.name} {model.version} is in the library ({model.state})")
        presenting.remark(_next(model))


@bundle.command("verify")
@folders_argument
@json_option
@pass_invocation
def verify(invocation: Invocation, folders: tuple[Path, ...]) -> None:
    """Check every signature and byte of the bundle in FOLDER; nothing is imported or changed.

    \b
    Example:
      appliance bundle verify /media/stick
    """
    # A document at the end, no line for each event.
    view = Shown() if invocation.as_json else shown(as_json=False)
    with invocation.operations() as verbs, view:
        tell = view.progress if invocation.as_json else view.tell
        review = verbs.imports.verify_bundle(console_actor(), folders, tell)

    def people() -> None:
        carried = ", ".join(_name(model) for model in review.carried) or "no model"
        presenting.say(f"whole: every file of {carried} is the one that was signed")
        presenting.remark(f"next: appliance bundle import {' '.join(map(str, folders))}")

    invocation.present({"whole": True, **_value(review)}, people)


@bundle.command("inspect")
@folders_argument
@json_option
@pass_invocation
def inspect(invocation: Invocation, folders: tuple[Path, ...]) -> None:
    """Say what the bundle in FOLDER lists and carries, by its verified metadata alone.

    \b
    Example:
      appliance bundle inspect /media/stick
    """
    with invocation.operations() as verbs:
        review = verbs.imports.inspect_bundle(console_actor(), folders)
    invocation.present(_value(review), lambda: _print(review))


def _import(verbs: Imports, folders: tuple[Path, ...], view: Shown) -> tuple[ModelInfo, ...]:
    """Import, and at a terminal go on with one medium after the other."""
    while True:
        try:
            return verbs.import_bundle(console_actor(), folders, view.tell)
        except IncompleteError as error:
            if isinstance(view, JsonLines) or not sys.stdin.isatty():
                raise
            view.__exit__()
            presenting.remark(f"{error.message}\nput in the next medium")
            answer = click.prompt(
                "its folder, or q to stop", default=str(folders[-1]), err=True, type=str
            )
            if answer.strip().lower() == "q":
                raise
            folders = (Path(answer),)


def _next(model: ModelInfo) -> str:
    named = f"{model.name} --version {model.version}"
    if model.state is State.IMPORTED:
        return f"next: appliance model evaluate {named}"
    if model.state is State.EVALUATED:
        return f"next: another person than you runs appliance model approve {named}"
    return f"next: appliance model show {named}"


def _print(review: Review) -> None:
    manifest = review.manifest
    presenting.facts(
        {
            "publisher": review.publisher.name,
            "list": f"version {manifest.targets_version}, root {manifest.root_version}",
            "signed by": f"{len(manifest.signers)} keys ({manifest.threshold} needed): "
            + ", ".join(key[:SHORT_KEY] for key in manifest.signers),
            "valid until": presenting.moment(manifest.expires),
        }
    )
    presenting.say("")
    presenting.table(
        ("model", "version", "on the media", "would be new", "size", "licence", "epoch"),
        [
            (m.name, m.version, _carried(review, m), m in review.new,
             presenting.size(m.length), m.licence, m.security_epoch)
            for m in manifest.models
        ],
        empty="the list names no model",
        spare=("epoch", "licence", "size"),
    )  # fmt: skip
    for item in review.missing:
        presenting.say(f"on none of the media: {item.path}")
    for denied in manifest.denied:
        presenting.say(f"denied: {denied.model} {denied.version}: {denied.reason}")
    for withdrawal in review.withdrawn:
        model = withdrawal.model
        presenting.say(
            f"an import would take {model.name} {model.version} out of use: {withdrawal.reason}"
        )


def _carried(review: Review, model: VerifiedModel) -> str:
    if model not in review.carried:
        return "no"
    return "in part" if any(item in model.files for item in review.missing) else "yes"


def _value(review: Review) -> dict[str, Any]:
    manifest = review.manifest
    return {
        "publisher": review.publisher.id,
        "publisher_name": review.publisher.name,
        "root_version": manifest.root_version,
        "targets_version": manifest.targets_version,
        "signers": list(manifest.signers),
        "threshold": manifest.threshold,
        "expires": manifest.expires,
        "models": [
            {
                "name": model.name,
                "version": model.version,
                "digest": model.sha256,
                "bytes": model.length,
                "parts": len(model.parts),
                "licence": model.licence,
                "security_epoch": model.security_epoch,
                "carried": _carried(review, model),
                "new": model in review.new,
            }
            for model in manifest.models
        ],
        "missing": [item.path for item in review.missing],
        "denied": [vars(item) for item in manifest.denied],
        "withdrawn": [{"model": item.model.id, "reason": item.reason} for item in review.withdrawn],
    }


def _name(model: VerifiedModel) -> str:
    return f"{model.name} {model.version}"
