"""`appliance key`: API keys, each owned by one person."""

from __future__ import annotations

import time

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.identity.accounts import KeyInfo


@noun("key")
def key() -> None:
    """Make, list and revoke API keys for programs.

    A key acts as the person who owns it: the record names that person and the key.
    """


@key.command("create")
@click.option("--user", "owner", required=True, metavar="NAME", help="Who owns the key.")
@click.option("--label", default="", metavar="TEXT", help="What it is for, to tell keys apart.")
@click.option(
    "--days",
    type=int,
    metavar="N",
    help="How long it is valid.  [default: the most the site allows]",
)
@json_option
@pass_invocation
def create(invocation: Invocation, owner: str, label: str, days: int | None) -> None:
    """Make a key and print it once.

    \b
    Examples:
      appliance key create --user demo --label "discharge letters"
      appliance key create --user demo --json
    """
    with invocation.operations() as verbs:
        made, secret = verbs.people.create_key(console_actor(), owner, label, days)

    def people() -> None:
        presenting.say(secret)
        presenting.remark(f"this key of {owner} is shown this once; store it like a password")
        presenting.remark(f"valid until {presenting.moment(made.expires)}; to end it earlier:")
        presenting.remark(f"next: appliance key revoke {made.id}")

    invocation.present({"id": made.id, "key": secret}, people)


@key.command("list")
@click.option("--user", "owner", metavar="NAME", help="Only the keys of this person.")
@json_option
@pass_invocation
def list_(invocation: Invocation, owner: str | None) -> None:
    """List keys, without their secrets.

    \b
    Example:
      appliance key list --user demo
    """
    with invocation.operations() as verbs:
        keys = verbs.people.list_keys(console_actor(), owner)
        # Names only, to make the list readable; the record holds ids.
        names = {item.user_id: verbs.appliance.people.get(item.user_id).name for item in keys}
    now = time.time()
    columns = ("id", "owner", "label", "state", "made", "valid until", "last used")
    invocation.present(
        [{**vars(item), "owner": names[item.user_id], "state": _state(item, now)} for item in keys],
        lambda: presenting.table(
            columns,
            [
                (item.id, names[item.user_id], item.label, _state(item, now),
                 presenting.moment(item.created), presenting.moment(item.expires),
                 presenting.moment(item.last_used))
                for item in keys
            ],
            empty="there is no API key; `appliance key create` makes one",
            spare=("made", "last used", "label"),
        ),
    )  # fmt: skip


@key.command("revoke")
@click.argument("key_id")
@json_option
@pass_invocation
def revoke(invocation: Invocation, key_id: str) -> None:
    """End a key at once and for good.

    KEY_ID is what `appliance key list` shows; the secret is not needed.

    \b
    Example:
      appliance key revoke 1f0c22d9a4b3
    """
    with invocation.operations() as verbs:
        verbs.people.revoke_key(console_actor(), key_id)
    invocation.present(
        {"id": key_id, "revoked": True},
        lambda: presenting.say(f"key {key_id} is revoked; whoever uses it is refused from now on"),
    )


def _state(item: KeyInfo, now: float) -> str:
    if item.revoked is not None:
        return "revoked"
    return "expired" if now >= item.expires else "valid"
