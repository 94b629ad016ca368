"""The reference page says what the program writes."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.audit import exports
from appliance.audit.exports import cef, fhir_codes, otlp, reading

PAGE = (Path(__file__).parents[4] / "docs/reference/exports.md").read_text()


def fields() -> dict[str, list[str]]:
    """Return the cells of the table of fields, by field."""
    rows = re.findall(r"^\| `(\w+)` \|((?:[^|\n]*\|){4})$", PAGE, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_every_format_is_on_the_page() -> None:
    """Each format has its row and, where there is something to say, its chapter."""
    for name in exports.FORMATS:
        assert f"\n| `{name}` |" in PAGE


def test_every_field_is_on_the_page() -> None:
    """The table names each column, and what CEF and OTLP call it."""
    table = fields()
    assert list(reading.COLUMNS) == [name for name in table if name in reading.COLUMNS]
    for name, key in cef.KEYS.items():
        assert f"`{key}`" in table[name][1]
    for name, key in otlp.ATTRIBUTES.items():
        assert f"`{key}`" in table[name][2]


def test_every_purpose_is_on_the_page() -> None:
    """Each purpose that becomes a code of HL7 is named with its code."""
    for name, code in fhir_codes.PURPOSES.items():
        assert name in PAGE
        assert f"`{code['code']}`" in PAGE
