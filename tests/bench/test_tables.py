"""Figures get onto the page by program alone."""

from __future__ import annotations

import pytest

from tests.bench import tables
from tests.bench.goals import GOALS

RESULT = {
    "machine": {
        "cpu": "a processor",
        "cores": 2,
        "memory": "16000000 kB",
        "system": "Linux",
        "python": "3.11",
        "sqlite": "3.40",
    },
    "rows": [
        {"subject": "ours", "figures": {"ms": 1234.5, "mb": 0.5}},
        {"subject": "theirs", "figures": {"ms": 12.34}},
    ],
    "ratios": {"prefix_ttft": 0.125, "a_new_key": 3.0},
}


def test_a_ratio_stands_beside_its_meaning_and_goal() -> None:
    """A key of the table of goals brings both; any other key stands alone."""
    text = tables.tables("serving", RESULT)
    assert "| ≤ 0.2 | 0.12 |" in text
    assert "| `a_new_key` |  |  | 3.00 |" in text


def test_every_figure_of_every_subject_is_shown() -> None:
    """A subject without a figure has an empty cell."""
    text = tables.tables("serving", RESULT)
    assert "| medians | ours | theirs |" in text
    assert "| ms | 1,234 | 12.3 |" in text
    assert "| mb | 0.50 |  |" in text


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    """Words around the tables are a writer's own and stay."""
    page = "before\n<!-- bench one -->\nold\n<!-- end -->\nafter\n"
    once = tables.written_into(page, {"one": "new"})
    assert once == "before\n<!-- bench one -->\n\nnew\n\n<!-- end -->\nafter\n"
    assert tables.written_into(once, {"one": "new"}) == once


def test_a_page_without_a_place_is_refused() -> None:
    """Tables never vanish quietly."""
    with pytest.raises(AssertionError, match="no place for one"):
        tables.written_into("nothing here\n", {"one": "new"})


def test_the_page_has_a_place_for_each_benchmark() -> None:
    """What can be measured can be shown."""
    page = tables.PAGE.read_text()
    assert all(f"<!-- bench {name} -->" in page for name in GOALS)
