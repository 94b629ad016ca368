"""What is searched for in an entry, as SQL over its bytes.

Values are always bound, only fixed names are put together.
"""

from __future__ import annotations

import json
from typing import Any

from appliance.audit.query import EXACT, Query

PATHS = {
    "user": "$.agent.user",
    "role": "$.agent.role",
    "action": "$.action",
    "outcome": "$.outcome",
    "model": "$.model.name",
    "purpose": "$.purpose",
    "source": "$.source",
    "entity": "$.entity",
    "subject": "$.content.subject",
}

# An entry that is no JSON (someone was at the file) is found by its number and by nothing else.
_TEXT = "CAST(entry AS TEXT)"
_JSON = f"CASE WHEN json_valid({_TEXT}) THEN {_TEXT} END"
# `->` gives the value as it stands in the entry, with quotes: canonical JSON writes a text in one
# way only, and a NUL in it survives, which SQLite's own text values would end at.
VALUES = {name: f"nullif(j -> '{PATHS[name]}', 'null')" for name in EXACT}
T = "ifnull(j ->> '$.t', '')"
EXTRACTED = f"seq, {T} AS t, " + ", ".join(f"{VALUES[name]} AS {name}" for name in EXACT)
# OFFSET keeps SQLite from putting the expression into each of its ten uses: parsed once, not ten
# times.
PARSED = (
    f"(SELECT seq, entry, {_JSON} AS j FROM record.entries "  # noqa: S608 - fixed names
    "WHERE seq >= ? AND seq < ? LIMIT -1 OFFSET 0)"
)
_ANYWHERE = " || ".join(f"ifnull(({_JSON}) -> '{PATHS[name]}', '')" for name in EXACT)


def spelled(value: str) -> str:
    """Return a text as it stands in an entry: in quotes, escaped as RFC 8785 does."""
    return json.dumps(value, ensure_ascii=False)


def add_times(where: list[str], values: list[Any], query: Query, column: str) -> None:
    for sign, bound in ((">=", query.since), ("<", query.until)):
        if bound is not None:
            where.append(f"{column} {sign} ?")
            values.append(bound)


def add_text(where: list[str], values: list[Any], query: Query) -> None:
    if query.text is None:
        return
    # In the bytes of an entry, `:"` starts every value that is text, and no name of a field.
    # Most entries fall at the first test, which is the cheapest.
    where.append(
        f"{_TEXT} LIKE ? ESCAPE '\\' AND ({_TEXT} LIKE ? ESCAPE '\\' "
        f"OR {_ANYWHERE} LIKE ? ESCAPE '\\')"
    )
    plain = spelled(query.text)[1:-1]
    written = plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    values += [f"%{written}%", f'%:"{written}%', f"%{written}%"]
