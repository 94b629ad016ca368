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


def table(log: Log, query: Query = samples.ANY) -> list[dict[str, str]]:
    text = b"".join(log.export("csv", query)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_ndjson_has_the_exact_bytes(log: Log) -> None:
    """Each NDJSON line is an entry's bytes as hashed, so that its leaf hash can be recomputed."""
    for number in range(3):
        log.append(samples.event(number, entity=f"Jürgen\n🏥 {number}"))
    lines = b"".join(log.export("ndjson", samples.ANY)).splitlines()
    leaves = [hashlib.sha256(b"\x00" + line).digest() for line in lines]
    assert leaves == [leaf for _, _, leaf in samples.rows(log.path)]


def test_export_honours_the_filters_and_not_the_limit(log: Log) -> None:
    """An export has all matching entries, oldest first, over as many pages as it takes."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: log.append(samples.event(n)), range(1_400)))
    lines = b"".join(log.export("ndjson", Query(user="usr_3", limit=5))).splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 200
    assert [entry["seq"] for entry in found] == sorted(entry["seq"] for entry in found)
    assert {entry["agent"]["user"] for entry in found} == {"usr_3"}


def test_export_of_nothing_is_empty(log: Log) -> None:
    """Without a matching entry NDJSON is empty, and CSV has its header alone."""
    assert b"".join(log.export("ndjson", samples.ANY)) == b""
    assert b"".join(log.export("csv", samples.ANY)).count(b"\r\n") == 1


def test_csv_carries_number_and_leaf_hash(log: Log) -> None:
    """Every CSV row can be traced to its entry."""
    receipt = log.append(samples.event(4))
    row = table(log)[0]
    assert (row["seq"], row["leaf"]) == (str(receipt.seq), receipt.leaf.hex())
    assert (row["user"], row["model_version"], row["answer_tokens"]) == ("usr_4", "1.0", "34")
    assert json.loads(row["content"])["bytes"] == 1024


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "  =", "\uff1d", "\uff20"]
)
def test_csv_never_starts_a_formula(log: Log, start: str) -> None:
    """A value that a spreadsheet would run is written as text."""
    attack = f"{start}cmd|' /C calc'!A0"
    log.append(samples.event(entity=attack, agent=Agent(attack, "clinician", "password")))
    row = table(log)[0]
    assert row["entity"] == "'" + attack
    assert row["user"] == "'" + attack


def test_csv_survives_commas_quotes_and_lines(log: Log) -> None:
    """A value with separators comes back whole."""
    log.append(samples.event(entity='a,"b"\r\nc;d'))
    assert table(log)[0]["entity"] == 'a,"b"\r\nc;d'


def test_unknown_format_is_refused_at_once(log: Log) -> None:
    """A format that there is not is refused before anything is written."""
    with pytest.raises(BadInputError, match="pdf"):
        log.export("pdf", samples.ANY)


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
def test_export_needs_no_more_memory_for_more_entries(log: Log, file_format: str) -> None:
    """Fifty thousand entries pass through a few hundred kilobytes."""
    log.append(samples.event())
    seq, data, leaf = samples.rows(log.path)[0]

    def many() -> Iterator[Stored]:
        for _ in range(50_000):
            yield Stored(seq, data, leaf)

    tracemalloc.start()
    size = sum(len(chunk) for chunk in exports.export(file_format, many()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 20_000_000
    assert peak < 1_000_000
