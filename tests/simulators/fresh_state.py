"""A state folder, or a database in it, as its makers leave it: made once in a process, then copied.

Making one migrates every table and hashes a password, which takes far longer than copying files.
All copies have one record's name and one content key: a test about two records, or about how a
state folder is made, calls `initialise` itself.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from appliance.config import Config, load
from appliance.database import Database
from appliance.identity.permissions import Actor
from appliance.operations.setup import initialise
from tests.simulators.kept_folder import kept_folder


def fresh_state(config: Config, by: Actor) -> None:
    """Make the state folder of this configuration, as `initialise` does for this actor."""
    config.state.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(_state(by), config.state)


def fresh_database(path: Path, branch: str) -> Database:
    """Make and open a database with the newest tables of a branch."""
    shutil.copy2(_database(branch), path)
    return Database(path)


@functools.cache
def _state(by: Actor) -> Path:
    folder = kept_folder()
    initialise(load(folder / "state", file=folder / "none", environment={}), by)
    return folder / "state"


@functools.cache
def _database(branch: str) -> Path:
    path = kept_folder() / f"{branch}.db"
    Database.create(path, branch).close()
    return path
