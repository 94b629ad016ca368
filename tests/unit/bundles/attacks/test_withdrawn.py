"""Models that their publisher took back: out of use at once, and for good."""

from __future__ import annotations

from typing import Any

import pytest
from tuf.api.metadata import Targets

from appliance.assembly import assemble
from appliance.bundles.manifest import DENIED_FIELD, Denied
from appliance.errors import ApplianceError, ConflictError
from appliance.operations import operations_for
from appliance.operations.imports import QUARANTINED, ImportEvent
from tests.unit.bundles.attacks.hospital import CONSOLE, Hospital, Publisher


def activate(hospital: Hospital, publisher: Publisher) -> str:
    """Bring the publisher's model in and make it the one that answers; return its digest."""
    library = hospital.appliance.library
    hospital.bring(publisher.good("first"))
    model = library.by_name(publisher.name, "1.0")
    library.set_evaluated(model.id)
    library.set_approved(model.id, "usr_approver", {"clinician"})
    library.set_active(model.id)
    assert (library.folder / "active.json").exists()
    return model.digest


def denial(publisher: Publisher, digest: str) -> Denied:
    return Denied(digest, publisher.name, "1.0", "it invents doses")


def state(hospital: Hospital, publisher: Publisher, version: str = "1.0") -> tuple[str, str]:
    model = hospital.appliance.library.by_name(publisher.name, version)
    return str(model.state), model.reason


def test_a_denied_model_stops_at_once(hospital: Hospital, publisher: Publisher) -> None:
    """A deny list takes the active model out of use, before anything else, and says why."""
    digest = activate(hospital, publisher)
    start = hospital.appliance.ledger.head().size
    denied = [denial(publisher, digest)]
    hospital.bring(publisher.forge.advisory("denied", version=2, denied=denied))
    assert state(hospital, publisher) == (
        "quarantined",
        "denied by its publisher: it invents doses",
    )
    assert not (hospital.appliance.library.folder / "active.json").exists()
    taken = [e for e in hospital.record(start) if e["action"] == "model.quarantine"]
    assert [e["outcome"] for e in taken] == ["intent", "success"]
    assert "invents doses" in taken[0]["content"]["reason"]


def test_a_denied_model_stays_stopped_after_a_restart(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Neither a restart nor the first bundle again brings a denied model back."""
    first_digest = activate(hospital, publisher)
    denied = [denial(publisher, first_digest)]
    hospital.bring(publisher.forge.advisory("denied", version=2, denied=denied))
    again = assemble(hospital.config, hospital.clock, hospital.appliance.ledger)
    try:
        verbs = operations_for(again)
        verbs.trusting.settle()
        again.library.settle()
        assert str(again.library.by_name(publisher.name).state) == "quarantined"
        assert not (again.library.folder / "active.json").exists()
        with pytest.raises(ConflictError):
            again.library.set_active(again.library.by_name(publisher.name).id)
    finally:
        for database in again.databases:
            database.close()
    first = publisher.forge.desk / "first"
    assert hospital.refuses(first).named()[0] == "bundle_rollback"


def test_a_denied_model_does_not_come_in_again(hospital: Hospital, publisher: Publisher) -> None:
    """A list that names a model good and denied at once does not bring it in."""
    publisher.good("first")
    digest = next((publisher.forge.desk / "first").glob("targets/*/*.gguf")).name.split(".")[0]
    publisher.forge.denied = [denial(publisher, digest)]
    refusal = hospital.refuses(publisher.good("both", version=2))
    assert refusal.named() == ("model_denied", "inserted")
    assert "it invents doses" in refusal.error.message


def test_a_model_that_is_no_longer_listed_stops_at_once(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A newer list without the active model takes it out of use."""
    activate(hospital, publisher)
    hospital.bring(publisher.forge.advisory("empty", version=2))
    assert state(hospital, publisher) == ("quarantined", "no longer listed by its publisher")


def test_a_denial_counts_though_the_rest_of_the_stick_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Whoever damages the files of a stick does not keep its deny list from being heard."""
    digest = activate(hospital, publisher)
    publisher.forge.models.clear()
    publisher.add("2.0")
    publisher.forge.denied = [denial(publisher, digest)]
    folder = publisher.good("second", version=2)
    next(folder.glob("targets/*/*.card.toml")).write_text("damaged")
    gone = {f"{publisher.name} 1.0": "quarantined"}
    active = hospital.appliance.library.folder / "active.json"
    active.unlink()  # it will go in any case; `refuses` wants to see no file come or go
    assert hospital.refuses(folder, changed=gone).named()[0] == "bundle_content"


def test_what_a_crash_kept_from_being_stopped_is_stopped_at_the_start(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Two models are denied and the import dies after the first: the start stops the second."""
    publisher.add("1.1")
    hospital.bring(publisher.good("first"))
    models = [m for m in hospital.appliance.library.models() if m.name == publisher.name]
    denied = [Denied(m.digest, m.name, m.version, "a test") for m in models]

    def die(event: ImportEvent) -> None:
        if event.step == QUARANTINED:
            raise SystemExit

    advisory = publisher.forge.advisory("denied", version=2, denied=denied)
    with pytest.raises(SystemExit):
        hospital.bring(advisory, watch=die)
    states = {state(hospital, publisher, m.version)[0] for m in models}
    assert states == {"imported", "quarantined"}
    hospital.operations.trusting.settle()
    assert {state(hospital, publisher, m.version)[0] for m in models} == {"quarantined"}


def test_a_publisher_denies_its_own_models_only(hospital: Hospital, publisher: Publisher) -> None:
    """What another trusted publisher denies or does not list leaves this one's model in use."""
    digest = activate(hospital, publisher)
    other = hospital.publisher()
    denied = [denial(publisher, digest)]
    hospital.bring(other.forge.advisory("slander", denied=denied))
    hospital.operations.trusting.settle()
    assert state(hospital, publisher)[0] == "active"
    hospital.bring(publisher.forge.advisory("true", version=2, denied=denied))
    assert state(hospital, publisher)[0] == "quarantined"


def test_models_of_a_publisher_that_lost_trust_stop_at_once(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Taking trust back takes the publisher's active model out of use."""
    activate(hospital, publisher)
    hospital.operations.trusting.revoke(CONSOLE, publisher.name, "its keys were stolen")
    assert state(hospital, publisher)[0] == "quarantined"
    assert not (hospital.appliance.library.folder / "active.json").exists()


GOOD = {"sha256": "0" * 64, "model": "m", "version": "1.0", "reason": "a test"}


@pytest.mark.parametrize(
    "listed",
    [
        "all", [[]], [{}], [{**GOOD, "more": 1}], [{**GOOD, "sha256": "0"}],
        [{**GOOD, "reason": "\x1b[2J"}], [{**GOOD, "reason": "x" * 201}], [GOOD] * 4_097,
    ],
    ids=range(8),
)  # fmt: skip
def test_a_malformed_deny_list_is_refused(
    hospital: Hospital, publisher: Publisher, listed: Any
) -> None:
    """A deny list is read within bounds, and a malformed one does not count as an empty one."""

    def deny(targets: Targets) -> None:
        targets.unrecognized_fields[DENIED_FIELD] = listed

    folder = publisher.forge.signed(publisher.good(), deny)
    assert hospital.refuses(folder).named() == ("bundle_layout", "inserted")


def test_a_quarantined_model_is_neither_approved_nor_activated(
    hospital: Hospital, publisher: Publisher
) -> None:
    """No verb leads from quarantine to an answer but a new import."""
    activate(hospital, publisher)
    hospital.bring(publisher.forge.advisory("empty", version=2))
    models, activation = hospital.operations.models, hospital.operations.activation
    for attempt in (
        lambda: models.approve(CONSOLE, publisher.name, "1.0"),
        lambda: activation.activate(CONSOLE, publisher.name, "1.0"),
        lambda: models.pin(CONSOLE, publisher.name, "1.0", "I want it"),
    ):
        with pytest.raises(ApplianceError):
            attempt()
    assert state(hospital, publisher)[0] == "quarantined"
