"""The record at the command line: read it, verify it, take it along, and see tampering named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.cli import writing
from appliance.errors import ConflictError
from tests.cli.conftest import Run
from tests.cli.recorded import MADE


def tamper(path: Path, text: bytes) -> None:
    """Flip one bit of the first place where `text` stands."""
    data = bytearray(path.read_bytes())
    data[data.index(text) + 1] ^= 1
    path.write_bytes(data)


def test_verify_says_whole_with_count_and_head(appliance: Run) -> None:
    """A whole record is exit 0, and its size and head are printed."""
    ended = appliance("audit", "verify")
    assert ended.code == 0
    assert ended.out.startswith(f"whole: {MADE} entries, the first of ")
    assert "\nhead " in ended.out


def test_verify_is_itself_recorded(appliance: Run) -> None:
    """Whoever verifies leaves an entry that says so and how many entries there were."""
    assert appliance("audit", "verify", "--json").value["recorded"] is True
    entry = appliance("audit", "list", "--action", "record.verify", "--json").value["entries"][-1]
    assert (entry["outcome"], entry["content"]) == (
        "success",
        {"entries": MADE, "signed": MADE, "anchored": 0},
    )


def test_one_flipped_bit_is_exit_3_and_names_the_entry(appliance: Run, state: Path) -> None:
    """The first bad entry is named, for people and for programs."""
    tamper(state / "audit.db", b'"publisher.trust","agent"')
    ended = appliance("audit", "verify")
    assert ended.code == 3
    assert ended.err.splitlines()[-2].startswith("error: entry 6 of the record is not as it was")
    error = json.loads(appliance("audit", "verify", "--json").err.splitlines()[-1])["error"]
    assert (error["code"], error["entry"]) == ("record_tampered", 6)


def test_a_failed_verification_says_that_it_was_not_recorded(appliance: Run, state: Path) -> None:
    """Nothing is added to a record that is not whole, and the person learns that."""
    tamper(state / "audit.db", b'"publisher.trust","agent"')
    assert "this verification was not recorded" in appliance("audit", "verify").err


def test_a_copy_can_be_verified_elsewhere(appliance: Run, state: Path, tmp_path: Path) -> None:
    """A copy on another medium is verified without a state folder and without an entry."""
    copy = tmp_path / "copy.db"
    copy.write_bytes((state / "audit.db").read_bytes())
    assert appliance("audit", "verify", "--file", str(copy)).code == 0
    tamper(copy, b'"publisher.trust","agent"')
    assert appliance("audit", "verify", "--file", str(copy)).code == 3
    assert appliance("audit", "verify").out.startswith(f"whole: {MADE} entries")


def test_list_shows_the_newest_last(appliance: Run) -> None:
    """The last line on screen is the newest entry."""
    entries = appliance("audit", "list", "--limit", "3", "--json").value["entries"]
    assert [entry["seq"] for entry in entries] == [MADE - 3, MADE - 2, MADE - 1]


def test_list_pages_back(appliance: Run) -> None:
    """What is older is named and can be asked for."""
    page = appliance("audit", "list", "--limit", "3", "--json").value
    older = appliance(
        "audit", "list", "--limit", "1", "--before", str(page["next_before"]), "--json"
    )
    assert older.value["entries"][0]["seq"] == MADE - 4


def test_list_finds_a_person_by_name(appliance: Run) -> None:
    """The record holds account ids; a person types a name."""
    appliance("key", "create", "--user", "demo")
    demo = next(
        item for item in appliance("user", "list", "--json").value if item["name"] == "demo"
    )
    entries = appliance("audit", "list", "--entity", demo["id"], "--json").value["entries"]
    assert [entry["action"] for entry in entries] == ["user.add"]
    assert " demo" in appliance("audit", "list", "--action", "user.add").out


def test_export_ndjson_is_the_stored_bytes(appliance: Run) -> None:
    """Each line is an entry as it was hashed, from the first on."""
    ended = appliance("audit", "export", "--format", "ndjson")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["seq"] for line in lines[:13]] == list(range(13))


def test_export_to_a_file_appears_whole(appliance: Run, tmp_path: Path) -> None:
    """The file is named, with its size, and holds a heading and every entry."""
    out = tmp_path / "record.csv"
    value = appliance("audit", "export", "--format", "csv", "--out", str(out), "--json").value
    assert value["bytes"] == out.stat().st_size
    assert out.read_text().startswith("seq,leaf,t,")


def test_export_never_replaces_a_file(appliance: Run, tmp_path: Path) -> None:
    """A file that exists is left as it is, and nothing is exported."""
    out = tmp_path / "record.csv"
    out.write_text("mine")
    ended = appliance("audit", "export", "--format", "csv", "--out", str(out))
    assert ended.code == 1
    assert out.read_text() == "mine"


def test_a_failed_export_leaves_no_file(tmp_path: Path) -> None:
    """When the source breaks midway, neither the file nor a part of it remains."""

    def broken() -> object:
        yield b"half"
        raise ConflictError("gone")

    with pytest.raises(ConflictError):
        writing.write_pieces(tmp_path / "out", broken())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--action", "answer.complet"), "answer.complete"),
        (("--outcome", "sucess"), "success"),
        (("--role", "audit"), "auditor"),
    ],
)
def test_a_typo_is_not_taken_for_nothing_found(
    appliance: Run, words: tuple[str, ...], meant: str
) -> None:
    """A filter that no entry can ever match is refused, with what may have been meant."""
    ended = appliance("audit", "list", *words)
    assert ended.code == 2
    assert meant in ended.err


def test_a_file_that_is_no_record_is_not_called_tampered(appliance: Run, tmp_path: Path) -> None:
    """A receipt given by mistake is wrong usage, and the person learns which file is meant."""
    (tmp_path / "answer.tlog-proof").write_text("c2sp.org/tlog-proof@v1\n")
    ended = appliance("audit", "verify", "--file", str(tmp_path / "answer.tlog-proof"))
    assert ended.code == 2
    assert "audit.db" in ended.err


def test_an_export_that_never_began_leaves_no_intent(appliance: Run, tmp_path: Path) -> None:
    """Each intent of an export has its outcome, also when the file cannot be made."""
    assert appliance("audit", "export", "--format", "csv", "--out", str(tmp_path)).code != 0
    missing = tmp_path / "none" / "x.csv"
    assert appliance("audit", "export", "--format", "csv", "--out", str(missing)).code != 0
    listed = appliance("audit", "list", "--action", "record.export", "--json").value["entries"]
    outcomes = [entry["outcome"] for entry in listed]
    assert outcomes.count("intent") == len(outcomes) - outcomes.count("intent")
