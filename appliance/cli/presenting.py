"""How values look: tables and progress bars on a terminal, plain lines elsewhere, or JSON.

What is printed may come from a model or from another person, so control characters are replaced:
a terminal obeys escape sequences, and a text must not be able to give it orders.
Not here: which values a command shows.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

DEMO_LABEL = "demo (synthetic, not for care)"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
KEPT = frozenset("\n\t")
GAP = "   "
STEP_PERCENT = 10
# As in `_dangerous`, without what JSON escapes by itself.
_OBEYED = re.compile("[\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def clean(text: str) -> str:
    """Return `text` without anything that a terminal would obey or that hides its order."""
    return "".join(
        REPLACEMENT if character not in KEPT and _dangerous(character) else character
        for character in text
    )


def say(text: str) -> None:
    """Print a line for the person to stdout."""
    print(clean(text))


def remark(text: str) -> None:
    """Print a line beside the data, to stderr."""
    print(clean(text), file=sys.stderr, flush=True)


def json_document(value: Any) -> None:
    """Print one JSON document to stdout."""
    print(json_text(value, indent=2))


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON in which what a terminal would obey is written as an escape; it means the same.

    JSON itself asks that of the characters below U+0020 alone.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # Outside of strings there is none of these; all of them lie below U+10000.
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    empty: str = "nothing to show",
    spare: Sequence[str] = (),
) -> None:
    """Print rows under lower-case headings; says `empty` when there is none.

    On a terminal that is too narrow, the columns in `spare` are left out, the first one first,
    instead of breaking every word; elsewhere nothing is left out.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        say(empty)
    elif sys.stdout.isatty():
        kept = _that_fit(columns, cells, spare)
        _rich_table([columns[at] for at in kept], [[row[at] for at in kept] for row in cells])
        if len(kept) < len(columns):
            left_out = ", ".join(name for at, name in enumerate(columns) if at not in kept)
            remark(f"left out, because the terminal is narrow: {left_out} (--json has everything)")
    else:
        _plain_table(columns, cells)


def facts(pairs: Mapping[str, object]) -> None:
    """Print one fact to a line, values aligned."""
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        print(f"{name:<{width}}  {_cell(value)}".rstrip())


def moment(seconds: float | None, never: str = "never") -> str:
    """Return a time as people read it, always UTC, as in the record."""
    if not seconds:
        return never
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) bytes that shows how far `what` has come, on stderr."""
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        yield _lines(what)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip


def _lines(what: str) -> Callable[[int, int], None]:
    shown = -1

    def step(done: int, total: int) -> None:
        nonlocal shown
        reached = done * 100 // total // STEP_PERCENT * STEP_PERCENT if total else 100
        if reached > shown:
            shown = reached
            remark(f"{what}: {reached} % of {size(total)}")

    return step


def _that_fit(
    columns: Sequence[str], cells: Sequence[Sequence[str]], spare: Sequence[str]
) -> list[int]:
    """Return the places of the columns to show on this terminal."""
    widths = _widths(columns, cells)
    kept, dropping = list(range(len(columns))), list(spare)
    room = shutil.get_terminal_size().columns
    while dropping and sum(widths[at] + len(GAP) for at in kept) > room:
        kept.remove(columns.index(dropping.pop(0)))
    return kept


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(columns, *cells, strict=True)]


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in cells:
        # Text, not str: square brackets in a name are no markup.
        shown.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(shown)


def _plain_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = _widths(columns, cells)
    for row in (columns, *cells):
        line = GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset | set | tuple | list):
        return ", ".join(sorted(map(str, value))) or "-"
    # One row, one line.
    return " ".join(clean(str(value)).split())


def _dangerous(character: str) -> bool:
    # Cc holds escape sequences; the bidirectional overrides and isolates can show a text in
    # another order than it has (Unicode TR 36). Joiners (also Cf) belong to many scripts.
    return (
        unicodedata.category(character) in {"Cc", "Cs"}
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )
