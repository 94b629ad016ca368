"""Each rule of the format broken once, also by somebody who holds every key: found."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulators import auditor, record_forge
from tests.simulators.auditor import TAMPERED, WHOLE, ask, result
from tests.simulators.forgery import Change, all_resigned, database, made, resigned, restated
from tests.simulators.record_forge import Forge, leaf


def odd_bytes(make: Callable[[bytes], bytes]) -> Change:
    """Return a change of entry 523, which no tile and no checkpoint covers, with a fitting head."""

    def change(forge: Forge) -> None:
        data = make(forge.entries[523])
        assert data != forge.entries[523]
        forge.entries[523], forge.leaves[523] = data, leaf(data)

    return change


def field(old: bytes, new: bytes) -> Change:
    return odd_bytes(lambda data: data.replace(old, new, 1))


ENTRIES: dict[str, Change] = {
    "white space": field(b'"v":1', b'"v": 1'),
    "order of keys": odd_bytes(lambda data: b'{"v":1,' + data[1:].replace(b',"v":1', b"")),
    "a key twice": field(b'"v":1', b'"v":1,"v":1'),
    "an escape that is not needed": field(b"usr_1", b"us\\u0072_1"),
    "a fraction": field(b'"latency_ms":1200', b'"latency_ms":1200.0'),
    "an exponent": field(b'"latency_ms":1200', b'"latency_ms":12e2'),
    "a large number": field(b'"latency_ms":1200', b'"latency_ms":9007199254740992'),
    "minus zero": field(b'"latency_ms":1200', b'"latency_ms":-0'),
    "a negative count": field(b'"answer":34', b'"answer":-34'),
    "true for one": field(b'"v":1', b'"v":true'),
    "version 2": field(b'"v":1', b'"v":2'),
    "a key that is not ASCII": field(b'"answer":34', b'"\xc3\xa9":34'),
    "not UTF-8": field(b"usr_1", b"usr\xff1"),
    "a lone surrogate": field(b"usr_1", b"usr\\ud8001"),
    "no object": odd_bytes(lambda data: b"[" + data + b"]"),
    "bytes after it": odd_bytes(lambda data: data + b"\n"),
    "nothing": odd_bytes(lambda _: b""),
    "very deep": odd_bytes(lambda _: b'{"v":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "too long": field(b"usr_1", b"u" * 65_536),
    "a field missing": field(b'"policy":"model-active-and-allowed",', b""),
    "a field more": field(b'"v":1', b'"v":1,"w":1'),
    "a field in agent": field(b'"user":"usr_1"', b'"user":"usr_1","x":1'),
    "no agent": field(b'"agent":{', b'"agent":null,"agenu":{'),
    "a text that is none": field(b'"purpose":"treatment"', b'"purpose":7'),
    "a model without digest": field(b'"digest"', b'"digesu"'),
    "content that is text": field(b'"content":null', b'"content":"x"'),
    "a time without zone": field(b".000Z", b".000"),
    "a type of its own": field(b'"type":"answer"', b'"type":"anzwer"'),
    "an outcome of its own": field(b'"outcome":"success"', b'"outcome":"successs"'),
    "an action in capitals": field(b"answer.complete", b"answer.COMPLETE"),
    "another log": field(b'"log":"ward/', b'"log":"warp/'),
    "another number": field(b'"seq":523', b'"seq":524'),
    "another link": odd_bytes(lambda data: data.replace(b'"prev":"', b'"prev":"00', 1)),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_has_exactly_one_form(name: str, tmp_path: Path) -> None:
    """A second spelling, a missing or added field, or a value of another kind is tampering."""
    forge = made()
    ENTRIES[name](forge)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[:2] == (TAMPERED, 523)


def test_a_link_to_another_entry_is_found(tmp_path: Path) -> None:
    """The entry that a wrong link points past is named."""
    forge = made()
    field(b'"prev":"', b'"prev":"')  # the form stays; only the hash is another one
    data = forge.entries[523]
    at = data.index(b'"prev":"') + 8
    forge.entries[523] = data[:at] + b"00" * 32 + data[at + 64 :]
    forge.leaves[523] = leaf(forge.entries[523])
    assert result(database(forge, tmp_path), "--key", forge.key(0))[:2] == (TAMPERED, 522)


EPOCHS: dict[str, Change] = {
    "a number left out": lambda f: restated(
        f, 299, content={"epoch": 2, "key": f.key(1), "previous": f.key(0)}
    ),
    "another key before": lambda f: restated(
        f, 299, content={"epoch": 1, "key": f.key(1), "previous": f.key(2)}
    ),
    "a key that is in no list": lambda f: restated(
        f, 299, content={"epoch": 1, "key": f.key(2), "previous": f.key(0)}
    ),
    "no content": lambda f: restated(f, 299, content=None),
    "one more field": lambda f: restated(
        f, 299, content={"epoch": 1, "key": f.key(1), "previous": f.key(0), "by": "me"}
    ),
    "a hand-over that failed": lambda f: restated(f, 299, outcome="failure"),
    "no hand-over": lambda f: restated(f, 299, action="record.read"),
}


@pytest.mark.parametrize("name", EPOCHS)
def test_a_hand_over_states_number_and_both_keys(name: str, tmp_path: Path) -> None:
    """Whoever signs a false hand-over with all stolen keys still breaks the rules of one."""
    forge = made()
    EPOCHS[name](forge)
    all_resigned(forge)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[:2] == (TAMPERED, 299)


CHECKPOINTS: dict[str, Change] = {
    "the closing one is missing": lambda f: f.notes.pop(300),
    "signed with the key of the next epoch": lambda f: resigned(f, 300, 1),
    "signed with the key of the epoch before": lambda f: resigned(f, 520, 0),
    "under another size": lambda f: f.notes.update({521: f.notes.pop(520)}),
    "of another log": lambda f: f.notes.update(Forge(log="x").add(200).checkpoint().notes),
    "not a note": lambda f: f.notes.update({200: "nothing"}),
    "two signatures": lambda f: f.notes.update({200: record_forge.cosigned(f.notes[200], 1)}),
    "beyond the end": lambda f: f.notes.update({900: f.notes[520]}),
    "an epoch that no entry opens": lambda f: f.handovers.append((2, 522, f.key(2))),
    "an epoch left out of the list": lambda f: f.handovers.pop(),
    "a hand-over without a place": lambda f: f.handovers.append((2, None, f.key(2))),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_and_the_list_of_epochs_fit_the_entries(name: str, tmp_path: Path) -> None:
    """One that is missing, false, or of another place is tampering."""
    forge = made()
    CHECKPOINTS[name](forge)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[0] == TAMPERED


STATEMENTS = {
    "an entry deleted": ("DELETE FROM entries WHERE seq = 300", 300),
    "the last entry deleted": ("DELETE FROM entries WHERE seq = 523", 523),
    "an entry added": ("INSERT INTO entries VALUES (524, x'7b7d')", 524),
    "a negative number": ("INSERT INTO entries VALUES (-1, x'7b7d')", -1),
    "a tile changed": ("UPDATE tiles SET hashes = zeroblob(8192) WHERE idx = 1", 256),
    "a tile deleted": ("DELETE FROM tiles WHERE idx = 1", 256),
    "a tile added": ("INSERT INTO tiles VALUES (1, 0, zeroblob(8192))", None),
    "the head's leaf": ("UPDATE head SET leaf = zeroblob(32)", 523),
    "the head's frontier": ("UPDATE head SET frontier = zeroblob(32)", 523),
    "the head's size": ("UPDATE head SET size = 525", 524),
    "a smaller head": ("UPDATE head SET size = 500", 500),
    "no head": ("DELETE FROM head", None),
    "a prune that nothing states": ("UPDATE head SET pruned = 256", 0),
    "a prune within a tile": ("UPDATE head SET pruned = 100", None),
    "another log": ("UPDATE meta SET value = 'x' WHERE name = 'log'", None),
    "another first key": ("UPDATE meta SET value = 'x' WHERE name = 'key'", None),
    "another version": ("UPDATE meta SET value = '1' WHERE name = 'schema'", None),
    "one more fact": ("INSERT INTO meta VALUES ('note', 'x')", None),
    "a trigger dropped": ("DROP TRIGGER head_no_delete", None),
    "a table added": ("CREATE TABLE more (one INTEGER)", None),
    "an index added": ("CREATE INDEX more ON entries (entry)", None),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_table_is_exactly_what_the_format_says(name: str, tmp_path: Path) -> None:
    """Whoever can write the file can drop the triggers; what they then change is found."""
    forge = made()
    schema = auditor.schema()
    path = forge.database(tmp_path / "audit.db", {k: v for k, v in schema.items() if "TABLE" in v})
    statement, entry = STATEMENTS[name]
    connection = sqlite3.connect(path, isolation_level=None)
    if statement.startswith("DROP"):
        schema.pop(statement.split()[-1])
    else:
        connection.execute(statement)
    for sql in schema.values():
        if sql.startswith("CREATE TRIGGER"):
            connection.execute(sql)
    connection.close()
    assert result(path, "--key", forge.key(0))[:2] == (TAMPERED, entry)


def unsigned_prune(forge: Forge) -> None:
    forge.prune(256)
    del forge.notes[forge.size]


def false_root(forge: Forge) -> None:
    forge.by_ledger("record.prune", {"before": 256, "root": "00" * 32, "basis": "x"}).checkpoint()


def prune_of_the_future(forge: Forge) -> None:
    forge.by_ledger("record.prune", {"before": 5_120, "root": "00" * 32, "basis": "x"})


def without_its_hand_over(forge: Forge) -> None:
    forge.prune(512)
    del forge.entries[299]


@pytest.mark.parametrize(
    ("attack", "entry"),
    [(unsigned_prune, 0), (false_root, 524), (prune_of_the_future, 524),
     (without_its_hand_over, 299)],
)  # fmt: skip
def test_entries_go_only_under_a_signed_statement(
    attack: Change, entry: int, tmp_path: Path
) -> None:
    """A prefix is missing lawfully only if a signed entry with the right root let it go."""
    forge = made()
    attack(forge)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[:2] == (TAMPERED, entry)


FILES = ["checkpoint", "keys", "checkpoints/200", "checkpoints/300", "tile/0/000", "tile/0/001",
         "tile/0/002.p/8", "tile/1/000.p/2", "tile/entries/000", "tile/entries/001",
         "tile/entries/002.p/8"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["changed", "cut", "longer", "missing"])
def test_each_file_of_an_export_counts(name: str, how: str, tmp_path: Path) -> None:
    """One bit, one byte less or more, or the file gone: never whole."""
    forge = made()
    folder = forge.export(tmp_path / "x")
    assert ask(folder, "--key", forge.key(0))["exit"] == WHOLE
    file = folder / name
    data = file.read_bytes()
    middle = len(data) // 2
    changed = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes({"changed": changed, "cut": data[:-1], "longer": data + b"x"}[how])
    report = ask(folder, "--key", forge.key(0))
    harmless = (name, how) == ("checkpoints/200", "missing")
    assert (report["exit"] == WHOLE) == harmless
    shutil.rmtree(folder)
