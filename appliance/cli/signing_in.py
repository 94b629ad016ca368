"""Proving at a terminal who one is, as a person and not as the console.

A question belongs to one person, so it is asked under that person's name: by an API key, or by
name and password. A secret is never an argument, because everybody on a machine can read the
arguments of every process.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from appliance.cli.actor import SOURCE
from appliance.errors import ForbiddenError
from appliance.identity.permissions import Actor
from appliance.operations import Operations

KEY_VARIABLE = "APPLIANCE_API_KEY"
MAX_SECRET_BYTES = 4_096
STDIN = Path("-")


@dataclass(frozen=True)
class Proof:
    """What a person brings: an API key, or a name and a password."""

    key: str | None = None
    name: str = ""
    password: str = ""


def collect(name: str | None, key_file: Path | None, password_file: Path | None) -> Proof:
    """Return what was given, asking for the rest where there is a terminal to ask at.

    A key counts only where no name is given: who names a person wants to be that person.
    """
    if key_file is not None:
        if name or password_file:
            raise click.UsageError("give --key-file, or --user with a password, not both")
        return Proof(key=_first_line(key_file))
    if name is None and password_file is None and (key := os.environ.get(KEY_VARIABLE)):
        return Proof(key=key)
    if name is None:
        _need_terminal(f"say who asks: --user NAME, --key-file FILE, or {KEY_VARIABLE}")
        name = str(click.prompt("user name", err=True))
    if password_file is not None:
        return Proof(name=name, password=_first_line(password_file))
    _need_terminal("give --password-file FILE (or - for standard input) where nobody can type")
    password = click.prompt(f"password of {name}", hide_input=True, err=True)
    return Proof(name=name, password=str(password))


@contextlib.contextmanager
def signed_in(verbs: Operations, proof: Proof) -> Iterator[Actor]:
    """Yield the person; a session that a password opened is closed at the end."""
    if proof.key is not None:
        yield verbs.sessions.authenticate_key(proof.key, SOURCE)
        return
    signed = verbs.sessions.sign_in(proof.name, proof.password, SOURCE)
    try:
        if signed.user.must_change_password:
            raise ForbiddenError(
                "the first password must be changed before anything is asked",
                hint="sign in on the appliance's page once and choose a password of your own",
            )
        yield signed.actor
    finally:
        verbs.sessions.sign_out(signed.actor, signed.token)


def _need_terminal(otherwise: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(otherwise)


def _first_line(file: Path) -> str:
    if file == STDIN:
        return sys.stdin.readline(MAX_SECRET_BYTES).rstrip("\r\n")
    with file.open(encoding="utf-8") as opened:
        return opened.readline(MAX_SECRET_BYTES).rstrip("\r\n")
