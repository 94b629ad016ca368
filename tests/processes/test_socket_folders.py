"""Sockets in folders of their own, as containers of several users share them."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.simulators.stack import Stack


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_parts_find_each_other_and_let_their_group_in(tmp_path: Path) -> None:
    """A question is answered over them; nobody but owner and group can call or enter."""
    ledger, engine = tmp_path / "l", tmp_path / "e"
    for folder in (ledger, engine):
        folder.mkdir(mode=0o750)
    running = Stack.made_before(tmp_path / "state")
    running.settings = {
        "APPLIANCE_LEDGER__SOCKET_FOLDER": str(ledger),
        "APPLIANCE_ENGINE__SOCKET_FOLDER": str(engine),
    }
    running.start()
    try:
        key = tmp_path / "key"
        key.write_text(running.api_key())
        answered = running.run("ask", "--key-file", str(key), "Reply with one word.")
        assert answered.stdout.strip()
        assert (mode_of(ledger / "ledger.sock"), mode_of(ledger / "ledger.add")) == ("0770", "0660")
        assert (mode_of(engine / "engine.sock"), mode_of(engine / "engines")) == ("0770", "0750")
        assert {mode_of(path) for path in (engine / "engines").glob("*.sock")} == {"0770"}
        assert list((running.state / "run").glob("*.sock")) == []
    finally:
        assert running.stop() == 0


def test_by_default_sockets_are_for_their_owner_alone(stack: Stack) -> None:
    """They lie in the state folder, closed to every other user."""
    run = stack.state / "run"
    assert {mode_of(path) for path in run.rglob("*.sock")} == {"0700"}
    assert (mode_of(run / "ledger.add"), mode_of(run / "engines")) == ("0600", "0700")
