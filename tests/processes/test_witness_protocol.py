"""The witness over HTTP: the answers that C2SP tlog-witness wants, whoever asks."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.tlog_witness import AddCheckpoint
from appliance.audit.witness_client import WitnessClient
from appliance.audit.witness_folder import WitnessFolder
from appliance.clock import System
from appliance.errors import (
    BadInputError,
    NotFoundError,
)
from tests.simulators.witness_site import Serving, Site


def test_status_codes_are_those_of_the_specification(site: Site, witness: Serving) -> None:
    """400, 403, 404, 409 with the size, and 200 with a signature line."""
    origin = site.log.keys()[0].key.split("+", 1)[0]
    note = site.log.checkpoint()
    size = SignedCheckpoint.parse(note).checkpoint.size
    good = f"old 0\n\n{note}".encode()
    assert witness.post("add-checkpoint", b"old 0\n").status_code == 400
    assert witness.post("add-checkpoint", good.replace(b"old 0", b"old 999")).status_code == 400
    assert witness.post("add-checkpoint", good.replace(origin.encode(), b"x/y")).status_code == 404
    wrong = good.replace(f"\n{size}\n".encode(), b"\n9999\n")
    assert witness.post("add-checkpoint", wrong).status_code == 403
    accepted = witness.post("add-checkpoint", good)
    assert accepted.status_code == 200
    assert accepted.text.startswith("\N{EM DASH} witness.example/w1 ")
    assert accepted.text.count("\n") == 1
    site.grow(3)
    later = f"old 0\n\n{site.log.checkpoint()}".encode()
    conflict = witness.post("add-checkpoint", later)
    assert (conflict.status_code, conflict.text) == (409, f"{size}\n")
    assert conflict.headers["Content-Type"] == "text/x.tlog.size"
    false = later.replace(b"old 0\n", f"old {size}\n{'A' * 43}=\n".encode())
    assert witness.post("add-checkpoint", false).status_code == 422


def test_other_requests_are_turned_away(witness: Serving) -> None:
    """Unknown paths, methods, and bodies beyond the limit."""
    get = httpx.get(f"{witness.address}/add-checkpoint", trust_env=False)
    assert get.status_code == 405
    assert witness.post("keys", b"").status_code == 405
    assert witness.post("", b"").status_code == 404
    assert witness.post("add-key", b"x" * 160_001).status_code == 413
    assert witness.post("add-key", b"x").status_code == 400
    newest = httpx.get(f"{witness.address}/checkpoint", trust_env=False)
    assert newest.status_code == 404


def test_requests_at_once_never_roll_back(site: Site, witness: Serving) -> None:
    """The race that the specification warns of: the larger size stays."""
    sizes = []
    notes = []
    for _ in range(8):
        notes.append(site.grow(2).log.checkpoint())
        sizes.append(SignedCheckpoint.parse(notes[-1]).checkpoint.size)
    script = (
        "import sys, httpx\n"
        "print(httpx.post(sys.argv[1], content=sys.argv[2].encode(), trust_env=False).status_code)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, f"{witness.address}/add-checkpoint", f"old 0\n\n{note}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for note in notes
    ]
    codes = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sorted(codes) == [200] + [409] * 7
    signed = SignedCheckpoint.parse(
        httpx.get(f"{witness.address}/checkpoint", trust_env=False).text
    )
    assert signed.checkpoint.size == sizes[codes.index(200)]


@pytest.mark.parametrize("address", ["", "siem", "ftp://x", "http://", "http://u@h", "http://h/?x"])
def test_what_is_no_address_is_bad_input(address: str) -> None:
    """It is said before anything is sent."""
    with pytest.raises(BadInputError):
        WitnessClient(address)


def test_a_witness_of_another_log_is_not_found(site: Site, tmp_path: Path) -> None:
    """The client names what the witness answered."""
    key = replace(VerifierKey.parse(site.log.keys()[0].key), name="elsewhere/audit/1")
    made = WitnessFolder.create(tmp_path / "witness", "w", key, System())
    serving = Serving(tmp_path / "witness", made.key).start()
    request = AddCheckpoint(0, (), SignedCheckpoint.parse(site.log.checkpoint()))
    with WitnessClient(serving.address) as client, pytest.raises(NotFoundError):
        client.add_checkpoint(request)
    serving.stop()
