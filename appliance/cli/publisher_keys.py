"""Opening a publisher's key at a terminal: a file by its passphrase, a token by its PIN.

A secret is never an argument and never a variable, because others can read those of a process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from securesystemslib.signer import Signer

from appliance.bundles.desk import keys, pkcs11
from appliance.cli import presenting
from appliance.clock import System
from appliance.errors import NotFoundError

F = TypeVar("F", bound=Callable[..., Any])
MAX_SECRET_BYTES = 4_096
STDIN = Path("-")


def key_options(command: F) -> F:
    """Give a command --key, --passphrase-file and --pin-file, which `signer_of` takes."""
    for option in (
        click.option(
            "--pin-file",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="A file whose first line is the token's PIN; - for standard input.",
        ),
        passphrase_option,
        click.option(
            "--key",
            required=True,
            metavar="KEY",
            help="Your key: a .key file, or pkcs11:token=...;object=...?module-path=...",
        ),
    ):
        command = option(command)
    return command


passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A file whose first line is the passphrase; - for standard input.",
)


def signer_of(key: str, passphrase_file: Path | None, pin_file: Path | None) -> Signer:
    """Return what signs with `key`, asking for passphrase or PIN where neither is in a file."""
    if key.startswith(pkcs11.PREFIX):
        place = pkcs11.TokenKey.parse(key)
        return pkcs11.TokenSigner(place, lambda: token_pin(place, pin_file))
    path = Path(key)
    if not path.is_file():
        raise NotFoundError(f"there is no key file {path}", hint="check the path, or the stick")
    return keys.load_private(path, passphrase_of(path.name, passphrase_file))


def token_pin(place: pkcs11.TokenKey, pin_file: Path | None) -> str:
    """Return the PIN of a token."""
    return _secret(f"PIN of the token {place.token}", pin_file, "--pin-file")


def passphrase_of(name: str, file: Path | None) -> str:
    """Return the passphrase of an existing key."""
    return _secret(f"passphrase of {name}", file, "--passphrase-file")


def new_passphrase(file: Path | None) -> str:
    """Return a passphrase for a new key; a person types it twice. Refuses a weak one."""
    if file is not None:
        found = _first_line(file)
    else:
        need_terminal("give --passphrase-file FILE where nobody can type")
        presenting.remark(
            f"the key is kept encrypted under a passphrase of {keys.MIN_PASSPHRASE} characters "
            "or more, for example five random words"
        )
        found = str(click.prompt("new passphrase", hide_input=True, err=True,
                                 confirmation_prompt="the same again"))  # fmt: skip
    keys.check_passphrase(found)
    return found


def ask(question: str, yes: bool) -> bool:
    """Return whether a person agrees; without a terminal only --yes is a yes."""
    if yes:
        return True
    need_terminal("there is no terminal to ask at: read the list above, then give --yes")
    return click.confirm(question, default=False, err=True)


def now() -> datetime:
    """Return the time of this machine's clock."""
    return datetime.fromtimestamp(System().now(), tz=UTC)


def need_terminal(otherwise: str) -> None:
    """Raise UsageError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError(otherwise)


def _secret(what: str, file: Path | None, option: str) -> str:
    if file is not None:
        return _first_line(file)
    need_terminal(f"give {option} FILE where nobody can type the {what.split(' of ')[0]}")
    return str(click.prompt(what, hide_input=True, err=True))


def _first_line(file: Path) -> str:
    if file == STDIN:
        return sys.stdin.readline(MAX_SECRET_BYTES).rstrip("\r\n")
    with file.open(encoding="utf-8") as opened:
        return opened.readline(MAX_SECRET_BYTES).rstrip("\r\n")
