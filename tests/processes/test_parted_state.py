"""Ledger and gateway with a state folder each, as in the stack: verifying, and what is anchored."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.parted_state import PartedState

WITNESS = "witness.example/w1"


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[PartedState]:
    """A running ledger that prints its checkpoints, and a gateway's folder beside it."""
    made = PartedState(tmp_path, {"APPLIANCE_LEDGER__ANCHOR_CONSOLE": "true"}).start()
    yield made
    made.stop()


def entries(parted: PartedState, action: str) -> list[dict[str, Any]]:
    listed = parted.inside("gateway", "audit", "list", "--action", action, "--json")
    found: list[dict[str, Any]] = json.loads(listed.stdout)["entries"]
    return found


def finding(parted: PartedState) -> dict[str, str]:
    """Return what the doctor says in the gateway's place about anchors."""
    found = json.loads(parted.inside("gateway", "doctor", "--json").stdout)
    return {item["check"]: item for item in found}["anchors"]


# --- verifying


def test_verifying_where_the_ledger_is_reads_the_file_and_is_recorded(parted: PartedState) -> None:
    """There is no state of the gateway's there, and none is needed."""
    done = parted.inside("ledger", "audit", "verify", "--json")
    assert (done.returncode, json.loads(done.stdout)["recorded"]) == (0, True)
    [entry] = entries(parted, "record.verify")
    assert (entry["outcome"], entry["agent"]["role"]) == ("success", "console")
    assert entry["content"]["entries"] > 0


def test_verifying_where_the_gateway_is_says_where_to_go(parted: PartedState) -> None:
    """The file is not there; nobody takes the ledger's word for it."""
    done = parted.inside("gateway", "audit", "verify")
    assert done.returncode == 1
    assert "the ledger has a container of its own" in done.stderr
    assert "next: docker exec -i appliance-ledger-1 appliance audit verify" in done.stderr
    assert entries(parted, "record.verify") == []


def test_the_doctor_looks_where_the_state_is(parted: PartedState) -> None:
    """In the ledger's place there is neither key nor database of the gateway's, nor a model."""
    done = parted.inside("ledger", "doctor")
    assert done.returncode == 1
    assert "the ledger of the stack has no state to look at" in done.stderr
    assert "next: docker exec appliance-gateway-1 appliance doctor" in done.stderr


def test_a_checkpoint_from_elsewhere_comes_in_by_standard_input(parted: PartedState) -> None:
    """Into a container nothing is mounted: what was kept on a stick is piped in."""
    note = parted.inside("gateway", "audit", "checkpoint").stdout.encode()
    words = ("audit", "verify", "--anchor", "-", "--json")
    done = parted.given("ledger", note, *words)
    assert (done.returncode, json.loads(done.stdout)["anchored"] > 0) == (0, True)
    assert parted.given("ledger", b"no note", *words).returncode == 2
    assert parted.given("ledger", note.replace(b"hospital", b"other"), *words).returncode == 3


# --- what is anchored, and who says so


def test_what_a_witness_signed_is_kept_by_the_ledger(parted: PartedState) -> None:
    """Handed in where the gateway is, it lies where the record is held against it."""
    home = ("--witness-state", str(parted.folder / "witness"))
    newest = json.loads(parted.inside("gateway", "audit", "keys", "--json").stdout)[-1]["key"]
    words = ("audit", "witness", "init", "--name", WITNESS, "--log", newest, *home, "--json")
    key = json.loads(parted.inside("gateway", *words).stdout)["key"]
    # The ledger's setting alone; the gateway asks for it.
    parted.stop()
    parted.ledger_settings["APPLIANCE_LEDGER__WITNESS_KEY"] = key
    parted.start()

    request = parted.inside("gateway", "audit", "anchor", "--witness-request", "-").stdout
    (parted.folder / "request").write_text(request)
    paths = ("--request", str(parted.folder / "request"), "--out", str(parted.folder / "answer"))
    assert parted.inside("gateway", "audit", "witness", "cosign", *paths, *home).returncode == 0
    answer = (parted.folder / "answer").read_bytes()
    taken = parted.given("gateway", answer, "audit", "anchor", "--witness-answer", "-")
    assert taken.returncode == 0, taken.stderr

    kept = parted.ledger / "audit.anchors" / "witness-witness.example-w1.checkpoint"
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (answer, 0o600)
    assert not (parted.gateway / "audit.anchors").exists()
    verified = json.loads(parted.inside("ledger", "audit", "verify", "--json").stdout)
    assert verified["anchored"] > 0
    assert "signed by a witness" in finding(parted)["found"]
    assert finding(parted)["verdict"] == "ok"


def test_a_printed_line_is_not_told_as_kept(parted: PartedState) -> None:
    """The doctor says that it was handed on, that nobody knows further, and warns."""
    parted.lines(1)
    said = finding(parted)
    assert said["verdict"] == "warn"
    assert "nobody here knows whether it took them" in said["found"]


def test_the_gateways_own_settings_make_no_anchor(parted: PartedState, tmp_path: Path) -> None:
    """Where the ledger prints none and knows no witness, the doctor says so, whoever asks."""
    plain = PartedState(tmp_path / "plain").start()
    try:
        said = finding(plain)
    finally:
        plain.stop()
    assert said["verdict"] == "warn"
    assert said["found"] == "no checkpoint was kept elsewhere this week"


def test_the_first_of_a_day_is_recorded(parted: PartedState) -> None:
    """Intent and outcome, with size and root, in the name of the appliance itself."""
    [line] = parted.lines(1)[:1]
    intent, outcome = entries(parted, "record.anchor")
    assert (intent["outcome"], outcome["outcome"]) == ("intent", "success")
    assert (outcome["content"]["kind"], outcome["agent"]["user"]) == ("console", "system:anchors")
    assert f'size="{outcome["content"]["size"]}" root="{outcome["content"]["root"]}"' in line


def test_the_last_one_covers_everything(parted: PartedState) -> None:
    """What came since the last line is printed when the ledger stops."""
    parted.lines(1)
    parted.inside("ledger", "audit", "verify")
    parted.stop()
    verified = json.loads(parted.inside("ledger", "audit", "verify", "--json").stdout)
    assert f'size="{verified["entries"]}"' in parted.lines(2)[-1]
