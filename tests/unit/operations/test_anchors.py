"""Checkpoints kept by themselves once a day and at the end, and who may keep one by hand."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance import durable
from appliance.assembly import Appliance, assemble
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.errors import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    UnavailableError,
    VerificationError,
)
from appliance.identity.permissions import GRANTS, Permission
from appliance.identity.roles import Role
from appliance.operations import anchor_round
from appliance.operations import anchors as operation
from appliance.operations.anchor_round import AGAIN_AFTER_NS, AnchorRound
from appliance.operations.anchors import Anchors
from tests.simulators.fresh_state import fresh_state
from tests.simulators.manual_clock import ManualClock
from tests.simulators.stack import free_port
from tests.simulators.syslog_collector import collector
from tests.unit.operations.conftest import actor

HOUR_S = AGAIN_AFTER_NS / 1_000_000_000
DAY_S = 86_400.0


@dataclass
class Site:
    """A state folder under a clock of its own, and the folder of a stick."""

    config: Config
    stick: Path
    clock: ManualClock
    appliance: Appliance

    def anchors(self) -> Anchors:
        return Anchors(self.appliance)

    def round(self, **settings: Any) -> AnchorRound:
        ledger = self.appliance.ledger
        chosen = replace(self.config.ledger, **settings)
        return AnchorRound(Anchors(self.appliance), ledger, chosen, self.clock)

    def record(self, action: str = "record.anchor") -> list[dict[str, Any]]:
        with sqlite3.connect(self.config.paths.audit_db) as database:
            rows = database.execute("SELECT entry FROM entries ORDER BY seq").fetchall()
        database.close()
        return [entry for (data,) in rows if (entry := json.loads(data))["action"] == action]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    config = load(tmp_path / "state", file=tmp_path / "none", environment={})
    fresh_state(config, console_actor())
    clock, stick = ManualClock(), tmp_path / "stick"
    stick.mkdir()
    appliance = assemble(config, clock)
    yield Site(config, stick, clock, appliance)
    appliance.close()


# --- the daily round


def test_nothing_is_done_where_no_place_is_set(site: Site) -> None:
    """The built-in settings keep no checkpoint elsewhere, and leave no entry."""
    before = site.appliance.ledger.head().size
    assert site.round().run_due() == []
    assert site.appliance.ledger.head().size == before


def test_every_folder_gets_one_a_day(site: Site, tmp_path: Path) -> None:
    """However often it is asked for; the next day there is another one."""
    second = tmp_path / "second"
    second.mkdir()
    daily = site.round(anchor_folders=(str(site.stick), str(second)))
    assert daily.run_due() == ["file 0", "file 1"]
    assert daily.run_due() == []
    site.clock.advance(DAY_S)
    assert daily.run_due() == ["file 0", "file 1"]
    for folder in (site.stick, second):
        assert len([*folder.glob("*.checkpoint")]) == 2


def test_a_restart_on_the_same_day_keeps_none_again(site: Site) -> None:
    """The record says that it was done."""
    assert site.round(anchor_folders=(str(site.stick),)).run_due() == ["file 0"]
    assert site.round(anchor_folders=(str(site.stick),)).run_due() == []


def test_one_is_kept_at_the_end_as_well(site: Site) -> None:
    """So that the last hours before a stop are covered."""
    daily = site.round(anchor_folders=(str(site.stick),))
    daily.run_due()
    assert daily.run_due(stopping=True) == ["file 0"]


def test_a_place_that_fails_holds_up_nobody(site: Site, tmp_path: Path) -> None:
    """The others get theirs, the failure is recorded, and it is tried again after an hour."""
    missing = tmp_path / "missing"
    daily = site.round(anchor_folders=(str(missing), str(site.stick)))
    assert daily.run_due() == ["file 1"]
    assert {entry["outcome"] for entry in site.record()} == {"intent", "refused", "success"}
    missing.mkdir()
    assert daily.run_due() == []
    site.clock.advance(HOUR_S)
    assert daily.run_due() == ["file 0"]


def test_a_collector_gets_one_a_day(site: Site, tmp_path: Path) -> None:
    """A real one, in the name of the appliance itself."""
    with collector(tmp_path / "siem") as siem:
        daily = site.round(anchor_syslog=f"tcp://127.0.0.1:{siem.port}")
        assert daily.run_due() == ["syslog"]
        assert daily.run_due() == []
        [received] = siem.messages(1)
    outcome = site.record()[-1]
    assert f'size="{outcome["content"]["size"]}"' in received["structured"]
    assert (outcome["agent"]["user"], outcome["agent"]["role"]) == ("system:anchors", "system")


def test_collector_and_witness_that_are_away_are_recorded(site: Site) -> None:
    """The appliance goes on; what failed is in the record, in both kinds."""
    key = "w+f6e7e6d5+" + "A" * 44
    daily = site.round(
        anchor_syslog=f"tcp://127.0.0.1:{free_port()}",
        anchor_witness=f"http://127.0.0.1:{free_port()}",
        witness_key=key,
    )
    assert daily.run_due(stopping=True) == []
    assert site.record()[-1]["outcome"] == "failure"


def test_a_place_that_hangs_does_not_hold_up_a_stop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector takes the connection and is silent; the appliance ends all the same."""
    monkeypatch.setattr(anchor_round, "STOP_WITHIN_S", 0.1)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert site.round(anchor_syslog=address).run_due(stopping=True) == []
        [left] = set(threading.enumerate()) - before
    left.join()
    assert site.record()[-1]["outcome"] == "failure"


# --- by hand


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SYSTEM])
def test_only_who_may_anchor_gets_a_checkpoint(site: Site, role: Role) -> None:
    """Everybody else is refused, and that is recorded; no checkpoint leaves."""
    who, anchors = actor(role, "somebody"), site.anchors()
    if Permission.RECORD_ANCHOR in GRANTS[role]:
        assert SignedCheckpoint.parse(anchors.checkpoint(who, "text").note)
        return
    with pytest.raises(ForbiddenError):
        anchors.checkpoint(who, "text")
    with pytest.raises(ForbiddenError):
        anchors.to_folder(who, site.stick)
    assert site.record("record.checkpoint")[-1]["outcome"] == "refused"
    assert site.record()[-1]["outcome"] == "refused"
    assert [*site.stick.iterdir()] == []


def test_a_file_on_the_stick_is_never_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by the same name: what was taken away first stays."""
    name = "taken.checkpoint"
    monkeypatch.setattr(operation.anchor_file, "name_of", lambda _checkpoint: name)
    (site.stick / name).write_text("mine")
    with pytest.raises(ConflictError, match="was left as it is"):
        site.anchors().to_folder(console_actor(), site.stick)
    assert (site.stick / name).read_text() == "mine"
    assert [path.name for path in site.stick.iterdir()] == [name]


def test_a_stick_without_links_takes_it_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT has none; the file is renamed into place, and still never replaces one."""

    link = os.link

    def no_links(source: Path, target: Path) -> None:
        if site.stick in target.parents:
            raise PermissionError(1, "Operation not permitted")
        link(source, target)

    monkeypatch.setattr(operation.anchor_file.os, "link", no_links)
    path, issued = site.anchors().to_folder(console_actor(), site.stick)
    assert path.read_text() == issued.note
    monkeypatch.setattr(operation.anchor_file, "name_of", lambda _checkpoint: path.name)
    with pytest.raises(ConflictError):
        site.anchors().to_folder(console_actor(), site.stick)
    assert path.read_text() == issued.note


def test_a_stick_that_gives_back_other_bytes_is_bad(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read back before anybody relies on it."""
    monkeypatch.setattr(operation.anchor_file, "_read_back", lambda _path: b"other")
    with pytest.raises(VerificationError, match="does not hold what was written"):
        site.anchors().to_folder(console_actor(), site.stick)
    assert site.record()[-1]["content"]["code"] == "verification_failed"
    assert [*site.stick.iterdir()] == []


def test_a_stick_that_cannot_be_written_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick that turns read-only in the middle: the reason, and nothing is left on it."""

    def protected(*_arguments: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(durable, "_place", protected)
    with pytest.raises(UnavailableError, match="read-only file system"):
        site.anchors().to_folder(console_actor(), site.stick)
    assert [*site.stick.iterdir()] == []


def test_the_name_of_a_site_becomes_a_plain_file_name() -> None:
    """Whatever a site is called, a FAT stick takes the file."""
    assert operation.anchor_file.plain("Klinik Süd/audit/01") == "Klinik-S-d-audit-01"
    assert operation.anchor_file.plain("../../etc") == "etc"
    assert operation.anchor_file.plain("///") == "record"


# --- settings

KEY = "witness.example/w1+1eeff482+BBInhbCRUoY8+DK+HaW/sdmA1or4lFlig33W/1mLS4gW"


@pytest.mark.parametrize(
    "settings",
    [
        {"ANCHOR_FOLDERS": "relative"},
        {"ANCHOR_SYSLOG": "siem:514"},
        {"ANCHOR_SYSLOG": "udp://siem:514"},
        {"ANCHOR_SYSLOG": "tls://siem:6514"},
        {"ANCHOR_CERT": "/etc/cert.pem"},
        {"ANCHOR_WITNESS": "http://witness:8085"},
        {"ANCHOR_WITNESS": "witness", "WITNESS_KEY": KEY},
        {"WITNESS_KEY": "no key"},
    ],
)
def test_a_place_that_could_never_work_is_refused_at_once(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    """Not at night, when the first checkpoint is due."""
    environment = {f"APPLIANCE_LEDGER__{name}": value for name, value in settings.items()}
    with pytest.raises(ConfigurationError, match=r"ledger\.(anchor|witness)_"):
        load(tmp_path, file=tmp_path / "none", environment=environment)


def test_sound_places_are_taken(tmp_path: Path) -> None:
    """All of them at once."""
    settings = {
        "ANCHOR_FOLDERS": "/mnt/a,/mnt/b", "ANCHOR_SYSLOG": "tls://siem.example:6514",
        "ANCHOR_CA": "/etc/ca.pem", "ANCHOR_CERT": "/etc/c.pem", "ANCHOR_KEY": "/etc/k.pem",
        "ANCHOR_WITNESS": "http://witness.example:8085/w1", "WITNESS_KEY": KEY,
    }  # fmt: skip
    environment = {f"APPLIANCE_LEDGER__{name}": value for name, value in settings.items()}
    config = load(tmp_path, file=tmp_path / "none", environment=environment)
    assert config.ledger.anchor_folders == ("/mnt/a", "/mnt/b")
    assert config.ledger.witness_key == KEY


UNREACHABLE = (
    {"ANCHOR_FOLDERS": "/mnt/a"},
    {"ANCHOR_SYSLOG": "tcp://siem.example:514"},
    {"ANCHOR_WITNESS": "http://witness.example:8085", "WITNESS_KEY": KEY},
)


@pytest.mark.parametrize(
    ("role", "settings", "why"),
    [
        *((role, one, "in the stack") for role in ("gateway", "ledger") for one in UNREACHABLE),
        ("gateway", {"ANCHOR_CONSOLE": "true"}, "belongs to the ledger"),
        ("gateway", {"WITNESS_KEY": KEY}, "belongs to the ledger"),
    ],
)
def test_in_the_stack_no_place_is_believed_that_nobody_reaches(
    tmp_path: Path, role: str, settings: dict[str, str], why: str
) -> None:
    """Neither a way out that there is not, nor what the ledger does not know of."""
    environment = {f"APPLIANCE_LEDGER__{name}": value for name, value in settings.items()}
    load(tmp_path, file=tmp_path / "none", environment=environment)
    environment["APPLIANCE_AIRGAP__ROLE"] = role
    with pytest.raises(ConfigurationError, match=why):
        load(tmp_path, file=tmp_path / "none", environment=environment)


def test_in_the_stack_the_ledger_prints_and_knows_its_witness(tmp_path: Path) -> None:
    """What the Compose file sets."""
    environment = {
        "APPLIANCE_AIRGAP__ROLE": "ledger",
        "APPLIANCE_LEDGER__ANCHOR_CONSOLE": "true",
        "APPLIANCE_LEDGER__WITNESS_KEY": KEY,
    }
    config = load(tmp_path, file=tmp_path / "none", environment=environment)
    assert (config.ledger.anchor_console, config.ledger.witness_key) == (True, KEY)
