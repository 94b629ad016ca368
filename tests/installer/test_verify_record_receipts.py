"""Receipts: one entry is proved to whoever has the first key, and no other entry is shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.simulators import auditor, record_forge
from tests.simulators.auditor import BAD_INPUT, INCOMPLETE, TAMPERED, WHOLE, ask, result
from tests.simulators.record_forge import Forge, leaf


@pytest.fixture(scope="module")
def forge() -> Forge:
    """Three epochs; checkpoints at 40, 51 (closing), 102 (closing) and 121."""
    forge = Forge().add(40).checkpoint().add(10).hand_over().add(50).hand_over()
    return forge.add(19).checkpoint()


def written(folder: Path, text: str, name: str = "receipt.tlog-proof") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("size", [40, 51])
@pytest.mark.parametrize("seq", [0, 1, 7, 31, 32, 38, 39])
def test_a_receipt_proves_one_entry_with_the_first_key_alone(
    forge: Forge, tmp_path: Path, seq: int, size: int
) -> None:
    """The entry is shown; number, inclusion and signature hold."""
    file = written(tmp_path, forge.receipt(seq, size))
    report = ask("--receipt", file, "--key", forge.key(0))
    assert (report["exit"], report["receipt"]["entry"]) == (WHOLE, seq)
    assert report["receipt"]["states"]["entity"] == f"msg_{seq}"


def test_a_receipt_of_a_later_epoch_needs_its_key(forge: Forge, tmp_path: Path) -> None:
    """By the hand-overs, by a list of keys, or by the record; with less it is incomplete."""
    file = written(tmp_path, forge.receipt(110))
    hand_overs: list[object] = []
    for number, size in ((1, 51), (2, 102)):
        text = forge.receipt(size - 1, size)
        hand_overs += ["--handover", written(tmp_path, text, f"{number}")]
    key = ["--receipt", file, "--key", forge.key(0)]
    keys = written(tmp_path, "\n".join(forge.key(number) for number in range(3)), "keys")
    record = forge.database(tmp_path / "audit.db", auditor.schema())
    assert ask(*key)["exit"] == INCOMPLETE
    assert ask("--receipt", file)["exit"] == INCOMPLETE
    assert ask(*key, *hand_overs)["exit"] == WHOLE
    assert ask(*key, *hand_overs[:2])["exit"] == INCOMPLETE
    assert ask(*key, *hand_overs[2:])["exit"] == TAMPERED, "the first hand-over is left out"
    assert ask("--receipt", file, "--keys", keys)["exit"] == WHOLE
    assert ask(record, *key)["exit"] == WHOLE
    assert ask("--receipt", file, *hand_overs)["exit"] == BAD_INPUT


def test_a_key_counts_only_for_its_own_epoch(forge: Forge, tmp_path: Path) -> None:
    """Who holds today's key cannot sign a receipt over a size of yesterday, nor the reverse."""
    made = Forge().add(40).checkpoint().add(10).hand_over().add(5)
    hand_over = written(tmp_path, made.receipt(50, 51), "handover")
    late = written(tmp_path, made.checkpoint(epoch=0).receipt(53), "late")
    early = Forge().add(40)
    early.checkpoint(epoch=1)
    soon = written(tmp_path, early.receipt(10), "soon")
    for file in (late, soon):
        given = ["--receipt", file, "--key", forge.key(0), "--handover", hand_over]
        assert "another epoch" in result(*given)[2]


def test_a_receipt_that_the_record_does_not_hold_shows_a_changed_record(
    forge: Forge, tmp_path: Path
) -> None:
    """With the record beside it, the receipt's checkpoint is an anchor like any other."""
    other = Forge().add(40, purpose="test").checkpoint().add(10).hand_over().add(80).checkpoint()
    file = written(tmp_path, forge.receipt(5, 40))
    record = other.database(tmp_path / "audit.db", auditor.schema())
    assert result(record, "--receipt", file, "--key", forge.key(0))[0] == TAMPERED


def changed(forge: Forge, old: bytes, new: bytes) -> str:
    entry = forge.entries[5]
    assert old in entry
    before, after = (base64.b64encode(data).decode() for data in (entry, entry.replace(old, new)))
    return forge.receipt(5, 40).replace(before, after)


def test_a_false_receipt_is_tampering(forge: Forge, tmp_path: Path) -> None:
    """Another entry, number, hash, size, signature, or a proof of another length."""
    good = forge.receipt(5, 40)
    lines = good.split("\n")
    hash_line, signature = lines[3], lines[-2]
    other_hash = base64.b64encode(leaf(b"x")).decode()
    other_signature = forge.notes[51].split("\n")[-2]
    false = [
        changed(forge, b"usr_1", b"usr_2"),
        changed(forge, b'"v":1', b'"v": 1'),
        good.replace("index 5\n", "index 6\n"),
        good.replace(hash_line, other_hash),
        good.replace(hash_line + "\n", ""),
        good.replace(hash_line, hash_line + "\n" + hash_line),
        good.replace("\n40\n", "\n41\n"),
        good.replace("\n40\n", "\n5\n"),
        good.replace(signature, other_signature),
    ]
    for text in false:
        assert text != good
        assert ask("--receipt", written(tmp_path, text), "--key", forge.key(0))["exit"] == TAMPERED
    assert ask("--receipt", written(tmp_path, good), "--key", forge.key(0))["exit"] == WHOLE


def test_a_receipt_of_another_log_is_refused(forge: Forge, tmp_path: Path) -> None:
    """A key for one ward proves nothing about another."""
    file = written(tmp_path, forge.receipt(5, 40))
    assert result("--receipt", file, "--key", Forge(log="other").key(0))[:2] == (TAMPERED, 5)


def test_what_cannot_be_read_as_a_receipt_is_bad_input(forge: Forge, tmp_path: Path) -> None:
    """A missing line, a letter that is not base64, a number with a zero before it."""
    good = forge.receipt(5, 40)
    hash_line = good.split("\n")[3]
    for old, new in [
        ("@v1", "@v2"), ("index 5", "index 05"), ("index 5", "index -5"), ("index 5", "place 5"),
        ("extra ", "extra !"), (hash_line, hash_line[:-4]), (hash_line, hash_line + " "),
        (hash_line + "\n", (hash_line + "\n") * 65), ("\n\nward", "\nward"), ("\n40\n", "\n040\n"),
        ("\N{EM DASH}", "-"), ("\n40\n", "\n40\nextension\n"),
    ]:  # fmt: skip
        text = good.replace(old, new, 1)
        assert text != good
        code, _, what = result("--receipt", written(tmp_path, text), "--key", forge.key(0))
        assert (code, what[:3]) == (BAD_INPUT, "not")


def test_every_size_and_every_place_is_proved(forge: Forge) -> None:
    """The path to the root is right for all trees of up to 40 leaves, in all places."""
    for size in range(1, 41):
        root = record_forge.root(forge.leaves[:size])
        for seq in range(size):
            proof = record_forge.path(seq, forge.leaves[:size])
            found = auditor.VERIFIER.root_of_proof(forge.leaves[seq], seq, size, proof)
            assert found == root
