"""SQLAlchemy engines with the pragmas that durability needs, and schema migrations.

`appliance.db` holds people, conversations and models; `keys.db` holds wrapped content keys
alone, so that destroying a key can be made certain (secure_delete) without rewriting the rest.
`audit.db` is not opened here: its one writer is the ledger (`audit/store.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import event, orm
from sqlalchemy.exc import OperationalError

from appliance.errors import DiskFullError, NotInitialisedError, UnavailableError

MIGRATIONS = Path(__file__).with_name("migrations")


class Base(orm.DeclarativeBase):
    """Tables of appliance.db."""


class KeysBase(orm.DeclarativeBase):
    """Tables of keys.db."""


class Database:
    """One SQLite file; every unit of work is one transaction.

    Raises NotInitialisedError when the file is missing: only `create` makes one.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotInitialisedError(f"the database {path} is missing")
        self.path = path
        self._engine = sa.create_engine(f"sqlite:///{path}")
        event.listen(self._engine, "connect", _prepare)
        self._sessions = orm.sessionmaker(self._engine, expire_on_commit=False)

    @classmethod
    def create(cls, path: Path, branch: str) -> Database:
        """Make a new database (0600) at the newest schema; `branch` is `appliance` or `keys`."""
        path.touch(mode=0o600, exist_ok=False)
        database = cls(path)
        database.migrate(branch)
        return database

    def migrate(self, branch: str) -> None:
        """Bring the schema up to date; does nothing when it is."""
        settings = AlembicConfig()
        settings.set_main_option("script_location", str(MIGRATIONS))
        settings.set_main_option("version_locations", str(MIGRATIONS / branch))
        with self._engine.begin() as connection:
            settings.attributes["connection"] = connection
            settings.attributes["branch"] = branch
            command.upgrade(settings, "head")

    @contextlib.contextmanager
    def session(self) -> Iterator[orm.Session]:
        """Yield a session; commits at the end, rolls back on any error."""
        try:
            with self._sessions.begin() as session:
                yield session
        except OperationalError as error:
            raise _translate(error) from error

    def connect(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Return a plain connection, for checks of the file itself."""
        return self._engine.connect()

    def close(self) -> None:
        self._engine.dispose()


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "busy_timeout=5000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _translate(error: OperationalError) -> Exception:
    if "disk is full" in str(error) or "database or disk is full" in str(error):
        return DiskFullError("the database cannot grow: the disk is full")
    return UnavailableError(f"the database does not answer: {error.orig}")
