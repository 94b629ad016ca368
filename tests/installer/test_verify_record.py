"""The stand-alone verifier on whole records: what it proves, and what it says it cannot prove."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.simulators import auditor, record_forge
from tests.simulators.auditor import BAD_INPUT, INCOMPLETE, TAMPERED, WHOLE, ask, result
from tests.simulators.record_forge import WITNESS, Forge, cosigned, packed, secret, verifier_key


@pytest.fixture(scope="module")
def forge() -> Forge:
    """A record of three epochs: signed up to 471, six entries in the unsealed tail."""
    forge = Forge().by_ledger("appliance.init", {"key": Forge().key(0)}).add(99).checkpoint()
    forge.add(150).checkpoint().add(20).hand_over().add(99).hand_over().add(100).checkpoint()
    return forge.add(6)


@pytest.fixture(scope="module")
def database(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.database(tmp_path_factory.mktemp("db") / "audit.db", auditor.schema())


@pytest.fixture(scope="module")
def folder(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.export(tmp_path_factory.mktemp("tiles"))


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_whole_database_is_whole_in_three_ranges(
    forge: Forge, database: Path, tmp_path: Path
) -> None:
    """Up to the older checkpoint anchored, up to the newest signed, the rest an unsealed tail."""
    anchor = written(tmp_path / "old", forge.notes[250])
    report = ask(database, "--key", forge.key(0), "--anchor", anchor)
    found = [(row["range"], row["first"], row["last"]) for row in report["ranges"]]
    signed = max(forge.notes)
    assert (report["exit"], report["result"], report["entries"]) == (WHOLE, "whole", forge.size)
    assert found == [
        ("anchored", 0, 249), ("signed", 250, signed - 1), ("unsealed", signed, forge.size - 1),
    ]  # fmt: skip
    assert report["ranges"][0]["to"] == "2026-03-01T08:04:09.000Z"
    assert report["ranges"][1]["from"] == "2026-03-01T08:04:10.000Z"


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_whole_export_is_whole(forge: Forge, folder: Path, form: str, tmp_path: Path) -> None:
    """The tiles export proves as much as the database, up to the newest checkpoint."""
    record = folder if form == "folder" else packed(folder, tmp_path / "export.tar")
    report = ask(record, "--key", forge.key(0))
    assert (report["exit"], report["entries"]) == (WHOLE, max(forge.notes))


def test_it_says_who_held_the_keys_when(forge: Forge, database: Path) -> None:
    """Each epoch is listed with its key, the entries it covers, and their times."""
    rows = ask(database, "--key", forge.key(0))["epochs"]
    assert [(row["epoch"], row["key"]) for row in rows] == [(n, forge.key(n)) for n in range(3)]
    assert [(row["first"], row["last"]) for row in rows] == [(0, 270), (271, 370), (371, None)]
    assert [row["checkpoints"] for row in rows] == [3, 1, 1]
    assert (rows[1]["from"], rows[1]["to"]) == (
        "2026-03-01T08:04:31.000Z",
        "2026-03-01T08:06:10.000Z",
    )


def test_without_a_key_from_elsewhere_nothing_is_whole(database: Path) -> None:
    """The record's own key proves nothing, so the result is incomplete and says why."""
    report = ask(database)
    assert (report["exit"], report["key"]) == (INCOMPLETE, "taken from the record")
    assert "no key was given" in report["incomplete"][0]


def test_without_an_anchor_it_says_what_is_not_proved(forge: Forge, database: Path) -> None:
    """Whole, but an older copy would look the same, and the report says so."""
    report = ask(database, "--key", forge.key(0))
    assert report["exit"] == WHOLE
    assert any("older copy" in remark for remark in report["remarks"])


def test_another_first_key_is_another_record(forge: Forge, database: Path) -> None:
    """A record that begins with another key than the one on paper is not that record."""
    code, entry, what = result(database, "--key", Forge(seed="other").key(0))
    assert (code, entry) == (TAMPERED, None)
    assert forge.key(0) in what


def test_all_keys_of_an_earlier_check_are_held_against_the_record(
    forge: Forge, database: Path, tmp_path: Path
) -> None:
    """A list of keys is a list of anchors for keys: another one, or one more, is tampering."""
    keys = [forge.key(number) for number in range(4)]
    for lines, code in ((keys[:3], WHOLE), ([keys[0], keys[2]], TAMPERED), (keys, TAMPERED)):
        file = written(tmp_path / "keys", "\n".join(lines))
        assert result(database, "--keys", file)[0] == code


def test_a_witness_is_named_with_the_time_it_stated(
    forge: Forge, database: Path, tmp_path: Path
) -> None:
    """A co-signature dates the anchor; a false one is tampering."""
    key = verifier_key(secret(WITNESS), WITNESS, 4)
    anchor = written(tmp_path / "a", cosigned(forge.notes[250], 1_790_000_000))
    given = [database, "--key", forge.key(0), "--anchor", anchor, "--witness", key]
    seen = [{"witness": WITNESS, "time": "2026-09-21T14:13:20Z"}]
    assert ask(*given)["anchors"][0]["cosigned"] == seen
    lines = cosigned(forge.notes[100], 1_790_000_000).splitlines()
    written(anchor, forge.notes[250] + lines[-1] + "\n")
    assert result(*given)[0] == TAMPERED


def test_pruned_entries_are_vouched_for_by_their_tiles(tmp_path: Path) -> None:
    """A recorded prune leaves everything provable, also the keys handed over in what is gone."""
    forge = Forge().add(300).hand_over().add(250).checkpoint().prune(512)
    anchor = written(tmp_path / "old", forge.notes[301])
    records = forge.database(tmp_path / "audit.db", auditor.schema()), forge.export(tmp_path / "x")
    for record in records:
        report = ask(record, "--key", forge.key(0), "--anchor", anchor)
        assert (report["exit"], report["pruned"], report["entries"]) == (WHOLE, 512, forge.size)
        assert [row["epoch"] for row in report["epochs"]] == [0, 1]


def test_entries_of_a_prune_under_way_may_still_be_there(tmp_path: Path) -> None:
    """Deleting takes a while; what is not deleted yet is checked against its tile."""
    forge = Forge().add(600)
    late = {seq: forge.entries[seq] for seq in range(400, 512)}
    forge.prune(512)
    forge.entries |= late
    path = forge.database(tmp_path / "a.db", auditor.schema())
    assert result(path, "--key", forge.key(0)) == (WHOLE, None, "")
    forge.entries[450] = forge.entries[450].replace(b"usr_1", b"usr_2")
    path = forge.database(tmp_path / "b.db", auditor.schema())
    assert result(path, "--key", forge.key(0))[:2] == (TAMPERED, 450)


@pytest.mark.parametrize(
    ("count", "step_s", "code"),
    [(2_000, 0, WHOLE), (2_001, 0, INCOMPLETE), (601, 1, WHOLE), (602, 1, INCOMPLETE)],
)
def test_a_long_unsealed_tail_is_incomplete(
    tmp_path: Path, count: int, step_s: int, code: int
) -> None:
    """More than 2,000 entries or ten minutes unsigned: the appliance does not leave so much."""
    forge = Forge().add(1).checkpoint()
    if step_s:
        forge.add(count)
    else:
        forge.add(count, t="2026-03-01T08:00:00.000Z")
    path = forge.database(tmp_path / "audit.db", auditor.schema())
    assert ask(path, "--key", forge.key(0))["exit"] == code


def test_a_record_that_nothing_signs_is_incomplete(tmp_path: Path) -> None:
    """Without one checkpoint there is nothing that a key vouches for."""
    for number, forge in enumerate((Forge(), Forge().add(3))):
        path = forge.database(tmp_path / f"{number}.db", auditor.schema())
        assert ask(path, "--key", forge.key(0))["exit"] == INCOMPLETE


def test_a_hand_over_that_no_checkpoint_closes_yet_is_no_fault(tmp_path: Path) -> None:
    """A copy taken between an entry and its checkpoint is whole; a further entry is not."""
    forge = Forge().add(5).checkpoint().add(1).hand_over()
    del forge.notes[7]
    path = forge.database(tmp_path / "a.db", auditor.schema())
    assert result(path, "--key", forge.key(0)) == (WHOLE, None, "")
    path = forge.add(1).database(tmp_path / "b.db", auditor.schema())
    code, entry, what = result(path, "--key", forge.key(0))
    assert (code, entry) == (TAMPERED, 6)
    assert "checkpoint that closes" in what


def test_entries_in_the_side_log_are_read_and_nothing_is_changed(
    forge: Forge, tmp_path: Path
) -> None:
    """A copy with its write-ahead log counts what is in there; neither file is touched."""
    path = forge.database(tmp_path / "audit.db", auditor.schema())
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE more (one INTEGER)")
    writer.commit()
    files = [path, tmp_path / "audit.db-wal"]
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    code, _, what = result(path, "--key", forge.key(0))
    assert (code, "'more'" in what) == (TAMPERED, True)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before
    writer.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["{missing}"], ["{text}"], ["{empty}"], ["{text}", "--key", "nonsense"],
        ["{db}", "--anchor", "{text}"], ["{db}", "--keys", "{text}"], ["{db}", "--keys", "{empty}"],
        ["--receipt", "{text}"], ["{db}", "--key", "{key}", "--witness", "{key}"], [],
        ["{db}", "--key", "{other}", "--anchor", "{old}"], ["--anchor", "{old}"],
    ],
)  # fmt: skip
def test_what_is_no_record_key_checkpoint_or_receipt_is_bad_input(
    forge: Forge, database: Path, tmp_path: Path, arguments: list[str]
) -> None:
    """Exit 2 says that nothing was found out about the record."""
    names = {
        "missing": tmp_path / "no-such-file",
        "text": written(tmp_path / "text", "not what was expected\n"),
        "empty": written(tmp_path / "empty", ""),
        "old": written(tmp_path / "old", forge.notes[100]),
        "db": database,
        "key": forge.key(0),
        "other": Forge(log="other").key(0),
    }
    code, _, what = result(*(argument.format(**names) for argument in arguments))
    assert code == BAD_INPUT
    assert what


def test_a_long_record_is_held_in_little_memory() -> None:
    """Of 65,536 entries the tree keeps one unfilled tile per level, and 32 bytes for every 256."""
    tree = auditor.VERIFIER.Tree()
    leaves = [record_forge.leaf(b"%d" % number) for number in range(65_536)]
    for leaf in leaves:
        tree.add(leaf)
    assert tree.root() == record_forge.root(leaves)
    assert (len(tree.past), [len(row) for row in tree.levels]) == (8_192, [0, 0, 1])
