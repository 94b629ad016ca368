"""The results in build/bench/*.json as Markdown, so that no figure on a page is typed by hand.

Usage: python -m tests.bench.tables [--write]. With `--write` the tables go into
docs/reference/performance.md, each between its two marks; all else on that page stays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.goals import GOALS, Goal
from tests.bench.harness import BUILD

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"
ABSENT = "Not measured yet."
NO_GOAL = Goal("")


def tables(name: str, result: Mapping[str, Any]) -> str:
    """Return what one benchmark found: the machine, every figure, every ratio with its goal."""
    parts = [_machine(result["machine"]), _ratios(name, result["ratios"]), _figures(result["rows"])]
    return "\n\n".join("\n".join(part) for part in parts)


def written_into(page: str, found: Mapping[str, str]) -> str:
    """Return a page with the tables of each benchmark between its marks."""
    for name, text in found.items():
        begin, end = f"<!-- bench {name} -->\n", "<!-- end -->"
        before, mark, rest = page.partition(begin)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise AssertionError(f"the page has no place for {name}")
        page = f"{before}{begin}\n{text}\n\n{end}{after}"
    return page


def main() -> None:
    """Print the tables, or write them into the page."""
    found = {name: _read(name) for name in GOALS}
    if "--write" in sys.argv[1:]:
        PAGE.write_text(written_into(PAGE.read_text(), found))
        return
    for name, text in found.items():
        print(f"## {name}\n\n{text}\n")


def _read(name: str) -> str:
    path = BUILD / f"{name}.json"
    return tables(name, json.loads(path.read_text())) if path.exists() else ABSENT


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    memory = int(str(machine["memory"]).split()[0]) / 1e6
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, {memory:.0f} GB; {machine['system']}; "
        f"Python {machine['python']}, SQLite {machine['sqlite']}."
    )


def _ratios(name: str, ratios: Mapping[str, float]) -> Iterator[str]:
    yield from _row(["key", "meaning", "goal", "result"])
    yield from _row(["---", "---", "---", "---:"])
    for key, value in ratios.items():
        goal = GOALS[name].get(key, NO_GOAL)
        yield from _row([f"`{key}`", goal.meaning, goal.reach, _number(value)])


def _figures(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A column for each subject; figures in the order in which they first appear."""
    names = list(dict.fromkeys(figure for row in rows for figure in row["figures"]))
    yield from _row(["medians", *(row["subject"] for row in rows)])
    yield from _row(["---", *("---:" for _ in rows)])
    for name in names:
        values = (row["figures"].get(name) for row in rows)
        yield from _row([name, *("" if value is None else _number(value) for value in values)])


def _row(cells: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
