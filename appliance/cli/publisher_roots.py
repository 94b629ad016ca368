"""`appliance publisher sign|rotate|revoke`: who may sign, changed by those who may."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click
from tuf.api.metadata import Root

from appliance.bundles.desk import founding, keys, roots, withdrawing
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.roots import Change
from appliance.cli import publisher_keys, publisher_showing
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.publisher_keys import key_options
from appliance.errors import ConflictError

DESK = click.Path(path_type=Path, file_okay=False)
PUBLIC = click.Path(path_type=Path, exists=True, dir_okay=False)

valid_option = click.option(
    "--valid-days",
    type=click.IntRange(1, 7_305),
    default=founding.ROOT_DAYS,
    show_default=True,
    metavar="DAYS",
    help="For how long the root holds.",
)


@click.command("sign", cls=Command)
@click.argument("desk", type=DESK)
@key_options
@click.option("--yes", is_flag=True, help="Sign without being asked.")
@json_option
@pass_invocation
def sign(
    invocation: Invocation,
    desk: Path,
    key: str,
    passphrase_file: Path | None,
    pin_file: Path | None,
    yes: bool,
) -> None:
    """Add one person's signature to the root that waits for it.

    \b
    Example:
      appliance publisher sign ~/desk --key ~/alice.key
    """
    found = Desk(desk)
    with found.held():
        waiting = found.pending()
        if waiting is None:
            raise ConflictError("no root waits for signatures", hint="nothing needs to be done")
        chain = found.chain()
        publisher_showing.root(found, waiting)
        if not publisher_keys.ask("sign this root?", yes):
            raise click.Abort
        signer = publisher_keys.signer_of(key, passphrase_file, pin_file)
        found.keep_root(roots.sign(waiting, chain[-1] if chain else None, signer))
    publisher_showing.pending(invocation, found)


@click.command("rotate", cls=Command)
@click.argument("desk", type=DESK)
@click.option("--role", "role", type=click.Choice(roots.ROLES), multiple=True,
              help="The role to change; repeat it for several.")  # fmt: skip
@click.option("--add", type=PUBLIC, multiple=True, metavar="KEY.pub", help="A key to add to it.")
@click.option("--remove", multiple=True, metavar="KEYID", help="A key to take from it.")
@click.option("--threshold", type=click.IntRange(1, 16), metavar="N",
              help="How many signatures the role takes from now on.")  # fmt: skip
@valid_option
@json_option
@pass_invocation
def rotate(
    invocation: Invocation,
    desk: Path,
    role: tuple[str, ...],
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    threshold: int | None,
    valid_days: int,
) -> None:
    """Change who may sign, or only renew the root, by a new root that the people sign.

    Enough people of the old root and of the new one must sign it, by `publisher sign`. A change
    while a root waits is made to that one, and its signatures so far are dropped.

    \b
    Example:
      appliance publisher rotate ~/desk --role root --role targets --add dora.pub --remove bob
      appliance publisher rotate ~/desk --valid-days 1825
    """
    if (add or remove or threshold) and not role:
        raise click.UsageError("name the role to change with --role")
    found = Desk(desk)
    with found.held():
        current = _newest(found)
        change = Change(
            roles=role,
            add=tuple(map(keys.load_public, add)),
            remove=tuple(roots.find_key(current, item) for item in remove),
            thresholds=dict.fromkeys(role, threshold) if threshold else {},
        )
        _propose(found, change, valid_days)
    publisher_showing.pending(invocation, found)


@click.command("revoke", cls=Command)
@click.argument("desk", type=DESK)
@click.option("--key", "key", metavar="KEYID", help="A key that nobody may sign with any more.")
@click.option("--replace", type=PUBLIC, metavar="KEY.pub", help="The key in its place.")
@click.option("--model", metavar="NAME", help="A model that nobody may use any more.")
@click.option("--version", metavar="V", help="Its version.")
@click.option("--reason", metavar="TEXT", help="Why, in words for a hospital.")
@valid_option
@json_option
@pass_invocation
def revoke(
    invocation: Invocation,
    desk: Path,
    key: str | None,
    replace: Path | None,
    model: str | None,
    version: str | None,
    reason: str | None,
    valid_days: int,
) -> None:
    """Withdraw a key or a model.

    A key leaves by a new root, which the people sign. A model is named on the signed list of
    withdrawn models of the next bundle; `bundle build` without a model makes one at once.

    \b
    Example:
      appliance publisher revoke ~/desk --key bob --replace bob-2.pub
      appliance publisher revoke ~/desk --model tiny --version 1.0 --reason "wrong doses"
    """
    if (key is None) == (model is None):
        raise click.UsageError("name either --key, or --model with --version and --reason")
    found = Desk(desk)
    if model is not None:
        if version is None or reason is None:
            raise click.UsageError("--model wants --version and --reason")
        with found.held():
            denied = withdrawing.withdraw(found, model, version, reason)
        publisher_showing.withdrawn(invocation, found, denied)
        return
    with found.held():
        current = _newest(found)
        keyid = roots.find_key(current, str(key))
        added = (keys.load_public(replace),) if replace else ()
        _propose(found, Change(roots.roles_of(current, keyid), added, (keyid,)), valid_days)
    publisher_showing.pending(invocation, found)


def _newest(desk: Desk) -> Root:
    """Return the root that waits for signatures, or else the one that counts."""
    current = desk.root()
    waiting = desk.pending()
    return current if waiting is None else roots.parse(waiting).signed


def _propose(desk: Desk, change: Change, valid_days: int) -> None:
    current = desk.chain()[-1]
    ends = publisher_keys.now().replace(microsecond=0) + timedelta(days=valid_days)
    base = desk.pending() or current
    desk.keep_root(roots.successor(current, base, change, ends))
