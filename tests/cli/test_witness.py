"""A witness without a network: the stick goes there and back, and what it refuses."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, SignedCheckpoint, Signer, VerifierKey
from appliance.audit.tlog_witness import (
    ADD_CHECKPOINT,
    AddCheckpoint,
    Step,
    encode_steps,
    parse_steps,
)
from tests.cli.conftest import Run
from tests.cli.recorded import entries, newest_key

NAME = "witness.example/w1"


class Desk:
    """A witness on a desk without a network, and the stick that goes to and fro."""

    def __init__(self, appliance: Run, folder: Path) -> None:
        self.appliance, self.stick = appliance, folder
        self.home = ("--witness-state", str(folder / "witness"))
        made = appliance(
            "audit", "witness", "init", "--name", NAME, "--log", newest_key(appliance),
            *self.home, "--json",
        )  # fmt: skip
        self.key = str(made.value["key"])

    def request(self, name: str, *more: str) -> Any:
        path = str(self.stick / name)
        return self.appliance(
            "audit", "anchor", "--witness-request", path, "--witness-key", self.key, *more
        )

    def cosign(self, name: str) -> Any:
        paths = ("--request", str(self.stick / name), "--out", str(self.stick / f"{name}.answer"))
        return self.appliance("audit", "witness", "cosign", *paths, *self.home)

    def cosign_after(self, name: str, size: str) -> Any:
        """Carry a request that begins at `size` to the desk."""
        assert self.request(name, "--witness-size", size).code == 0
        return self.cosign(name)

    def answer(self, name: str, *more: str) -> Any:
        path = str(self.stick / f"{name}.answer")
        return self.appliance(
            "audit", "anchor", "--witness-answer", path, "--witness-key", self.key, *more
        )


@pytest.fixture
def desk(appliance: Run, tmp_path: Path) -> Desk:
    return Desk(appliance, tmp_path)


def test_a_witness_signs_what_comes_on_a_stick(appliance: Run, desk: Desk, state: Path) -> None:
    """To the desk, back, and from then on the record is held against it."""
    assert "nothing in it is secret" in desk.request("one").out
    assert desk.cosign("one").code == 0
    ended = desk.answer("one")
    assert ended.out.startswith(f"{NAME} signed ")
    kept = state / "audit.anchors" / "witness-witness.example-w1.checkpoint"
    signed = SignedCheckpoint.parse(kept.read_bytes())
    assert signed.verify(VerifierKey.parse(desk.key)).size > 13
    content = entries(state, "record.witness")[-1]["content"]
    assert (content["kind"], content["way"], content["witness"]) == ("witness", "file", desk.key)
    assert content["cosignature"] in kept.read_text()
    assert appliance("audit", "verify").code == 0


def test_the_witness_follows_request_after_request(desk: Desk) -> None:
    """The second request begins where the first one ended."""
    for name in ("one", "two"):
        assert desk.request(name).code == 0
        assert desk.cosign(name).code == 0
        assert desk.answer(name).code == 0


def test_a_lost_answer_is_no_trouble(desk: Desk, tmp_path: Path) -> None:
    """The same request is answered again; a later one says what to do."""
    desk.request("one")
    assert desk.cosign("one").code == 0
    (tmp_path / "one.answer").unlink()
    assert desk.cosign("one").code == 0
    (tmp_path / "one.answer").unlink()
    desk.request("two")
    ended = desk.cosign("two")
    assert ended.code == 1
    assert desk.cosign_after("three", ended.err.split()[-1]).code == 0
    assert desk.answer("three").code == 0


def test_an_older_answer_does_not_replace_a_newer_one(desk: Desk) -> None:
    """A stick that was found again changes nothing."""
    for name in ("one", "two"):
        desk.request(name)
        desk.cosign(name)
    desk.answer("one")
    desk.request("three")
    desk.cosign("three")
    desk.answer("three")
    assert desk.answer("one").code == 1


def test_an_answer_by_another_witness_is_exit_3(
    desk: Desk, appliance: Run, tmp_path: Path, state: Path
) -> None:
    """Only the pinned key counts, and the refusal is recorded."""
    (tmp_path / "other").mkdir()
    desk.request("one")
    desk.cosign("one")
    other = Desk(appliance, tmp_path / "other")
    assert desk.answer("one", "--witness-key", other.key).code == 3
    assert entries(state, "record.witness")[-1]["outcome"] == "failure"


def test_a_record_that_was_set_back_gets_no_signature(
    desk: Desk, appliance: Run, state: Path, tmp_path: Path
) -> None:
    """The witness refuses, and the record refuses the witness's later answer."""
    backup = tmp_path / "backup"
    backup.mkdir()
    copied = [*state.glob("audit.*")]
    for path in copied:
        _copy(path, backup / path.name)
    desk.request("zero")
    desk.request("one")
    desk.cosign("one")
    for path in copied:
        _copy(backup / path.name, path)
    ended = desk.answer("one")
    assert (ended.code, "this record has" in ended.err) == (3, True)
    ended = desk.cosign_after("two", "0")
    assert ended.code == 1
    ended = desk.cosign_after("three", ended.err.split()[-1])
    assert (ended.code, "nothing was signed" in ended.err) == (3, True)


def test_a_rewritten_record_gets_no_signature(
    desk: Desk, appliance: Run, state: Path, tmp_path: Path
) -> None:
    """Even where the live key signs the other history: the witness saw the first one."""
    desk.request("one")
    desk.cosign("one")
    request = (tmp_path / "one").read_bytes()
    evil = _other_history(state, request)
    (tmp_path / "evil").write_bytes(evil)
    ended = desk.cosign("evil")
    assert (ended.code, "two different records" in ended.err) == (3, True)
    assert [*(tmp_path / "witness" / "evidence").iterdir()]


def test_the_witness_says_who_it_is_and_how_far_it_saw(desk: Desk, appliance: Run) -> None:
    """For comparing by telephone."""
    desk.request("one")
    desk.cosign("one")
    value = appliance("audit", "witness", "show", *desk.home, "--json").value
    assert value["witness_key"] == desk.key
    assert value["record_key"] == newest_key(appliance)
    assert value["entries"] > 13
    assert desk.key in appliance("audit", "witness", "show", *desk.home).out


@pytest.mark.parametrize("listen", ["8085", "host:", ":8085", "host:99999", "host:x"])
def test_serving_wants_an_address(desk: Desk, listen: str) -> None:
    """Host and port, or it is wrong usage."""
    words = ("audit", "witness", "serve", "--listen", listen, *desk.home)
    assert desk.appliance(*words).code == 2


def test_a_folder_without_a_witness_is_told(appliance: Run, tmp_path: Path) -> None:
    """With what to do."""
    ended = appliance("audit", "witness", "show", "--witness-state", str(tmp_path))
    assert (ended.code, "witness init" in ended.err) == (1, True)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder of files over what is there."""
    if source.is_dir():
        target.mkdir(exist_ok=True)
        for path in target.iterdir():
            path.unlink()
        for path in source.iterdir():
            _copy(path, target / path.name)
    else:
        target.unlink(missing_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(source.stat().st_mode & 0o777)


def _other_history(state: Path, request: bytes) -> bytes:
    """Return the request with another root of the same size, signed by the record's live key."""
    with sqlite3.connect(state / "audit.db") as database:
        [(origin,)] = database.execute("SELECT value FROM meta WHERE name = 'log'").fetchall()
    database.close()
    [path] = (state / "audit.keys").glob("*.key")
    signer = Signer(origin, Ed25519PrivateKey.from_private_bytes(path.read_bytes()))
    asked = AddCheckpoint.parse(parse_steps(request)[-1].body)
    size = asked.signed.checkpoint.size
    other = signer.sign(Checkpoint(origin, size, bytes(32)))
    return encode_steps([Step(ADD_CHECKPOINT, AddCheckpoint(size, (), other).body())])


def test_json_is_one_document(desk: Desk, appliance: Run) -> None:
    """Programs read what was kept and what the witness said."""
    assert set(json.loads(desk.request("one", "--json").out)) == {"file", "bytes", "witness"}
    desk.cosign("one")
    value = json.loads(desk.answer("one", "--json").out)
    assert set(value) == {"size", "root", "witness", "time", "note"}
