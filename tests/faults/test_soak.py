"""The soak in its short form: sixteen clients for a minute, blows every few seconds."""

from __future__ import annotations

from pathlib import Path

from tests.faults.soak import soak, table

SECONDS = 60.0


def test_a_ward_goes_on_while_engines_are_killed(tmp_path: Path) -> None:
    """No stream hangs, each question has one outcome, memory stays, and it answers afterwards."""
    found = soak(tmp_path, SECONDS, streams=16, pause_s=(3.0, 8.0))
    print(table(found))
    found.check()
    assert found.struck.total() >= 4
    assert {"browser", "program"} == {seen.client for seen in found.seen}
    assert any(seen.ending == "complete" for seen in found.seen)
    assert found.restarts
