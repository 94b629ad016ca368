"""`appliance trust`: whose model bundles are accepted."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.errors import TooLargeError

MAX_ROOT_BYTES = 1_000_000
GROUP = 8


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
    stated = fingerprint or _ask_fingerprint(data)
    with invocation.operations() as verbs:
        publisher = verbs.models.trust(console_actor(), name, data, stated)

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
    """List the publishers whose bundles are accepted.

    \b
    Example:
      appliance trust list
    """
    with invocation.operations() as verbs:
        publishers = verbs.models.publishers(console_actor())
    invocation.present(
        [
            {
                "id": item.id,
                "name": item.name,
                "fingerprint": item.root_sha256,
                "root_version": item.root_version,
                "added_by": item.added_by,
                "created": item.created,
            }
            for item in publishers
        ],
        lambda: presenting.table(
            ("name", "root version", "added by", "since", "fingerprint of the first root"),
            [
                (item.name, item.root_version, item.added_by, presenting.moment(item.created),
                 item.root_sha256)
                for item in publishers
            ],
            empty="no publisher is trusted yet, so no bundle is accepted",
            spare=("added by", "since", "root version"),
        ),
    )  # fmt: skip


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_ROOT_BYTES + 1)
    if len(data) > MAX_ROOT_BYTES:
        raise TooLargeError(f"{path} is too large for a publisher's root", hint="check the file")
    return data


def _ask_fingerprint(data: bytes) -> str:
    """Have a person compare: show what the file has, take what the paper says."""
    if not sys.stdin.isatty():
        raise click.UsageError("no --fingerprint was given, and there is no terminal to ask at")
    found = hashlib.sha256(data).hexdigest()
    groups = " ".join(found[start : start + GROUP] for start in range(0, len(found), GROUP))
    presenting.remark("the SHA-256 of this file is")
    presenting.remark(f"  {groups}")
    presenting.remark("compare it with the one that you got on paper or by telephone")
    return str(click.prompt("type the publisher's fingerprint, spaces do not matter", err=True))
