"""`appliance run`: everything on one machine, in the foreground."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from appliance import durable
from appliance.cli.actor import console_actor
from appliance.cli.processes import harden_process
from appliance.cli.supervisor import PartRefusedError, Supervisor
from appliance.config import Config
from appliance.errors import ConflictError, NotInitialisedError

if TYPE_CHECKING:
    from appliance.operations.setup import Credential


@click.command()
@click.option(
    "--demo",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="where there is no state yet, make it with the demo model and a demo user from here",
)
@click.pass_obj
def run(context: Any, demo: Path | None) -> None:
    """Run ledger, engine and gateway on this machine until Ctrl+C.

    What dies is started again. Prints the address once everything answers and, where --demo made
    the state, the first passwords: they are shown this once and stored only as argon2id.

    Example: appliance --state var run --demo models/demo
    """
    config: Config = context.config
    harden_process()
    if demo is None and not config.paths.audit_db.exists():
        raise NotInitialisedError(f"{config.state} holds no record")
    _refuse_second(config)
    _refuse_taken_port(config)
    credentials = _first_time(config, demo)
    config.paths.run.mkdir(mode=0o700, exist_ok=True)
    with durable.exclusive(config.paths.supervisor_lock, f"the state folder {config.state}"):
        sys.exit(_supervise(config, credentials))


def _first_time(config: Config, demo: Path | None) -> tuple[Credential, ...]:
    """Make the state where there is none; what exists is left as it is."""
    if demo is None or config.paths.audit_db.exists():
        return ()
    # Needed once in the life of a state folder, and heavy to import.
    from appliance.operations.setup import initialise

    _say(f"making the state folder {config.state} and importing the demo model")
    return initialise(config, console_actor(), demo).credentials


def _refuse_second(config: Config) -> None:
    """Say that this state runs already before the port, which it has taken, is named instead."""
    lock = config.paths.supervisor_lock
    if lock.exists() and durable.is_held(lock):
        raise ConflictError(
            f"the state folder {config.state} is in use: it runs already",
            hint="use it as it is, or stop it first with Ctrl+C where it runs",
        )


def _refuse_taken_port(config: Config) -> None:
    host, port = config.gateway.host, config.gateway.port
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConflictError(
                f"port {port} on {host} is taken",
                hint="stop what uses it, or choose another: APPLIANCE_PORT=8081 make run",
            ) from error


def _supervise(config: Config, credentials: tuple[Credential, ...]) -> int:
    supervisor = Supervisor(config, _say)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, supervisor.request_stop)
    try:
        supervisor.start()
        if not supervisor.stopping:
            click.echo(f"address http://{config.gateway.host}:{config.gateway.port}")
            credentials = _show(credentials)
        supervisor.watch()
    except PartRefusedError as refused:
        _say(f"error: {refused.message}")
        _say(f"next: {refused.hint}")
        return refused.exit_code
    finally:
        # Also when the start failed: these passwords exist nowhere else.
        _show(credentials)
        supervisor.stop()
    _say("stopped; the record and all conversations are safe")
    return 0


def _show(credentials: tuple[Credential, ...]) -> tuple[Credential, ...]:
    """Print fresh passwords once; return what is left to print: nothing."""
    for credential in credentials:
        click.echo(f"{credential.role} {credential.name} {credential.password}")
    sys.stdout.flush()
    return ()


def _say(line: str) -> None:
    click.echo(line, err=True)
