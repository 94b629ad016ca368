"""What the engine did by itself: each restart stands in the record once, soon after it happened.

Guarantee: an incident that the engine tells of is recorded exactly once, also when the gateway or
the ledger dies in between: before it is written it is looked for by its id.
Not here: noticing and restarting (`inference`); an incident that nobody asked about before the
engine itself ended is told by the next start of the engine in its own words.
"""

from __future__ import annotations

import threading

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import ModelRef
from appliance.audit.query import Query
from appliance.clock import rfc3339
from appliance.inference.engine import EngineIncident
from appliance.operations.finding import found
from appliance.operations.recording import Recorder, identifier, system

ACTION = "engine.restart"


class Incidents:
    """Takes over from the engine what the record and the pages have to say of it."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._recorder = Recorder(appliance.ledger)
        self._recorded: set[str] = set()
        self._latest: dict[str, EngineIncident] = {}
        self._lock = threading.Lock()

    def note(self) -> int:
        """Record what is new, oldest first; return how many that were.

        Raises RecordUnavailableError: then the next call goes on where this one ended.
        """
        told = self._appliance.engine.status().incidents
        with self._lock:
            self._latest |= {incident.digest: incident for incident in told}
            # An id that is not told any more never comes back, so the set stays small.
            self._recorded &= {incident.id for incident in told}
            return sum(map(self._note, told))

    def latest(self) -> dict[str, EngineIncident]:
        """Return the last restart of each model, by digest, since this gateway began."""
        with self._lock:
            return dict(self._latest)

    def _note(self, incident: EngineIncident) -> bool:
        if incident.id in self._recorded or identifier(incident.id) is None:
            return False
        known = found(self._appliance.ledger, Query(entity=incident.id, action=ACTION, limit=1))
        if not known:
            self._recorder.note(
                system("engine"), ACTION, Outcome.SUCCESS, entity=incident.id,
                model=self._model(incident.digest),
                content={
                    "digest": incident.digest,
                    "reason": incident.reason,
                    "at": rfc3339(incident.at),
                },
            )  # fmt: skip
        self._recorded.add(incident.id)
        return not known

    def _model(self, digest: str) -> ModelRef | None:
        for model in self._appliance.library.models():
            if model.digest == digest:
                return ModelRef(model.name, model.version, model.digest)
        return None
