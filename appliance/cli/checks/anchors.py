"""Is a checkpoint kept elsewhere, how far does it reach, and who says so?

Everything comes from the ledger, none of it from the settings of whoever asks: in the stack these
are another container's. An anchor that somebody acknowledged (a witness's signature, a file that
was read back) and one that was only handed on (a printed line, syslog) are never told as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from appliance.audit.client import LedgerClient
from appliance.audit.ledger import Anchoring
from appliance.audit.printed_anchor import KIND as CONSOLE
from appliance.audit.query import Query
from appliance.cli.checks.finding import Finding, Patient, ok, warn
from appliance.cli.checks.services import START
from appliance.clock import System, rfc3339
from appliance.errors import UnavailableError
from appliance.operations.anchors import FILE, SYSLOG, WITNESS

NAME = "anchors"
SEE = "see docs/how-to/keep-checkpoints-elsewhere.md"
SEE_STACK = "see docs/how-to/keep-checkpoints-off-the-stack.md: have a witness sign one"
LATE_S = 8 * 86_400  # a logbook is signed weekly
SILENT_S = 2 * 86_400  # the record grows each day, by its new key if by nothing else
HANDED_OUT = "paper"
ACTIONS = {"record.anchor": "", "record.witness": WITNESS, "record.checkpoint": HANDED_OUT}
WORDS = {
    WITNESS: "signed by a witness",
    FILE: "written to a folder and read back",
    SYSLOG: "sent to a collector, which gives no receipt",
    HANDED_OUT: "handed out to print or to take along",
}


def anchors(patient: Patient) -> Finding:
    """A checkpoint was kept elsewhere within the week, and what is printed is still printed."""
    client = LedgerClient(patient.paths.ledger_socket)
    try:
        state = client.anchoring()
        kept = _kept(client)
    except UnavailableError:
        return warn(NAME, "not known: the ledger does not answer", START)
    finally:
        client.close()
    vouched = patient.record.anchored
    found = [f"{vouched} entries vouched for by one that is at hand"] if vouched else []
    found += [f"{size} entries {WORDS[kind]} on {day}" for kind, (size, day) in kept.items()]
    found += _printed(state)
    if state.prints and _is_silent(state):
        advice = "docker logs appliance-ledger-1, and `compose/checkpoints.sh` on the host"
        return warn(NAME, "; ".join(found), advice)
    if not kept and not vouched:
        none = "no checkpoint was kept elsewhere this week"
        return warn(NAME, "; ".join(found or [none]), SEE_STACK if state.prints else SEE)
    return ok(NAME, "; ".join(found))


def _printed(state: Anchoring) -> Iterator[str]:
    if state.prints and state.printed:
        when = (state.printed_at or "")[:19].replace("T", " ")
        yield (
            f"{state.printed} entries printed for this host's log at {when} UTC, "
            "and nobody here knows whether it took them"
        )
    elif state.prints:
        yield "none printed for this host's log since the ledger started"


def _is_silent(state: Anchoring) -> bool:
    if state.printed_at is None:
        return True
    return System().now() - datetime.fromisoformat(state.printed_at).timestamp() > SILENT_S


def _kept(client: LedgerClient) -> dict[str, tuple[int, str]]:
    """Return by kind what the record says of the newest checkpoint that was kept: size and day."""
    since = rfc3339(System().now() - LATE_S)
    newest: dict[str, tuple[int, str]] = {}
    for action, kind in ACTIONS.items():
        query = Query(action=action, outcome="success", since=since, limit=1_000)
        for entry in client.search(query).entries:
            facts = entry["content"] or {}
            name = kind or str(facts.get("kind"))
            # A request for a witness is recorded too, and has nothing signed in it yet.
            if name != CONSOLE and "size" in facts:
                newest.setdefault(name, (int(facts["size"]), str(entry["t"])[:10]))
    return {kind: newest[kind] for kind in WORDS if kind in newest}
