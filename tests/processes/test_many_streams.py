"""Sixty-four streams held open leave the gateway small, answering, and able to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from tests.bench.gateway_client import Caller
from tests.simulators.gateway_site import GatewaySite

STREAMS = 64
MOST_MB = 300
SOON_S = 5.0
STOPS_WITHIN_S = 20.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[GatewaySite]:
    """Ledger and gateway with their defaults, before a model that never ends an answer."""
    with GatewaySite(tmp_path / "state") as running:
        yield running


def test_sixty_four_open_streams_leave_room_for_everything_else(site: GatewaySite) -> None:
    """Pages and one more question are answered at once, memory is bounded, and it stops cleanly."""
    before = site.resident_mb()
    with ExitStack() as held:
        for endpoint in site.endpoints(STREAMS):
            caller = held.enter_context(closing(Caller(endpoint)))
            caller.begin_stream("hold")
            caller.await_word()
        with httpx.Client(base_url=site.address, timeout=SOON_S) as browser:
            assert browser.get("/sign-in").status_code == 200
            assert browser.get("/healthz").status_code == 200
        assert site.resident_mb() - before < MOST_MB
        began = time.monotonic()
        assert site.end("gateway") == 0
        assert time.monotonic() - began < STOPS_WITHIN_S
    ends = [entry["action"] for entry in site.record() if entry["action"] == "answer.stop"]
    assert len(ends) == STREAMS
