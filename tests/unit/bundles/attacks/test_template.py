"""A signed chat template that runs wild: the model comes in, and goes no further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import ConflictError
from appliance.operations.imports import NOT_EVALUATED, ImportEvent
from tests.unit.bundles.attacks.hospital import CONSOLE, Hospital, Publisher

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_that_runs_wild_is_never_approved(
    hospital: Hospital, publisher: Publisher, tmp_path: Path
) -> None:
    """Its evaluation ends with an error, in a process of its own, so nobody can approve it."""
    path = tmp_path / "wild.jinja"
    path.write_text(LOOPS)
    publisher.forge.models = [replace(model, template=path) for model in publisher.forge.models]
    told: list[ImportEvent] = []
    start = hospital.appliance.ledger.head().size
    hospital.operations.imports.import_bundle(CONSOLE, [publisher.good()], told.append)
    (ended,) = [event for event in told if event.step == NOT_EVALUATED]
    assert "template" in str(ended.facts["message"])
    tried = [e for e in hospital.record(start) if e["action"] == "model.evaluate"]
    assert [entry["outcome"] for entry in tried] == ["intent", "failure"]
    with pytest.raises(ConflictError, match="has not been evaluated"):
        hospital.operations.models.approve(
            replace(CONSOLE, user="os:approver", name="approver"), publisher.name, "1.0"
        )
