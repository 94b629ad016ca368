"""What the engine did by itself to go on answering: kept by its manager, read by the gateway.

Guarantee: an incident has the same id each time it is told, and no other one ever has it: `inc_`,
16 random hex digits of this start of the manager, and a number in 8.
Not here: putting them into the record (`operations/incidents.py`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from appliance.inference.engine import EngineIncident

KEPT = 64
MAX_REASON = 200
LATEST = 1e11  # seconds; no clock of ours is beyond, and dates end not far from there


class IncidentLog:
    """The latest incidents of one manager, oldest first."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._word = secrets.token_hex(8)
        self._count = 0
        self._kept: deque[EngineIncident] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def restarted(self, digest: str, reason: str) -> None:
        """Note that a model's process is started again, and why."""
        with self._lock:
            self._count += 1
            name = f"inc_{self._word}{self._count:08x}"
            self._kept.append(
                EngineIncident(name, "restarted", digest, reason[:MAX_REASON], self._now())
            )

    def to_json(self) -> list[dict[str, Any]]:
        """Return them for the status; `parse` reads this."""
        with self._lock:
            return [asdict(incident) for incident in self._kept]


def parse(value: object) -> tuple[EngineIncident, ...]:
    """Return the incidents in a status; whatever else is there is left out."""
    items = value if isinstance(value, list) else []
    return tuple(filter(None, map(_incident, items[-KEPT:])))


def _incident(item: object) -> EngineIncident | None:
    if not isinstance(item, Mapping) or item.get("kind") != "restarted":
        return None
    name, digest, reason, at = (item.get(key) for key in ("id", "digest", "reason", "at"))
    if not (isinstance(name, str) and isinstance(digest, str) and isinstance(at, int | float)):
        return None
    if not 0 <= at < LATEST:
        return None
    return EngineIncident(name, "restarted", digest, str(reason)[:MAX_REASON], float(at))
