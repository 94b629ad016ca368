"""A witness in a process of its own, and a real record that grows, changes keys, and lies."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from appliance.audit.anchors import folder_beside
from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from appliance.audit.client import LedgerClient
from appliance.audit.tlog_witness import ADD_KEY, parse_steps
from appliance.audit.witness_client import WitnessClient
from appliance.audit.witness_folder import WitnessFolder
from appliance.clock import System
from appliance.errors import (
    TamperedError,
    UnavailableError,
    VerificationError,
)
from appliance.operations.witnessing import Witnessing
from tests.simulators.ledger_service import LedgerService
from tests.simulators.stack import APPLIANCE, free_port
from tests.simulators.witness_site import WITHIN_S, Serving, Site, replace_folder


def test_a_record_that_grows_is_signed_again_and_again(site: Site, witness: Serving) -> None:
    """Each time over every entry, with the time on the witness's clock."""
    before = int(time.time())
    for count in (1, 40, 300):
        cosigned = site.grow(count).ask(witness)
        assert cosigned.signed.verify(witness.key).size == site.log.head().size
        assert before <= cosigned.unix_time <= time.time()


def test_the_witness_follows_the_keys_of_many_days(site: Site, witness: Serving) -> None:
    """Ten days unseen: it is led from key to key, and signs under the newest."""
    site.ask(witness)
    cosigned = site.live(10).ask(witness)
    assert len(site.log.keys()) == 11
    assert cosigned.signed.verify(VerifierKey.parse(site.log.keys()[-1].key))
    known = httpx.get(f"{witness.address}/keys", trust_env=False).text.split()
    assert known == [key.key for key in site.log.keys()[-2:]]


def test_a_witness_is_made_in_the_middle_of_a_records_life(site: Site, tmp_path: Path) -> None:
    """With the newest key of that day; it follows from there."""
    site.live(3)
    newest = VerifierKey.parse(site.log.keys()[-1].key)
    made = WitnessFolder.create(tmp_path / "witness", "late", newest, System())
    serving = Serving(tmp_path / "witness", made.key).start()
    try:
        assert site.live(3).ask(serving).signed.checkpoint.size == site.log.head().size
    finally:
        serving.stop()


def test_the_state_outlives_a_power_cut(site: Site, witness: Serving) -> None:
    """Killed after its answer, it knows how far it saw."""
    cosigned = site.live(2).ask(witness)
    witness.kill()
    witness.start()
    newest = httpx.get(f"{witness.address}/checkpoint", trust_env=False).text
    assert SignedCheckpoint.parse(newest).checkpoint == cosigned.signed.checkpoint
    assert site.live(2).ask(witness).signed.checkpoint.size > cosigned.signed.checkpoint.size


def test_the_record_forgot_its_witness_and_asks(site: Site, witness: Serving) -> None:
    """Without the last answer at hand, the witness says its size, and the proof starts there."""
    site.live(2).ask(witness)
    for path in folder_beside(site.path).glob("witness-*"):
        path.unlink()
    assert site.grow(3).ask(witness).signed.checkpoint.size == site.log.head().size


def test_a_record_behind_its_service_is_signed_too(
    site: Site, witness: Serving, tmp_path: Path
) -> None:
    """As it runs in production: through the ledger's socket, with a life of several keys."""
    site.live(3)
    site.log.close()
    service = LedgerService(site.path, tmp_path / "ledger.sock").start()
    client = LedgerClient(tmp_path / "ledger.sock")
    try:
        with WitnessClient(witness.address) as to:
            cosigned = Witnessing(client, witness.key).over_http(to)
        assert cosigned.signed.checkpoint.size == client.head().size
        steps = parse_steps(Witnessing(client, witness.key).request(0))
        assert [step.kind for step in steps].count(ADD_KEY) == len(client.keys()) - 1
    finally:
        client.close()
        service.stop()
        site.log = site.open()


def test_yesterdays_backup_gets_no_signature(site: Site, witness: Serving, tmp_path: Path) -> None:
    """Whole in itself, with its keys and its own anchors: only the witness knows better."""
    site.ask(witness)
    site.log.close()
    shutil.copytree(site.folder, tmp_path / "backup")
    site.log = site.open()
    site.grow(50).ask(witness)
    old = replace_folder(site, tmp_path / "backup")
    with pytest.raises(VerificationError, match="another record than this one") as caught:
        old.ask(witness)
    assert "call the person in charge of security" in caught.value.hint
    old.log.close()
    assert "set back" in witness.said() or "two different" in witness.said()


def test_a_fork_with_the_live_key_gets_no_signature(
    site: Site, witness: Serving, tmp_path: Path
) -> None:
    """Both histories go on from one copy, signed by one key; the second is refused and kept."""
    site.ask(witness)
    site.log.close()
    shutil.copytree(site.folder, tmp_path / "fork")
    site.log = site.open()
    fork = replace_folder(site, tmp_path / "fork")
    site.grow(10).ask(witness)
    with pytest.raises(VerificationError):
        fork.grow(30, first=1_000).ask(witness)
    fork.log.close()
    assert '"level": "error"' in witness.said()
    assert [*(witness.folder / "evidence").iterdir()]
    assert site.grow(10).ask(witness).signed.checkpoint.size == site.log.head().size


def test_what_the_witness_signed_holds_the_record_from_then_on(
    site: Site, witness: Serving, tmp_path: Path
) -> None:
    """An older copy of the database beside the kept answer is refused at its start."""
    site.log.close()
    shutil.copy(site.path, tmp_path / "old.db")
    site.log = site.open()
    site.grow(5).ask(witness)
    site.log.close()
    (folder_beside(site.path) / "newest.checkpoint").unlink()
    shutil.copy(tmp_path / "old.db", site.path)
    with pytest.raises(TamperedError, match=r"witness-witness\.example-w1"):
        site.open()


def test_another_records_witness_is_told(site: Site, witness: Serving, tmp_path: Path) -> None:
    """It follows a key that this record never had."""
    other = Site(tmp_path / "other").grow(2)
    with pytest.raises(VerificationError, match="never had"):
        other.ask(witness)
    other.log.close()


def test_a_signature_under_another_key_counts_for_nothing(site: Site, witness: Serving) -> None:
    """Whoever answers at the address must be the witness that was pinned."""
    witness.key = replace(witness.key, public=bytes(32))
    with pytest.raises(VerificationError, match="not signed by witness"):
        site.ask(witness)
    assert not [*folder_beside(site.path).glob("witness-*")]


def test_a_witness_that_is_gone_is_told(site: Site, witness: Serving) -> None:
    """Exit 4 at the command line, and the record goes on."""
    witness.stop()
    with pytest.raises(UnavailableError, match="was not reached"):
        site.ask(witness)


def test_serving_is_clean(witness: Serving) -> None:
    """It says where it is, and stops with 0 when told to."""
    assert f"witness witness.example/w1 of ward at {witness.address}\n" in witness.said()
    assert witness.stop() == 0


def test_a_second_witness_on_the_folder_is_refused(witness: Serving) -> None:
    """Two would each sign what the other has not seen."""
    words = ["audit", "witness", "serve", "--listen", f"127.0.0.1:{free_port()}"]
    second = subprocess.run(
        [str(APPLIANCE), *words, "--witness-state", str(witness.folder)],
        capture_output=True, text=True, timeout=WITHIN_S, check=False,
    )  # fmt: skip
    assert (second.returncode, "in use" in second.stderr) == (1, True)
