"""`model` and `trust` on the command line: what they print, ask, and leave in the record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import config
from appliance.assembly import assemble
from appliance.operations.imports import Imports
from tests.cli.conftest import Run
from tests.cli.recorded import entries
from tests.simulators.bundle_forge import BundleForge, two_of_three
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.library_site import STEWARD

EXPIRES = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=30)


@pytest.fixture
def forge(tmp_path: Path, appliance: Run) -> BundleForge:
    """A publisher's desk whose root is trusted here as `acme`."""
    desk = BundleForge(tmp_path / "desk")
    root = tmp_path / "1.root.json"
    root.write_bytes(desk.roots[0])
    fingerprint = hashlib.sha256(desk.roots[0]).hexdigest()
    assert appliance("trust", "add", "acme", str(root), "--fingerprint", fingerprint).code == 0
    return desk


@pytest.fixture
def tiny(forge: BundleForge, state: Path) -> Iterator[BundleForge]:
    """The publisher's model `tiny` 1.0, imported by a colleague and tried with one failure."""
    bundle = forge.good(expires=EXPIRES)
    parts = assemble(config.load(state))
    try:
        (model,) = Imports(parts, None).import_bundle(STEWARD, [bundle])
        mark_evaluated(parts, model, passed=3, failed=1)
    finally:
        parts.close()
    return forge


def test_a_model_goes_its_whole_way(appliance: Run, tiny: BundleForge, state: Path) -> None:
    """Approve, activate, go back, beside, pin, unpin, retire; each says what comes next."""
    shown = appliance("model", "show", "tiny")
    assert "3 passed, 1 failed" in shown.out
    assert "next: another person" in shown.err
    refused = appliance("model", "approve", "tiny")
    assert refused.code == 1
    assert "1 of 4 prompts did not pass" in refused.err
    approved = appliance("model", "approve", "tiny", "--accept-failed", "1")
    assert "next: appliance model activate tiny --version 1.0" in approved.err
    assert appliance("model", "activate", "tiny").out == "tiny 1.0 answers from now on\n"
    assert appliance("model", "rollback").out == "demo 1.0 answers from now on\n"
    second = appliance("model", "activate", "tiny", "--beside")
    assert second.out == "tiny 1.0 answers when asked by its name, from now on\n"
    assert [item["beside"] for item in appliance("model", "list", "--json").value] == [False, True]
    assert appliance("model", "release", "tiny").out == "tiny 1.0 does not answer any more\n"
    pinned = appliance("model", "pin", "tiny", "--reason", "study 1/26")
    assert "next: appliance model unpin tiny" in pinned.err
    words = ("model", "retire", "tiny", "--version", "1.0", "--reason", "unused", "--yes")
    assert "is pinned to 1.0" in appliance(*words).err
    assert appliance("model", "list", "--json").value[-1]["pinned"] is True
    assert appliance("model", "unpin", "tiny").code == 0
    retired = appliance(*words, "--delete-weights")
    assert "its weights are deleted" in retired.err
    for action in (
        "model.approve", "model.activate", "model.rollback", "model.release", "model.pin",
        "model.unpin",
        "model.retire",
    ):  # fmt: skip
        assert [e["outcome"] for e in entries(state, action)][-2:] == ["intent", "success"], action


def test_retiring_asks_first(appliance: Run, tiny: BundleForge) -> None:
    """Where nobody can type, only --yes is a yes."""
    ended = appliance("model", "retire", "tiny", "--version", "1.0", "--reason", "unused")
    assert ended.code == 2
    assert "give --yes" in ended.err
    assert appliance("model", "show", "tiny", "--json").value["state"] == "evaluated"


def test_an_export_prints_how_to_check_it(
    appliance: Run, tiny: BundleForge, tmp_path: Path
) -> None:
    """The printed command names the files that are there."""
    folder = tmp_path / "out"
    ended = appliance("model", "export", "tiny", str(folder))
    assert ended.code == 0, ended.err
    check = ended.err[ended.err.index("model_signing verify key") :].split()
    assert all(Path(word).exists() for word in check[3::2])
    again = appliance("model", "export", "tiny", str(folder))
    assert (again.code, "holds something already" in again.err) == (1, True)


def test_an_export_goes_to_the_folder_that_was_named_or_nowhere(
    appliance: Run, tiny: BundleForge, tmp_path: Path
) -> None:
    """A link, a dangling one too, is refused at once; a way through the folder itself works."""
    real, link, dangling = (tmp_path / name for name in ("real", "link", "dangling"))
    real.mkdir()
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "elsewhere")
    for place in (link, dangling):
        ended = appliance("model", "export", "tiny", str(place))
        assert (ended.code, "is a link" in ended.err) == (1, True)
    assert not list(tmp_path.glob(".*.new"))
    assert appliance("model", "export", "tiny", f"{real}/../real").code == 0
    assert (real / "model" / "card.toml").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("verb", ["add", "rotate"])
def test_a_pipe_for_a_root_keeps_nobody_waiting(
    appliance: Run, tiny: BundleForge, tmp_path: Path, verb: str
) -> None:
    """A stick may hold a pipe under the name of a root; it is not waited for."""
    pipe = tmp_path / "2.root.json"
    os.mkfifo(pipe)
    more = ("--fingerprint", "00" * 32) if verb == "add" else ()
    ended = appliance("trust", verb, "acme", str(pipe), *more)
    assert (ended.code, "is no plain file" in ended.err) == (2, True)


def test_a_publisher_that_is_revoked_stops_its_models(
    appliance: Run, tiny: BundleForge, state: Path
) -> None:
    """The models that will stop are named first, then they are quarantined, each recorded."""
    words = ("trust", "revoke", "acme", "--reason", "keys stolen")
    asked = appliance(*words)
    assert asked.code == 2
    assert "this stops: tiny 1.0" in asked.err
    ended = appliance(*words, "--yes")
    assert "tiny 1.0 is quarantined" in ended.out
    assert "no, since" in appliance("trust", "list").out
    assert appliance("trust", "list", "--json").value[0]["revoked_by"].startswith("os:")
    assert len(entries(state, "model.quarantine")) == 2
    refused = appliance("bundle", "inspect", str(tiny.desk / "bundle"))
    assert refused.code == 3
    assert "demo" in appliance("model", "list").out


def test_new_keys_are_read_from_a_folder_or_a_file(
    appliance: Run, forge: BundleForge, tmp_path: Path
) -> None:
    """Roots are found by their names; other files in the folder are left alone."""
    forge.rotate(two_of_three())
    folder = tmp_path / "metadata"
    folder.mkdir()
    (folder / "timestamp.json").write_text("{}")
    assert "no root lies there" in appliance("trust", "rotate", "acme", str(folder)).err
    (folder / "2.root.json").write_bytes(forge.roots[1])
    ended = appliance("trust", "rotate", "acme", str(folder))
    assert ended.out == "acme is followed to root 2\n"
    again = appliance("trust", "rotate", "acme", str(folder / "2.root.json"))
    assert (again.code, "none that follows it" in again.err) == (1, True)
    wrong = appliance("trust", "rotate", "acme", str(folder / "timestamp.json"))
    assert wrong.code == 2
