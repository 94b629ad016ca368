"""The three programs: does each answer where it should?"""

from __future__ import annotations

from appliance.assembly import WRITING
from appliance.audit.client import LedgerClient
from appliance.cli.checks.finding import Finding, Patient, fail, ok, warn
from appliance.cli.supervisor import OWN_ENGINE, answers
from appliance.errors import UnavailableError
from appliance.inference.engine import EngineStatus
from appliance.inference.engine_choice import choose_engine

START = "start the appliance with `appliance run`; if it runs, look at what it printed"
OTHERS = "start it, or change engine.kind and engine.url; see docs/how-to"
MOVED = f"{START}; if it listens on another port, set APPLIANCE_PORT here too"


def ledger(patient: Patient) -> Finding:
    """The ledger answers, and counts at least the entries that the file holds."""
    client = LedgerClient(patient.paths.ledger_socket)
    try:
        head = client.head()
    except UnavailableError:
        return fail("ledger", "it does not answer", START)
    finally:
        client.close()
    return ok("ledger", f"it answers, with {head.size} entries")


def engine(patient: Patient) -> Finding:
    """The engine answers, the active models are ready, and every model's process is named."""
    settings, paths = patient.config.engine, patient.paths
    place = choose_engine(
        settings, library=paths.library, control=paths.engine_socket, sockets=paths.engines,
        writing=WRITING,
    )  # fmt: skip
    try:
        status = place.status()
    finally:
        place.close()
    if settings.kind != OWN_ENGINE:
        return _of_others(settings.kind, settings.url, status)
    waiting = [seat for seat in status.seats if seat.role == "active" and seat.state != "ready"]
    if status.state == "ready" and waiting:
        names = ", ".join(f"{seat.name} {seat.version}" for seat in waiting)
        found = f"it is ready, but not {names}" + _models(status)
        return warn("engine", found, "look again in a minute; then see `appliance model list`")
    if status.state == "ready":
        found = f"it is ready, with {status.context_tokens} tokens of context"
        return ok("engine", found + _models(status))
    if status.state == "loading":
        found = "it is loading the model" + _models(status)
        return warn("engine", found, "look again in a minute")
    if status.state == "empty":
        found = f"no model is loaded; {status.detail}" if status.detail else "no model is loaded"
        return fail("engine", found, "see `appliance model list`")
    return fail("engine", "it does not answer", START)


def _of_others(kind: str, url: str, status: EngineStatus) -> Finding:
    """Say how a server of somebody else stands: nothing here starts or restarts it."""
    where = f"the {kind} server at {url}"
    if status.state == "ready":
        return ok("engine", f"{where} serves the active model")
    why = f": {status.detail}" if status.detail else ""
    if status.state == "loading":
        return warn("engine", f"{where} is not ready yet{why}", "look again in a minute")
    if status.state == "empty":
        return fail("engine", f"{where} does not serve the active model{why}", OTHERS)
    return fail("engine", f"{where} does not answer", OTHERS)


def _models(status: EngineStatus) -> str:
    """Return each model that is held, with what it is held for and how it stands."""
    held = [f"{seat.name} {seat.version} ({seat.role}, {seat.state})" for seat in status.seats]
    return f"; it holds {', '.join(held)}" if held else ""


def gateway(patient: Patient) -> Finding:
    """The pages and the API answer."""
    settings = patient.config.gateway
    address = f"http://{settings.host}:{settings.port}"
    if answers(patient.config, "gateway"):
        return ok("gateway", f"it answers at {address}")
    return fail("gateway", f"it does not answer at {address}", MOVED)
