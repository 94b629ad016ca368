"""`appliance publisher`: a publisher's own desk. Needs no state folder and writes no record.

It is the tool of those who make bundles, on a machine that is not the hospital's appliance.
"""

from __future__ import annotations

from pathlib import Path

import click

from appliance.bundles.desk import founding, keys, pkcs11, recording, roots
from appliance.bundles.desk.desk import Desk, refuse_taken
from appliance.bundles.desk.roots import Holders
from appliance.cli import presenting, publisher_keys, publisher_showing
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.publisher_keys import passphrase_option
from appliance.cli.publisher_roots import DESK, PUBLIC, revoke, rotate, sign, valid_option

NEXT_BUILD = "appliance bundle build {desk} MODEL.gguf --card CARD.toml --out FOLDER"


@noun("publisher")
def publisher() -> None:
    """Publish models: keys, roots and the desk that remembers what was published.

    For a desk with a network, not for the hospital's machine: no state folder is needed, and
    nothing is recorded.
    """


@publisher.command("init")
@click.argument("desk", type=DESK)
@click.option("--name", required=True, metavar="NAME", help="Who publishes, for people to read.")
@click.option("--root", "root", type=PUBLIC, multiple=True, metavar="KEY.pub",
              help="A person who may change who signs. Repeat it for each.")  # fmt: skip
@click.option("--root-threshold", type=click.IntRange(1, 16), default=1, show_default=True,
              metavar="N", help="How many of them it takes.")  # fmt: skip
@click.option("--targets", type=PUBLIC, multiple=True, metavar="KEY.pub",
              help="A person who may publish models.  [default: those of --root]")  # fmt: skip
@click.option("--targets-threshold", type=click.IntRange(1, 16), default=1, show_default=True,
              metavar="N", help="How many of them it takes.")  # fmt: skip
@click.option("--online", type=PUBLIC, metavar="KEY.pub",
              help="A key that alone signs snapshot and timestamp, after the people.")  # fmt: skip
@valid_option
@passphrase_option
@json_option
@pass_invocation
def init(
    invocation: Invocation,
    desk: Path,
    name: str,
    root: tuple[Path, ...],
    root_threshold: int,
    targets: tuple[Path, ...],
    targets_threshold: int,
    online: Path | None,
    valid_days: int,
    passphrase_file: Path | None,
) -> None:
    """Make a publisher's desk in the new folder DESK.

    Without --root it makes one key for everything, which suits a small site. With --root the
    keys of several people are named, and each of them signs the root by `publisher sign`.

    \b
    Example:
      appliance publisher init ~/desk --name "St Elsewhere models"
      appliance publisher init ~/desk --name "St Elsewhere models" \\
        --root alice.pub --root bob.pub --root carol.pub --root-threshold 2 \\
        --targets-threshold 2
    """
    if not root:
        if targets or online or (root_threshold, targets_threshold) != (1, 1):
            raise click.UsageError("name the people by --root first")
        refuse_taken(desk)  # before anybody is asked for a passphrase
        passphrase = publisher_keys.new_passphrase(passphrase_file)
        made, pair = founding.found_alone(
            desk, name, passphrase, publisher_keys.now(), valid_days=valid_days
        )
        publisher_showing.founded(invocation, made, pair.private)
        return
    people = Holders(tuple(map(keys.load_public, root)), root_threshold)
    signers = Holders(tuple(map(keys.load_public, targets)) or people.keys, targets_threshold)
    fresh = Holders((keys.load_public(online),)) if online else Holders(signers.keys)
    holders = {"root": people, "targets": signers, "snapshot": fresh, "timestamp": fresh}
    made = founding.found_together(desk, name, holders, publisher_keys.now(), valid_days=valid_days)
    publisher_showing.pending(invocation, made)


@publisher.command("key")
@click.argument("stem", metavar="NAME", type=click.Path(path_type=Path))
@click.option("--from-pkcs11", "uri", metavar="URI",
              help="Write only the public key of a key that lives in this token.")  # fmt: skip
@click.option("--pin-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="A file whose first line is the token's PIN; - for standard input.")  # fmt: skip
@passphrase_option
@json_option
@pass_invocation
def key(
    invocation: Invocation,
    stem: Path,
    uri: str | None,
    pin_file: Path | None,
    passphrase_file: Path | None,
) -> None:
    """Make one person's key pair: NAME.key, encrypted, and NAME.pub.

    NAME.pub goes to whoever runs `publisher init`. NAME.key stays with its person, best on a
    stick of their own.

    \b
    Example:
      appliance publisher key ~/alice
      appliance publisher key ~/bob \\
        --from-pkcs11 "pkcs11:token=bob;object=sign?module-path=/usr/lib/opensc-pkcs11.so"
    """
    if uri is not None:
        place = pkcs11.TokenKey.parse(uri)
        found = pkcs11.read_public(place, lambda: publisher_keys.token_pin(place, pin_file))
        made = keys.write_public(stem, found)
    else:
        made = keys.create(stem, publisher_keys.new_passphrase(passphrase_file)).key

    def people() -> None:
        presenting.say(f"the public key of {roots.describe(made)} is in {stem}.pub")
        if uri is None:
            presenting.remark(f"next: keep {stem}.key to yourself, and a copy of it elsewhere")
        presenting.remark(f"next: give {stem.name}.pub to whoever runs `appliance publisher init`")

    invocation.present({"key": made.keyid, "public": f"{stem}.pub"}, people)


@publisher.command("record")
@click.argument("desk", type=DESK)
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
@pass_invocation
def record(invocation: Invocation, desk: Path, bundle: Path) -> None:
    """Tell the desk that BUNDLE was completed elsewhere, after verifying it.

    \b
    Example:
      appliance publisher record ~/desk /media/stick
    """
    found = Desk(desk)
    with found.held():
        manifest = recording.record(found, bundle)

    def people() -> None:
        presenting.say(f"bundle {manifest.targets_version} is the newest one of this desk")
        presenting.remark(f"next: {NEXT_BUILD.format(desk=desk)}")

    invocation.present(
        {"version": manifest.targets_version, "models": [m.folder for m in manifest.models]}, people
    )


@publisher.command("show")
@click.argument("desk", type=DESK)
@json_option
@pass_invocation
def show(invocation: Invocation, desk: Path) -> None:
    """Show who may sign, what was published, and what ends soon.

    \b
    Example:
      appliance publisher show ~/desk
    """
    publisher_showing.overview(invocation, Desk(desk), publisher_keys.now())


for _command in (sign, rotate, revoke):
    publisher.add_command(_command)
