"""`appliance serve ledger|engine|gateway`: one program in the foreground, for containers.

Each program imports its own part when it is made: the ledger never loads llama.cpp, the engine
never loads the database, and a part that died is back sooner. The engine starts `serve model`, a
process for each model that it holds; only there llama.cpp is loaded.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from appliance import durable
from appliance.cli.errors import exit_code_of, report
from appliance.cli.processes import (
    Program,
    die_with_parent,
    harden_process,
    log_plainly,
    options,
    run_program,
)
from appliance.config import Config
from appliance.errors import NotInitialisedError
from appliance.inference.sockets import make_folder, socket_name

Made = tuple[Callable[..., Any], Callable[[], None]]
DIED_WITH_ENGINE = "the engine ended without being told to, and the model with it"
PARTS = ("ledger", "engine", "gateway")
MODEL = "model"
LEDGER_THREADS = 64
# Looks at the state of models, and now and then an activation that waits for one.
ENGINE_THREADS = 32
# An answer holds one thread for as long as it streams. What the gateway admits at once (96
# answers and embeddings of all models together, `MAX_UNDER_WAY` in `operations/admission.py`) may
# all go to one model. The other 32 serve what is not counted there: questions from terminals,
# evaluations, and the looks at its state by which gateway and manager tell that it is alive.
MODEL_THREADS = 128
# The manager looks after everything that answers, so a silent one is replaced soon.
SILENCE_S = {"engine": 30}


def make_ledger(config: Config) -> Made:
    """Return the record's service; verifies the record first and refuses to start when it lies."""
    from appliance.audit.access import boot_id
    from appliance.audit.intake import Intake, socket_beside
    from appliance.audit.log import Log
    from appliance.audit.printed_anchor import Printer
    from appliance.audit.service import create_app
    from appliance.clock import System, rfc3339
    from appliance.conversations.retention import Schedule

    log = Log(config.paths.audit_db, System(), boot_id(), config.ledger)
    mode = 0o660 if config.ledger.socket_folder else 0o600
    intake = Intake(log, socket_beside(config.paths.ledger_socket), mode)
    printer = Printer(log, System()) if config.ledger.anchor_console else None
    if printer is not None:
        printer.start()

    def stop() -> None:
        intake.close()
        if printer is not None:
            printer.stop()
        log.close()

    kept = Schedule(**vars(config.retention))

    def old() -> str:
        limit = kept.metadata_before(System().now())
        return "" if limit is None else rfc3339(limit)

    return create_app(log, old), stop


def make_engine(config: Config) -> Made:
    """Return the service that holds the models' processes; the active ones load after this."""
    from appliance.inference.engine import EngineModel
    from appliance.inference.manager import Manager
    from appliance.inference.model_process import ModelProcess, Site
    from appliance.inference.seats import Patience
    from appliance.inference.sockets import SocketFolder
    from appliance.inference.watchdog import Pace
    from appliance.llama.control import create_app
    from appliance.llama.library_view import ACTIVE_FILE, read_active
    from appliance.llama.placing.cores import default_threads

    paths = config.paths
    make_folder(paths.engines, shared=bool(config.engine.socket_folder))
    left = list(paths.engines.glob("*.sock"))  # by processes that died with an earlier engine
    for socket in left:
        socket.unlink()
    site = Site(config.state, paths.library, SocketFolder(paths.engines), config.engine)

    def active() -> tuple[EngineModel, ...]:
        return tuple(EngineModel(**vars(found)) for found in read_active(paths.library))

    manager = Manager(
        paths.library / ACTIVE_FILE,
        active,
        lambda model: ModelProcess(site, model),
        Patience(drain=config.engine.drain_s, pace=Pace(every=config.engine.probe_every_s)),
        # What an administrator has set counts for each model, however many there are.
        lambda residents: None if config.engine.threads else max(1, default_threads() // residents),
    )
    manager.start(DIED_WITH_ENGINE if left else None)
    return create_app(manager), manager.close


def make_model(given: dict[str, Any]) -> Made:
    """Return the service of one model, which begins to load; `given` comes from its parent."""
    from appliance.config import Engine
    from appliance.llama.library_view import parse_model
    from appliance.llama.server import create_app

    library, settings = Path(given["library"]), Engine(**given["settings"])
    application = create_app(library, parse_model(given["model"]), settings)
    return application, application.extensions["llama"].close


def make_gateway(config: Config) -> Made:
    """Return the web service; closes answers that a crash left open before the first question."""
    from appliance.assembly import assemble
    from appliance.audit.actions import Outcome
    from appliance.audit.client import LedgerClient
    from appliance.operations import operations_for
    from appliance.operations.caretaker import Caretaker
    from appliance.operations.recording import Recorder, system
    from appliance.web import create_app

    appliance = assemble(config, ledger=LedgerClient(config.paths.ledger_socket))
    operations = operations_for(appliance)
    appliance.library.settle()  # a crash may have left the engine's note ahead of the database
    operations.trusting.catch_up()  # nor may it be older than the record
    operations.trusting.settle()  # nor may a model answer that its publisher has withdrawn
    closed = operations.asking.reconcile()
    recorder, part = Recorder(appliance.ledger), system("gateway")
    recorder.note(
        part, "appliance.start", Outcome.SUCCESS, entity="gateway", content={"interrupted": closed}
    )

    caretaker = Caretaker(operations)
    caretaker.start()

    def stop() -> None:
        # In a thread of its own: a signal handler must not wait for locks it interrupted.
        def end() -> None:
            operations.asking.shutdown()
            caretaker.stop()
            recorder.note(part, "appliance.stop", Outcome.SUCCESS, entity="gateway")
            operations.anchor_round.run_due(stopping=True)

        ending = threading.Thread(target=end)
        ending.start()
        ending.join()

    return create_app(operations), stop


MAKERS: dict[str, Callable[[Config], Made]] = {
    "ledger": make_ledger,
    "engine": make_engine,
    "gateway": make_gateway,
}


def bind_of(config: Config, part: str) -> str:
    """Return where a program listens: a Unix socket, or host and port for the gateway."""
    if part == "gateway":
        return f"{config.gateway.host}:{config.gateway.port}"
    paths = config.paths
    return f"unix:{paths.ledger_socket if part == 'ledger' else paths.engine_socket}"


def is_shared(config: Config, part: str) -> bool:
    """Tell whether a program's socket lies in a folder for several users."""
    folders = {"ledger": config.ledger.socket_folder, "engine": config.engine.socket_folder}
    return bool(folders.get(part))


def threads_of(config: Config, part: str) -> int:
    """Return how many requests a program serves at once; a watched answer holds one."""
    fixed = {"ledger": LEDGER_THREADS, "engine": ENGINE_THREADS}
    return fixed.get(part, config.gateway.threads)


@click.command()
@click.argument("part", type=click.Choice((*PARTS, MODEL)), metavar="{ledger|engine|gateway}")
@click.option("--parent", type=int, hidden=True, help="stop when this process ends")
@click.option("--given", hidden=True, help="which model, from where, and where to listen")
@click.pass_obj
def serve(context: Any, part: str, parent: int | None, given: str | None) -> None:
    """Run one of the three programs in the foreground.

    Meant for containers and for service managers; on one machine `appliance run` starts all
    three and restarts what dies.

    Example: appliance --state /var/lib/appliance serve ledger
    """
    if part == MODEL:
        _serve_model(parent, given)
    if parent is not None:
        die_with_parent(parent, signal.SIGTERM)
    config: Config = context.config
    if not config.state.is_dir():
        raise NotInitialisedError(f"there is no state folder {config.state}")
    _settle_down()
    with durable.exclusive(_lock(config, part), f"the {part} of {config.state}"):
        sys.exit(run_program(_program(config, part)))


def _serve_model(parent: int | None, given: str | None) -> NoReturn:
    """Serve one model for the process that started this one; ends with it, and when it fails."""
    if parent is None or given is None:
        raise click.UsageError("the engine starts this part itself; see `appliance serve engine`")
    die_with_parent(parent, signal.SIGKILL)
    wanted = json.loads(given)
    _settle_down()
    # A short address: a socket's has at most 107 bytes, and the folder's path may be longer.
    os.chdir(wanted["sockets"])
    bind = f"unix:{socket_name(wanted['model']['digest'])}"
    program = Program(
        make=lambda: make_model(wanted),
        options=options(
            bind, MODEL_THREADS, MODEL, shared=bool(wanted["settings"].get("socket_folder"))
        ),
        exit_code_of=exit_code_of,
        report=report,
        once=True,
    )
    sys.exit(run_program(program))


def _settle_down() -> None:
    harden_process()
    log_plainly()
    os.environ.pop("GUNICORN_CMD_ARGS", None)  # settings come from one place


def _lock(config: Config, part: str) -> Path:
    """One of each part per state folder: a second one would take the first one's socket away."""
    config.paths.run.mkdir(mode=0o700, exist_ok=True)
    return config.paths.run / f"{part}.lock"


def _program(config: Config, part: str) -> Program:
    return Program(
        make=lambda: MAKERS[part](config),
        options=options(
            bind_of(config, part),
            threads_of(config, part),
            part,
            SILENCE_S.get(part, 120),
            shared=is_shared(config, part),
        ),
        exit_code_of=exit_code_of,
        report=report,
    )
