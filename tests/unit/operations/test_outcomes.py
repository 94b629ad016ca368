"""The outcome of an answer is found again, however much else names the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.audit.actions import Outcome
from appliance.operations.outcomes import recorded
from tests.unit.operations.corrected import ANSWER, SECOND, Site, opened


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from opened(tmp_path)


def test_many_entries_about_an_answer_do_not_hide_its_outcome(site: Site) -> None:
    """Refused receipts name the answer too; however many there are, no second outcome is due."""
    seq = site.answer()
    for _ in range(120):
        site.append("record.prove", Outcome.REFUSED, entity=ANSWER, content={"code": "not_found"})
    assert recorded(site.appliance.ledger, ANSWER) == seq
    assert recorded(site.appliance.ledger, SECOND) is None
