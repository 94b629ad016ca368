"""Real hospitals for the tests of the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulators.clinic import Clinic
from tests.web.ward import Ward


@pytest.fixture(scope="session")
def answering() -> Iterator[Clinic]:
    """A hospital whose model answers; shared, so a test leaves people and model as they are."""
    clinic = Clinic()
    clinic.bring_model(card='starters = ["Summarise this note."]\n')
    clinic.start_engine()
    yield clinic
    clinic.close()


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    """A hospital of one test's own, with a model in the library and no engine running."""
    own = Clinic.with_model()
    yield own
    own.close()


@pytest.fixture(scope="session")
def first_ward() -> Iterator[Ward]:
    """The hospital that those of `ward` are copies of; nothing runs in it."""
    made = Ward()
    made.clinic.appliance.close()
    yield made
    made.close()


@pytest.fixture
def ward(first_ward: Ward) -> Iterator[Ward]:
    """A hospital of one test's own that has just got a new version of its model."""
    own = object.__new__(Ward)
    vars(own).update(vars(first_ward))
    own.clinic = Clinic(made=first_ward.clinic.config.state)
    own.forge = first_ward.forge.copied(own.clinic.folder / "desk")
    yield own
    own.close()


@pytest.fixture(scope="session")
def talking() -> Iterator[Clinic]:
    """A hospital whose model talks for seconds, so that a test can meet an unfinished answer."""
    clinic = Clinic(answer_tokens=30_000)
    clinic.bring_model(context=32_768)
    clinic.start_engine()
    yield clinic
    clinic.close()
