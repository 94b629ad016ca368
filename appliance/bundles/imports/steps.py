"""The steps of an import, and who is told of them. Pure.

Not here: the steps themselves (`importer`), what is recorded of them (operations).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Step(StrEnum):
    """How far an import has come; each step is reached once, in this order."""

    INSERTED = "inserted"
    METADATA_OK = "metadata_ok"
    SPACE_RESERVED = "space_reserved"
    STREAMED = "streamed"
    SIGNATURE_OK = "signature_ok"
    INSPECTED = "inspected"
    COMMITTED = "committed"


class Watch:
    """Is told how an import goes on; this one does nothing with it.

    What a method raises ends the import as if the step had failed.
    """

    def step(self, step: Step, facts: Mapping[str, object]) -> None:
        """A step was reached."""

    def verified(self, facts: Mapping[str, object]) -> None:
        """Metadata was found good and is the floor from now on, whatever comes of the rest."""

    def progress(self, done: int, total: int) -> None:
        """So many bytes of so many are read."""
