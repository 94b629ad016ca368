"""Checkpoints at the command line: printed, drawn, kept on a stick, sent to a collector."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.audit.checkpoint import SignedCheckpoint, VerifierKey
from tests.cli.conftest import Run
from tests.cli.recorded import MADE, entries, newest_key
from tests.simulators import qr_reader
from tests.simulators.stack import free_port
from tests.simulators.syslog_collector import collector

# --- checkpoint


def test_a_checkpoint_is_printed_as_it_was_signed(appliance: Run) -> None:
    """Standard output is the note and nothing else, so that it can be piped."""
    ended = appliance("audit", "checkpoint")
    signed = SignedCheckpoint.parse(ended.out)
    assert signed.note() == ended.out
    assert signed.verify(VerifierKey.parse(newest_key(appliance))).size == MADE
    assert "next: " in ended.err


def test_that_a_checkpoint_was_handed_out_is_recorded(appliance: Run, state: Path) -> None:
    """With its size and root, so that the record knows what lies in the logbook."""
    value = appliance("audit", "checkpoint", "--qr", "--json").value
    [entry] = entries(state, "record.checkpoint")
    assert entry["content"] == {"form": "qr", "size": value["size"], "root": value["root"]}


def test_a_qr_code_on_the_terminal_is_the_note_byte_for_byte(appliance: Run, state: Path) -> None:
    """Another program than the one that drew it reads it back."""
    ended = appliance("audit", "checkpoint", "--qr")
    [entry] = entries(state, "record.checkpoint")
    note = qr_reader.from_blocks(ended.out).decode()
    assert SignedCheckpoint.parse(note).note() == note
    assert SignedCheckpoint.parse(note).checkpoint.size == entry["content"]["size"]


def test_files_hold_the_note_and_its_code(appliance: Run, tmp_path: Path) -> None:
    """The text for programs, the drawing for paper; both the same note."""
    text, drawing = tmp_path / "a.checkpoint", tmp_path / "a.svg"
    ended = appliance("audit", "checkpoint", "--out", str(text), "--svg", str(drawing))
    assert ended.out.count("wrote ") == 2
    assert qr_reader.from_svg(drawing.read_text()) == text.read_bytes()
    assert "\N{EM DASH}" in text.read_text()


@pytest.mark.parametrize("option", ["--out", "--svg"])
def test_a_checkpoint_never_replaces_a_file(
    appliance: Run, tmp_path: Path, option: str, state: Path
) -> None:
    """A file that exists is left as it is, and nothing is handed out."""
    path = tmp_path / "mine"
    path.write_text("mine")
    assert appliance("audit", "checkpoint", option, str(path)).code == 1
    assert path.read_text() == "mine"
    assert entries(state, "record.checkpoint") == []


def test_keys_say_who_signed_since_when(appliance: Run) -> None:
    """Epoch, first entry, day, and the verifier key whole."""
    [key] = appliance("audit", "keys", "--json").value
    assert (key["epoch"], key["entry"]) == (0, 0)
    shown = appliance("audit", "keys").out.splitlines()
    assert shown[0].split() == ["epoch", "from", "entry", "since", "(UTC)", "verifier", "key"]
    assert shown[1].split() == ["0", "0", key["since"][:10], key["key"]]


# --- anchor --to, --syslog


def test_an_anchor_on_a_stick_holds_the_record(appliance: Run, tmp_path: Path, state: Path) -> None:
    """One new file, named after record and size; intent and outcome in the record."""
    value = appliance("audit", "anchor", "--to", str(tmp_path), "--json").value
    [path] = tmp_path.glob("*.checkpoint")
    assert str(path) == value["file"]
    origin = value["origin"].replace("/", "-")
    assert path.name == f"{origin}-{value['size']}.checkpoint"
    assert SignedCheckpoint.parse(path.read_bytes()).checkpoint.size == value["size"]
    intent, outcome = entries(state, "record.anchor")
    assert (intent["outcome"], intent["content"]) == ("intent", {"kind": "file"})
    facts = {"kind": "file", "size": value["size"], "root": value["root"]}
    assert (outcome["outcome"], outcome["content"]) == ("success", facts)


def test_a_stick_that_is_not_there_is_told_and_recorded(
    appliance: Run, tmp_path: Path, state: Path
) -> None:
    """Nothing is written beside the mount point."""
    ended = appliance("audit", "anchor", "--to", str(tmp_path / "none"))
    assert (ended.code, "mount the medium" in ended.err) == (1, True)
    assert entries(state, "record.anchor")[-1]["outcome"] == "refused"
    assert not (tmp_path / "none").exists()


def test_a_collector_gets_the_checkpoint(appliance: Run, tmp_path: Path, state: Path) -> None:
    """A real one; where it went is in the record."""
    with collector(tmp_path / "siem") as siem:
        address = f"tcp://127.0.0.1:{siem.port}"
        value = appliance("audit", "anchor", "--syslog", address, "--json").value
        [received] = siem.messages(1)
    assert f'size="{value["size"]}"' in received["structured"]
    content = entries(state, "record.anchor")[-1]["content"]
    assert (content["kind"], content["to"], content["size"]) == ("syslog", address, value["size"])


def test_a_collector_that_is_gone_is_exit_4_and_recorded(appliance: Run, state: Path) -> None:
    """The failure is an outcome too."""
    ended = appliance("audit", "anchor", "--syslog", f"tcp://127.0.0.1:{free_port()}")
    assert (ended.code, "connection refused" in ended.err) == (4, True)
    outcome = entries(state, "record.anchor")[-1]
    assert (outcome["outcome"], outcome["content"]["code"]) == ("failure", "unavailable")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--to", ".", "--syslog", "tcp://127.0.0.1:1"),
        ("--syslog", "tls://127.0.0.1:1"),
        ("--syslog", "siem"),
        ("--witness", "http://127.0.0.1:1"),
        ("--witness", "http://127.0.0.1:1", "--witness-key", "no key"),
        ("--witness", "ftp://127.0.0.1", "--witness-key", "SITE"),
    ],
)
def test_a_place_must_be_named_soundly(appliance: Run, words: tuple[str, ...], state: Path) -> None:
    """What can never work is wrong usage, and nothing is recorded of it."""
    key = f"{VerifierKey('w', bytes(32), 4)}"
    words = tuple(key if word == "SITE" else word for word in words)
    assert appliance("audit", "anchor", *words).code == 2
    assert entries(state, "record.anchor") == []


def test_a_kept_checkpoint_shows_what_was_cut_off(
    appliance: Run, state: Path, tmp_path: Path
) -> None:
    """The file from the stick beside an older copy of the record: exit 3, and it says which."""
    old = tmp_path / "old"
    shutil.copy(state / "audit.db", old)
    appliance("key", "create", "--user", "demo")
    appliance("audit", "anchor", "--to", str(tmp_path))
    shutil.copy(old, state / "audit.db")
    (state / "audit.anchors" / "newest.checkpoint").unlink()
    assert appliance("audit", "verify").code == 0
    [kept] = tmp_path.glob("*.checkpoint")
    shutil.copy(kept, state / "audit.anchors" / kept.name)
    ended = appliance("audit", "verify")
    assert (ended.code, kept.name in ended.err) == (3, True)
    (state / "audit.anchors" / kept.name).unlink()
    assert appliance("audit", "verify", "--anchor", str(kept)).code == 3
