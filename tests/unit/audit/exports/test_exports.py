"""Exports: the exact record as NDJSON, a safe view as CSV, and no more memory for more entries."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.audit import exports
from appliance.audit.chain import Stored
from appliance.audit.entry import Agent
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.errors import BadInputError
from tests.unit.audit import samples
from tests.unit.audit.exports import entries


def table(*stored: Stored) -> list[dict[str, str]]:
    text = b"".join(exports.export("csv", stored)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_ndjson_has_the_exact_bytes(log: Log) -> None:
    """Each NDJSON line is an entry's bytes as hashed, so that its leaf hash can be recomputed."""
    receipts = [log.append(samples.event(n, entity=f"Jürgen\n🏥 {n}")) for n in range(3)]
    lines = b"".join(log.export("ndjson", samples.ANY)).splitlines()
    leaves = {json.loads(line)["seq"]: hashlib.sha256(b"\x00" + line).digest() for line in lines}
    assert [leaves[receipt.seq] for receipt in receipts] == [receipt.leaf for receipt in receipts]


def test_export_honours_the_filters_and_not_the_limit(log: Log) -> None:
    """An export has all matching entries, oldest first, over as many pages as it takes."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: log.append(samples.event(n)), range(1_400)))
    lines = b"".join(log.export("ndjson", Query(user="usr_3", limit=5))).splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 200
    assert [entry["seq"] for entry in found] == sorted(entry["seq"] for entry in found)
    assert {entry["agent"]["user"] for entry in found} == {"usr_3"}


@pytest.mark.parametrize("file_format", exports.FORMATS)
def test_export_of_nothing_is_empty(file_format: str) -> None:
    """Without a matching entry a file is empty, and CSV has its header alone."""
    data = b"".join(exports.export(file_format, []))
    assert data.count(b"\n") == (1 if file_format == "csv" else 0)


@pytest.mark.parametrize("file_format", exports.FORMATS)
def test_every_format_has_one_line_per_entry(file_format: str) -> None:
    """What a text holds never starts a new line; CSV, where it may, quotes it."""
    stored = [entries.sample(seq, entity="a\nb\r\nc\u2028d") for seq in range(3)]
    data = b"".join(exports.export(file_format, stored))
    if file_format == "csv":
        assert len(table(*stored)) == 3
    else:
        assert data.count(b"\n") == 3
        assert data.endswith(b"\n")


@pytest.mark.parametrize("file_format", exports.FORMATS)
def test_entry_of_a_later_version_is_exported(file_format: str) -> None:
    """An action that this version does not know is exported all the same, not dropped."""
    one = entries.sample()
    data = one.data.replace(b"answer.complete", b"answer.weigh")
    text = b"".join(exports.export(file_format, [Stored(one.seq, data, one.leaf)]))
    assert b"answer.weigh" in text


def test_csv_carries_number_and_leaf_hash() -> None:
    """Every CSV row can be traced to its entry."""
    stored = entries.sample(4)
    [row] = table(stored)
    assert (row["seq"], row["leaf"]) == ("4", stored.leaf.hex())
    assert (row["user"], row["model_version"], row["answer_tokens"]) == ("usr_4", "1.0", "34")
    assert json.loads(row["content"])["bytes"] == 1024


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "  =", "\uff1d", "\uff20", "'"]
)
def test_csv_never_starts_a_formula(start: str) -> None:
    """A value that a spreadsheet would run is written as text, so that one apostrophe goes off."""
    attack = f"{start}cmd|' /C calc'!A0"
    [row] = table(entries.sample(entity=attack, agent=Agent(attack, "clinician", "password")))
    assert row["entity"] == "'" + attack
    assert row["user"] == "'" + attack


def test_csv_survives_commas_quotes_and_lines() -> None:
    """A value with separators comes back whole."""
    [row] = table(entries.sample(entity='a,"b"\r\nc;d'))
    assert row["entity"] == 'a,"b"\r\nc;d'


def test_unknown_format_is_refused_at_once() -> None:
    """A format that there is not is refused before anything is written."""
    with pytest.raises(BadInputError, match="pdf"):
        exports.export("pdf", [])


@pytest.mark.parametrize("file_format", exports.FORMATS)
def test_export_needs_no_more_memory_for_more_entries(file_format: str) -> None:
    """More than is allowed to be in memory at once passes through it."""
    one = entries.sample()

    def many() -> Iterator[Stored]:
        for _ in range(3_000):
            yield one

    tracemalloc.start()
    size = sum(len(chunk) for chunk in exports.export(file_format, many()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 1_500_000
    assert peak < 750_000
