"""Keeps a checkpoint at every place in the settings once a day, and when the appliance stops.

A place that fails is tried again after an hour; the others go on. Each attempt is recorded. The
caller is never made to fail: an appliance that cannot reach its collector still answers.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.ledger import Ledger
from appliance.audit.query import Query
from appliance.audit.syslog_anchor import Collector
from appliance.audit.witness_client import WitnessClient
from appliance.clock import Clock
from appliance.config import Ledger as Settings
from appliance.errors import ApplianceError, fault_of
from appliance.identity.permissions import Actor
from appliance.operations.anchors import FILE, SYSLOG, WITNESS, Anchors
from appliance.operations.recording import system

log = structlog.get_logger(__name__)

AGAIN_AFTER_NS = 3_600 * 1_000_000_000
TIMEOUT_S = 10.0
# gunicorn gives a worker 5 seconds to stop; a collector that is away must not use them up.
STOP_TIMEOUT_S = 2.0
STOP_WITHIN_S = 3.0
ACTIONS = {FILE: "record.anchor", SYSLOG: "record.anchor", WITNESS: "record.witness"}


class AnchorRound:
    """Goes round all places. One thread at a time."""

    def __init__(self, anchors: Anchors, ledger: Ledger, settings: Settings, clock: Clock) -> None:
        self._anchors, self._ledger, self._clock = anchors, ledger, clock
        self._settings = settings
        self._actor: Actor = system("anchors")
        self._done: dict[str, str] = {}
        self._again: dict[str, int] = {}

    def run_due(self, *, stopping: bool = False) -> list[str]:
        """Keep a checkpoint wherever none was kept today (UTC), or everywhere when `stopping`.

        Returns the places that have one now. Never raises an ApplianceError, and when `stopping`
        returns after a few seconds whatever a place does.
        """
        kept: list[str] = []
        if not stopping:
            self._go(kept, TIMEOUT_S, everywhere=False)
            return kept
        # Looking up a name has no time limit of its own, so it must not be waited for.
        going = threading.Thread(
            target=self._go, args=(kept, STOP_TIMEOUT_S), kwargs={"everywhere": True}, daemon=True
        )
        going.start()
        going.join(STOP_WITHIN_S)
        return list(kept)

    def _go(self, kept: list[str], timeout_s: float, *, everywhere: bool) -> None:
        for place, keep in self._places(timeout_s).items():
            if (everywhere or self._is_due(place)) and self._keep(place, keep):
                kept.append(place)

    def _places(self, timeout_s: float) -> Mapping[str, Callable[[], object]]:
        """Return what to do for each configured place, by its name."""
        settings, anchors = self._settings, self._anchors
        places: dict[str, Callable[[], object]] = {}
        for number, folder in enumerate(settings.anchor_folders):
            places[f"{FILE} {number}"] = partial(
                anchors.to_folder, self._actor, Path(folder), place=number
            )
        if settings.anchor_syslog:
            places[SYSLOG] = lambda: anchors.to_syslog(self._actor, self._collector(), timeout_s)
        if settings.anchor_witness:
            places[WITNESS] = lambda: self._ask_witness(timeout_s)
        return places

    def _keep(self, place: str, keep: Callable[[], object]) -> bool:
        try:
            keep()
        except Exception as error:
            what = error.code if isinstance(error, ApplianceError) else fault_of(error)
            log.warning("no checkpoint was kept; it is tried again", place=place, code=what)
            self._again[place] = self._clock.monotonic_ns() + AGAIN_AFTER_NS
            return False
        self._done[place] = self._today()
        self._again.pop(place, None)
        return True

    def _is_due(self, place: str) -> bool:
        if self._clock.monotonic_ns() < self._again.get(place, self._clock.monotonic_ns()):
            return False
        if place not in self._done:
            self._done[place] = self._recorded_day(place)
        return self._done[place] != self._today()

    def _recorded_day(self, place: str) -> str:
        """Return the last day on which the record says that such a place got one, or ''."""
        kind, _, number = place.partition(" ")
        query = Query(
            user=self._actor.user, action=ACTIONS[kind], outcome="success",
            since=self._today(), limit=1_000,
        )  # fmt: skip
        with contextlib.suppress(ApplianceError):
            for entry in self._ledger.search(query).entries:
                content = entry["content"]
                if content["kind"] == kind and str(content.get("place", "")) == number:
                    return str(entry["t"][:10])
        return ""

    def _collector(self) -> Collector:
        settings = self._settings
        files = (settings.anchor_ca, settings.anchor_cert, settings.anchor_key)
        return Collector.parse(settings.anchor_syslog, *(Path(f) if f else None for f in files))

    def _ask_witness(self, timeout_s: float) -> object:
        settings = self._settings
        ca = Path(settings.anchor_ca) if settings.anchor_ca else None
        with WitnessClient(settings.anchor_witness, ca, timeout_s=timeout_s) as client:
            witness = VerifierKey.parse(settings.witness_key)
            return self._anchors.to_witness(self._actor, client, witness)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock.now(), tz=UTC).strftime("%Y-%m-%d")
