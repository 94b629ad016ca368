"""`appliance run`: everything on one machine, in the foreground."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click

from appliance import durable
from appliance.cli.actor import console_actor
from appliance.cli.processes import harden_process
from appliance.cli.supervisor import PartRefusedError, Supervisor
from appliance.config import Config
from appliance.errors import ConflictError, NotInitialisedError
from appliance.operations.setup import Credential, initialise


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
    credentials = _first_time(config, demo)
    if not config.paths.audit_db.exists():
        raise NotInitialisedError(f"{config.state} holds no record")
    with durable.exclusive(_lock(config), f"the state folder {config.state}"):
        _refuse_taken_port(config)
        sys.exit(_supervise(config, credentials))


def _first_time(config: Config, demo: Path | None) -> tuple[Credential, ...]:
    if demo is None or (config.state.exists() and any(config.state.iterdir())):
        return ()
    _say(f"making the state folder {config.state} and importing the demo model")
    return initialise(config, console_actor(), demo).credentials


def _lock(config: Config) -> Path:
    config.paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return config.paths.run / "run.lock"


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
            _announce(config, credentials)
        supervisor.watch()
    except PartRefusedError as refused:
        _say(f"error: {refused.message}")
        _say(f"next: {refused.hint}")
        return refused.exit_code
    finally:
        supervisor.stop()
    _say("stopped; the record and all conversations are safe")
    return 0


def _announce(config: Config, credentials: tuple[Credential, ...]) -> None:
    click.echo(f"address http://{config.gateway.host}:{config.gateway.port}")
    for credential in credentials:
        click.echo(f"{credential.role} {credential.name} {credential.password}")
    sys.stdout.flush()


def _say(line: str) -> None:
    click.echo(line, err=True)
