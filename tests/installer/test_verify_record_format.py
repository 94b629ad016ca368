"""record-format.md, its worked example, and the code: they say the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit import checkpoint, merkle
from appliance.audit.proof import TlogProof
from tests.simulators import auditor, worked_example
from tests.simulators.auditor import DOCUMENT, WHOLE, ask

VECTORS = auditor.ROOT / "tests" / "vectors" / "audit" / "record.json"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The values of the worked example, as they are kept."""
    found: dict[str, Any] = json.loads(VECTORS.read_text())
    return found


def test_a_second_writer_makes_the_same_bytes(example: dict[str, Any]) -> None:
    """Entries, hashes, notes and receipt come out again, letter by letter."""
    assert worked_example.values() == example
    assert example["seeds"] == [hashlib.sha256(b"epoch %d" % n).hexdigest() for n in range(2)]


def test_the_document_shows_these_values(example: dict[str, Any]) -> None:
    """Every key, entry, hash, note and receipt of the example stands in the document."""
    text = DOCUMENT.read_text()
    shown = [*example["keys"], *example["entries"], *example["leaves"], *example["roots"][1:]]
    shown += [example["checkpoints"]["5"], example["witness"]["note"], example["receipt"]]
    shown += [example["witness"]["key"], str(example["witness"]["time"])]
    assert [value for value in shown if value not in text] == []


def test_the_appliance_reads_the_example_as_it_is_meant(example: dict[str, Any]) -> None:
    """Hashes, roots, signatures and the proof hold in the appliance's own code too."""
    leaves = [merkle.leaf_hash(entry.encode()) for entry in example["entries"]]
    assert [leaf.hex() for leaf in leaves] == example["leaves"]
    assert [merkle.root(leaves[:size]).hex() for size in range(6)] == example["roots"]
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    assert b"".join(frontier.roots).hex() == example["frontier"]
    keys = [checkpoint.VerifierKey.parse(text) for text in example["keys"]]
    for size, key in (("1", keys[0]), ("4", keys[0]), ("5", keys[1])):
        note = checkpoint.SignedCheckpoint.parse(example["checkpoints"][size])
        assert note.verify(key).root.hex() == example["roots"][int(size)]
    TlogProof.parse(example["receipt"]).verify(keys[0])


def test_the_appliance_reads_the_witness_of_the_example(example: dict[str, Any]) -> None:
    """A co-signature holds in both, with the time that it states."""
    witness = checkpoint.VerifierKey.parse(example["witness"]["key"])
    signed = checkpoint.SignedCheckpoint.parse(example["witness"]["note"])
    signed.verify(witness)
    assert checkpoint.cosigned_at(signed.signatures[1]) == example["witness"]["time"]


def test_the_stand_alone_verifier_finds_the_example_whole(
    example: dict[str, Any], tmp_path: Path
) -> None:
    """As a database, as an export, and the receipt alone, with the co-signed note as anchor."""
    forge = worked_example.forge()
    (tmp_path / "note").write_text(example["witness"]["note"])
    (tmp_path / "receipt").write_text(example["receipt"])
    trust = ["--key", example["keys"][0], "--anchor", tmp_path / "note"]
    trust += ["--witness", example["witness"]["key"]]
    for record in (forge.database(tmp_path / "audit.db", auditor.schema()),
                   forge.export(tmp_path / "export")):  # fmt: skip
        report = ask(record, *trust)
        assert (report["exit"], report["entries"]) == (WHOLE, 5)
        assert [row["entries"] for row in report["ranges"]] == [4, 1, 0]
    receipt = ask("--receipt", tmp_path / "receipt", "--key", example["keys"][0])
    assert (receipt["exit"], receipt["receipt"]["entry"]) == (WHOLE, 2)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.dictionaries(st.text(st.characters(codec="ascii")), VALUES, max_size=4))
def test_exactly_the_rfc_8785_form_is_read(value: dict[str, Any]) -> None:
    """The form of another implementation is read back; another spelling of the value is not."""
    decode = auditor.VERIFIER.decode
    good = rfc8785.dumps(value)
    assert decode(0, good) == value
    for other in (json.dumps(value).encode(), json.dumps(value, indent=1).encode(), good + b" "):
        if other != good:
            with pytest.raises(auditor.VERIFIER.TamperedError):
                decode(0, other)


def test_the_document_names_every_field_and_exit_code() -> None:
    """What the verifier demands, the document states."""
    text = DOCUMENT.read_text()
    for name in auditor.VERIFIER.FIELDS:
        assert f"\n| `{name}` | " in text
    for word in (*auditor.VERIFIER.TYPES, *auditor.VERIFIER.OUTCOMES):
        assert f"`{word}`" in text
    for code, word in auditor.VERIFIER.WORDS.items():
        assert f"\n| {code} | {word}" in text
    assert f"{auditor.VERIFIER.MAX_TAIL_ENTRIES:,} entries" in text
    assert f"{auditor.VERIFIER.MAX_TAIL_SECONDS // 60} minutes" in text
