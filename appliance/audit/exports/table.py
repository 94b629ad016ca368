"""CSV: a view for a spreadsheet, RFC 4180, in which no cell is taken for a formula.

A cell that a spreadsheet would run starts with an apostrophe, and so does a cell that had one
already: taking one apostrophe away always gives the recorded value. A null is an empty cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from appliance.audit.chain import Stored
from appliance.audit.exports.reading import COLUMNS, row

# Also the full-width forms, which spreadsheets in East Asian locales take for the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def lines(entries: Iterable[Stored]) -> Iterator[bytes]:
    """Yield the header, then one record per entry."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for stored in entries:
        writer.writerow([_cell(value) for value in row(stored).values()])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(value: object) -> object:
    """Return the value so that no spreadsheet takes it for a formula (OWASP: CSV injection)."""
    if isinstance(value, str) and (value[:1] == "'" or value.lstrip(" ").startswith(_FORMULA)):
        return "'" + value
    return value
