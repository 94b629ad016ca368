"""Every error class has an HTTP status, and every error is told without a stack trace."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import appliance
from appliance.errors import ApplianceError, LockedOutError
from appliance.web.errors import STATUS, status_of

ELSEWHERE = ("appliance.cli", "appliance.migrations")


def every_error_class() -> list[type[ApplianceError]]:
    """Return every class of error that can reach the gateway: all but the command line's own."""
    for module in pkgutil.walk_packages(appliance.__path__, "appliance."):
        if not module.name.startswith(ELSEWHERE):
            importlib.import_module(module.name)
    found: list[type[ApplianceError]] = []
    families = [ApplianceError]
    for family in families:
        families.extend(family.__subclasses__())
        if family.__module__.startswith("appliance.") and not family.__module__.startswith(
            ELSEWHERE
        ):
            found.append(family)
    return found


@pytest.mark.parametrize("kind", every_error_class(), ids=lambda kind: kind.__name__)
def test_every_error_class_has_a_status_of_its_own_or_of_its_family(
    kind: type[ApplianceError],
) -> None:
    """A class without a status would be answered as a fault of ours."""
    mapped = [family for family in kind.__mro__ if family in STATUS]
    assert kind is ApplianceError or mapped[0] is not ApplianceError


def test_a_subclass_gets_the_status_of_the_nearest_class() -> None:
    """A lock-out is told as too many requests."""
    assert status_of(LockedOutError("x", retry_after=1)) == 429
