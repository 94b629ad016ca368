"""A library over a fresh database, and a publisher that it trusts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundles.imports.steps import Watch
from appliance.bundles.library import Library
from appliance.bundles.trust import fingerprint
from appliance.clock import System
from appliance.database import Database
from tests.simulators.bundle_forge import NOW, BundleForge
from tests.simulators.fresh_state import fresh_database
from tests.simulators.known_forge import KnownForge

TIME = NOW.timestamp()


@dataclass
class Site:
    """One hospital's machine: its state folder, its library, and the folder of its stick."""

    state: Path
    library: Library

    def trust(self, forge: BundleForge, name: str = "publisher") -> None:
        root = forge.roots[0]
        self.library.add_publisher(name, root, fingerprint(root), "usr_it")

    def bring_in(self, *folders: Path, now: float = TIME, watch: Watch | None = None) -> list[str]:
        """Import a bundle; return the models as `name version state`."""
        models = self.library.import_bundle(folders, now, "usr_steward", watch)
        return [f"{model.name} {model.version} {model.state}" for model in models]

    def files(self) -> list[str]:
        """Return what lies in the library and in staging, the lock apart."""
        folders = (self.library.folder, self.library.staging)
        found = [path for folder in folders for path in folder.rglob("*")]
        return sorted(path.name for path in found if path.name != ".import.lock")


def open_site(state: Path, *, list_chunks: bool = True) -> tuple[Site, Database]:
    """Open the state folder, making it on first use."""
    state.mkdir(exist_ok=True)
    path = state / "appliance.db"
    database = Database(path) if path.exists() else fresh_database(path, "appliance")
    library = Library(
        database, state / "models", state / "staging", System(), list_chunks=list_chunks
    )
    return Site(state, library), database


@pytest.fixture
def forge(tmp_path: Path) -> BundleForge:
    """A publisher with one key."""
    (tmp_path / "desk").mkdir()
    return KnownForge(tmp_path / "desk")


@pytest.fixture
def stranger(tmp_path: Path) -> BundleForge:
    """Another publisher, whom nobody here trusts."""
    (tmp_path / "stranger").mkdir()
    return BundleForge(tmp_path / "stranger")


@pytest.fixture
def bare_site(tmp_path: Path) -> Iterator[Site]:
    """A machine that trusts nobody yet."""
    site, database = open_site(tmp_path / "state")
    yield site
    database.close()


@pytest.fixture
def site(bare_site: Site, forge: BundleForge) -> Site:
    """A machine that trusts the publisher `forge`."""
    bare_site.trust(forge)
    return bare_site
