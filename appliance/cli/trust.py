"""`appliance trust`: whose model bundles are accepted."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.confirming import confirm
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.model_views import value_of
from appliance.errors import BadInputError, NotFoundError, TooLargeError

MAX_ROOT_BYTES = 1_000_000
MAX_ROOTS = 256
ROOT_NAME = re.compile(r"[0-9]{1,6}\.root\.json")


@noun("trust")
def trust() -> None:
    """Name the publishers whose model bundles are accepted."""


@trust.command("add")
@click.argument("name")
@click.argument("root_json", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--fingerprint",
    metavar="HEX",
    help="The SHA-256 of the file as its publisher states it. Without it you are asked.",
)
@json_option
@pass_invocation
def add(invocation: Invocation, name: str, root_json: Path, fingerprint: str | None) -> None:
    """Accept bundles that the publisher of ROOT_JSON has signed.

    The fingerprint must reach you on another way than the file: on paper, or by telephone.
    Whoever can change both can give you a model of their own.

    \b
    Example:
      appliance trust add acme /media/stick/metadata/1.root.json \\
        --fingerprint 3b0c2f...
    """
    data = _read(root_json)
    stated = fingerprint or _ask_fingerprint()
    with invocation.operations() as verbs:
        publisher = verbs.trusting.add(console_actor(), name, data, stated)

    def people() -> None:
        presenting.say(f"bundles signed by {publisher.name} are accepted from now on")
        presenting.remark("next: appliance bundle import DIR")

    invocation.present(
        {"id": publisher.id, "name": publisher.name, "fingerprint": publisher.root_sha256}, people
    )


@trust.command("list")
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the publishers whose bundles are accepted, and those that no longer are.

    \b
    Example:
      appliance trust list
    """
    with invocation.operations() as verbs:
        publishers = verbs.trusting.list(console_actor())
    invocation.present(
        [_value(item) for item in publishers],
        lambda: presenting.table(
            ("name", "trusted", "root version", "list version", "added by", "since",
             "fingerprint of the first root"),
            [
                (item.name, _trusted(item), item.root_version, item.targets_version,
                 item.added_by, presenting.moment(item.created), item.root_sha256)
                for item in publishers
            ],
            empty="no publisher is trusted yet, so no bundle is accepted",
            spare=("added by", "since", "list version", "root version"),
        ),
    )  # fmt: skip


@trust.command("rotate")
@click.argument("name")
@click.argument(
    "places", metavar="PLACE...", nargs=-1, required=True,
    type=click.Path(path_type=Path, exists=True),
)  # fmt: skip
@json_option
@pass_invocation
def rotate(invocation: Invocation, name: str, places: tuple[Path, ...]) -> None:
    """Follow a publisher to its new keys, before any bundle that is signed with them.

    PLACE is a folder with files such as 2.root.json (a bundle has them under metadata/), or such
    a file. Each new root counts only when the keys of the one before it have signed it, so no
    fingerprint is asked for. Importing a bundle does the same by itself.

    \b
    Example:
      appliance trust rotate acme /media/stick/metadata
    """
    roots = _roots(places)
    with invocation.operations() as verbs:
        publisher = verbs.trusting.rotate(console_actor(), name, roots)

    def people() -> None:
        presenting.say(f"{name} is followed to root {publisher.root_version}")
        presenting.remark("next: bundles signed only with keys that were replaced are refused")

    invocation.present(_value(publisher), people)


@trust.command("revoke")
@click.argument("name")
@click.option("--reason", metavar="TEXT", required=True, help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@pass_invocation
def revoke(invocation: Invocation, name: str, reason: str, yes: bool) -> None:
    """Take trust in a publisher back: its models stop at once, and no bundle of it is accepted.

    The models that will stop are shown first. To go back, the publisher would have to be trusted
    anew under another name, with a new root whose fingerprint a person confirms.

    \b
    Example:
      appliance trust revoke acme --reason "keys stolen, notice of 3 May"
    """
    actor = console_actor()
    with invocation.operations() as verbs:
        if not yes:
            _show_stopping(name, verbs.trusting.stopping(actor, name))
        confirm(f"take trust in {name} back?", yes=yes)
        revoked = verbs.trusting.revoke(actor, name, reason)

    def people() -> None:
        presenting.say(f"{name} is not trusted any more")
        for model in revoked.models:
            presenting.say(f"{model.name} {model.version} is quarantined")
        presenting.remark("next: appliance model list; activate another model if none answers now")

    invocation.present(
        {**_value(revoked.publisher), "models": [value_of(model) for model in revoked.models]},
        people,
    )


def _show_stopping(name: str, models: Sequence[ModelInfo]) -> None:
    if not models:
        presenting.remark(f"no model of {name} is in use")
    for model in models:
        now = ", which answers at present" if model.state == "active" else ""
        presenting.remark(f"this stops: {model.name} {model.version}{now}")


def _value(item: PublisherInfo) -> dict[str, object]:
    return {
        "id": item.id,
        "name": item.name,
        "fingerprint": item.root_sha256,
        "root_version": item.root_version,
        "list_version": item.targets_version,
        "added_by": item.added_by,
        "created": item.created,
        "revoked": item.revoked,
        "revoked_by": item.revoked_by,
    }


def _trusted(item: PublisherInfo) -> str:
    if item.revoked is None:
        return "yes"
    return f"no, since {presenting.moment(item.revoked)} by {item.revoked_by}"


def _roots(places: Sequence[Path]) -> dict[str, bytes]:
    """Read the roots that lie there, by name; everything else is left alone."""
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.root.json")) if place.is_dir() else [place]
        files += [path for path in found if not place.is_dir() or ROOT_NAME.fullmatch(path.name)]
    wrong = next((path for path in files if not ROOT_NAME.fullmatch(path.name)), None)
    if wrong is not None:
        raise BadInputError(f"{wrong} is not named like a root", hint="name 2.root.json, or so")
    if not files:
        raise NotFoundError("no root lies there", hint="look for a folder `metadata`")
    if len(files) > MAX_ROOTS:
        raise TooLargeError(f"there are more than {MAX_ROOTS} roots", hint="check the folder")
    return {path.name: _read(path) for path in files}


def _read(path: Path) -> bytes:
    # A pipe that lies there must not make a person wait for ever.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadInputError(f"{path} is no plain file", hint="check the folder")
        data = file.read(MAX_ROOT_BYTES + 1)
    if len(data) > MAX_ROOT_BYTES:
        raise TooLargeError(f"{path} is too large for a publisher's root", hint="check the file")
    return data


def _ask_fingerprint() -> str:
    """Take what the paper says. What the file has is not shown, or it would be typed from there."""
    if not sys.stdin.isatty():
        raise click.UsageError("no --fingerprint was given, and there is no terminal to ask at")
    presenting.remark("have the fingerprint ready that you got on paper or by telephone")
    return str(click.prompt("type the publisher's fingerprint, spaces do not matter", err=True))
