"""A hospital under attack: real state folder, record and importer; its clock stands still.

Every publisher is somebody new with keys and model names of its own, so that a hundred attacks
can meet one hospital. After each, everything outside staging must be as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import pytest

from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.publisher import Signers
from appliance.config import load
from appliance.errors import ApplianceError, EngineUnavailableError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import operations_for
from appliance.operations.imports import ImportEvent, Imports
from tests.simulators.bundle_forge import NOW, BundleForge
from tests.simulators.fresh_state import fresh_state
from tests.simulators.manual_clock import ManualClock

CONSOLE = Actor("os:steward", "steward", Role.CONSOLE, "console", None, "console")
Watch = Callable[[ImportEvent], None]
NOTHING: Mapping[str, str] = MappingProxyType({})


def quiet(event: ImportEvent) -> None:
    """Show no progress."""


class Hospital:
    """One machine; `desk` is where publishers work, outside its state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = {"APPLIANCE_ENGINE__THREADS": "1"}
        self.config = load(folder / "state", file=folder / "none", environment=settings)
        fresh_state(self.config, CONSOLE)
        self.clock = ManualClock(NOW.timestamp())
        self.appliance = assemble(self.config, self.clock)
        self.operations = operations_for(self.appliance)
        # The operation itself; models stay `imported`, as where no engine can be started.
        self.imports = Imports(self.appliance, NoEngine())
        self._numbers = itertools.count()

    def publisher(self, *, trusted: bool = True, signers: Signers | None = None) -> Publisher:
        """Return a publisher that nobody met before, with one tiny model of its own."""
        number = next(self._numbers)
        forge = BundleForge(self.folder / f"desk{number}", signers)
        publisher = Publisher(self, f"p{number}", forge)
        publisher.add()
        if trusted:
            publisher.trust()
        return publisher

    @contextlib.contextmanager
    def clock_off(self, seconds: float) -> Iterator[None]:
        """Set the machine's clock ahead (or back) while the block runs."""
        self.clock.set_back(-seconds)
        try:
            yield
        finally:
            self.clock.set_back(seconds)

    def bring(self, *folders: Path, watch: Watch = quiet) -> tuple[ModelInfo, ...]:
        """Import from these media as the steward does."""
        return self.imports.import_bundle(CONSOLE, folders, watch)

    def refuses(
        self, *folders: Path, watch: Watch = quiet, changed: Mapping[str, str] = NOTHING
    ) -> Refusal:
        """Try an import that must fail; return what was said and recorded.

        No file outside staging and no model may differ afterwards, but those in `changed`.
        """
        before, size = self.outside(), self.appliance.ledger.head().size
        expected = {**self.models(), **changed}
        with pytest.raises(ApplianceError) as caught:
            self.bring(*folders, watch=watch)
        assert self.outside() == before
        assert self.models() == expected
        return Refusal(caught.value, self.record(size))

    def models(self) -> dict[str, str]:
        """Return every model with its state."""
        found = self.appliance.library.models()
        return {f"{model.name} {model.version}": str(model.state) for model in found}

    def record(self, start: int) -> list[dict[str, Any]]:
        """Return the entries of the record from number `start` on."""
        entries = self.appliance.ledger.search(Query(limit=1000)).entries
        return [entry for entry in reversed(entries) if entry["seq"] >= start]

    def outside(self) -> Mapping[str, str]:
        """Return every file of this machine outside staging, with a digest of the immutable ones.

        The databases, the record and its daily key change: that is what they are for.
        """
        found = dict.fromkeys(os.listdir(self.folder), "")
        for path in sorted(self.config.paths.state.rglob("*")):
            if self.config.paths.staging in path.parents or "audit" in str(path):
                continue
            living = ".db" in path.name or not path.is_file()
            found[str(path)] = "" if living else hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def staged(self) -> list[str]:
        """Return what lies in staging."""
        return sorted(path.name for path in self.config.paths.staging.iterdir())

    def close(self) -> None:
        with contextlib.suppress(ApplianceError):
            self.appliance.close()


class NoEngine:
    """Evaluates nothing, as on a machine whose engine does not start: saves seconds each time."""

    def evaluate_imported(self, *_: object) -> NoReturn:
        raise EngineUnavailableError("no engine can be started here")


class Refusal:
    """How an import ended: the error, and the entries that it left in the record."""

    def __init__(self, error: ApplianceError, entries: list[dict[str, Any]]) -> None:
        self.error = error
        self.entries = entries

    def named(self) -> tuple[str, str]:
        """Return the code that was raised; the record must end with it, and say at which step."""
        last = [entry for entry in self.entries if entry["action"] == "bundle.import"][-1]
        assert last["outcome"] in ("refused", "failure")
        assert last["content"]["code"] == self.error.code
        return self.error.code, last["content"]["step"]


class Publisher:
    """A publisher at its desk; `name` is also the name of its models."""

    def __init__(self, hospital: Hospital, name: str, forge: BundleForge) -> None:
        self.hospital, self.name, self.forge = hospital, name, forge

    def trust(self) -> None:
        root = self.forge.roots[0]
        digest = hashlib.sha256(root).hexdigest()
        self.hospital.operations.trusting.add(CONSOLE, self.name, root, digest)

    def add(self, version: str = "1.0", **options: int) -> None:
        """Put a model on the desk; its weights are those of no other model."""
        seed = int.from_bytes(hashlib.sha256(f"{self.name} {version}".encode()).digest()[:4])
        self.forge.add_model(self.name, version, seed=seed, **options)

    def good(self, name: str = "bundle", **options: Any) -> Path:
        return self.forge.good(name, **options)
