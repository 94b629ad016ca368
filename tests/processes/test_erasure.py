"""Erasing and a new key while the appliance runs: nothing is left, nothing else is lost."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx

from tests.simulators.stack import Stack

PROMPT = "Xyloprompt what can you do?"
REFERENCE = "MRN-4711-0815"


def ask(stack: Stack, key: str, **metadata: str) -> str:
    """Ask through the API; return the answer's id in the record."""
    body: dict[str, Any] = {
        "model": "demo", "max_tokens": 8, "messages": [{"role": "user", "content": PROMPT}],
        "metadata": metadata or None,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {key}"}
    address = f"{stack.address}/v1/chat/completions"
    response = httpx.post(address, json=body, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    return str(response.json()["id"]).rsplit("-", 1)[-1]


def wrapped_keys(state: Path) -> dict[str, bytes]:
    with sqlite3.connect(state / "keys.db") as connection:
        found = dict(connection.execute("SELECT key_id, wrapped FROM content_keys").fetchall())
    connection.close()
    return found


def test_erased_and_rewrapped_while_it_runs(own_stack: Stack, tmp_path: Path) -> None:
    """Answers go on; the erased texts, keys and number are in no file; the record is whole."""
    stack = own_stack
    key = stack.api_key()
    ask(stack, key, patient=REFERENCE)
    file = tmp_path / "key"
    file.write_text(key)
    # Not on the command line, where everybody on the machine could read it.
    words = ("ask", "--key-file", str(file), "--patient", "-", PROMPT)
    stack.command(*words, typed=REFERENCE.lower() + "\n")
    kept = ask(stack, key)
    before = wrapped_keys(stack.state)
    old_key = (stack.state / "keys" / "content.key").read_bytes()

    stack.command("retention", "rewrap")
    ask(stack, key)
    file = tmp_path / "erased.tlog-proof"
    words = ("--patient", REFERENCE, "--basis", "GDPR Art. 17(1)(a)", "--certificate", str(file))
    done = json.loads(stack.command("retention", "erase", *words, "--json").stdout)
    assert done["conversations"] == 2
    ask(stack, key)
    assert stack.command("audit", "verify").returncode == 0
    actions = [entry["action"] for entry in stack.record() if entry["entity"] == done["id"]]
    assert actions[:2] == ["content.erase", "content.erase"]
    left = wrapped_keys(stack.state)
    assert len(set(before) - set(left)) == 2
    assert any(kept in (entry["entity"] or "") for entry in stack.record())

    assert stack.stop() == 0
    files = [path for path in stack.state.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files if path.suffix != ".gguf")
    for trace in (*before.values(), old_key, b"Xyloprompt", REFERENCE.encode()):
        assert trace not in everything
    assert REFERENCE.lower().encode() not in everything
    assert file.read_text().startswith("c2sp.org/tlog-proof@v1")
