"""CSV and NDJSON, read by pandas and compared value by value with what was recorded."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any

import pandas
from hypothesis import given, settings

from appliance.audit import exports
from appliance.audit.chain import Stored
from tests.unit.audit.exports import entries

NUMBERS = ("seq", "v", "mono", "prompt_tokens", "answer_tokens", "latency_ms")


def from_csv(stored: Iterable[Stored]) -> list[dict[str, Any]]:
    """Return the rows without what is empty, each value as recorded."""
    data = b"".join(exports.export("csv", stored))
    table = pandas.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, engine="python")
    rows = []
    for found in table.to_dict("records"):
        row: dict[str, Any] = {name: text for name, text in found.items() if text != ""}
        row = {name: text.removeprefix("'") for name, text in row.items()}
        row |= {name: int(row[name]) for name in NUMBERS if name in row}
        if "content" in row:
            row["content"] = json.loads(row["content"])
        rows.append(row)
    return rows


def test_csv_gives_every_field_back() -> None:
    """Each action with each outcome gives all its fields back, number and leaf hash too."""
    stored = list(entries.of_every_action())
    assert from_csv(stored) == [entries.stated(one) for one in stored]


def test_csv_gives_awkward_texts_back() -> None:
    """Separators, quotes, line ends, formulas and apostrophes come back as recorded."""
    stored = list(entries.awkward())
    assert from_csv(stored) == [entries.stated(one) for one in stored]


# pandas ends a table at NUL, which is its limit and not the file's.
@given(entries.texts(exclude_characters="\0"))
@settings(max_examples=50)
def test_csv_gives_any_text_back(stored: Stored) -> None:
    """No text is changed on its way through a table."""
    assert from_csv([stored]) == [entries.stated(stored)]


def test_csv_numbers_are_numbers_to_pandas() -> None:
    """Read without being told any types, counts are integers and can be added up."""
    data = b"".join(exports.export("csv", [entries.sample(seq) for seq in range(3)]))
    table = pandas.read_csv(io.BytesIO(data))
    assert table["seq"].tolist() == [0, 1, 2]
    assert int(table["answer_tokens"].sum()) == 3 * 34


def test_ndjson_is_read_back_and_hashed_again() -> None:
    """Each line gives its fields to pandas, and its leaf hash to whoever hashes it."""
    stored = [*entries.awkward(), *entries.of_every_action()]
    data = b"".join(exports.export("ndjson", stored))
    lines = data.removesuffix(b"\n").split(b"\n")
    leaves = [hashlib.sha256(b"\x00" + line).digest() for line in lines]
    assert leaves == [one.leaf for one in stored]

    table = pandas.read_json(io.BytesIO(data), lines=True, dtype=False)
    for found, one in zip(table.to_dict("records"), stored, strict=True):
        known = {name: cell for name, cell in found.items() if cell is not None and cell == cell}
        assert known == {name: v for name, v in json.loads(one.data).items() if v is not None}
