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
from sqlalchemy.exc import DatabaseError, OperationalError

from appliance.errors import (
    DiskFullError,
    NotInitialisedError,
    UnavailableError,
    VerificationError,
)

MIGRATIONS = Path(__file__).with_name("migrations")
READING = "appliance_reading"  # execution option of connections that will not write


class Base(orm.DeclarativeBase):
    """Tables of appliance.db."""


class KeysBase(orm.DeclarativeBase):
    """Tables of keys.db."""


class Database:
    """One SQLite file; every unit of work is one transaction.

    `session` takes the write lock before its first read, so nothing changes between what it
    reads and what it writes; keep slow work out of it. `reading` sees one moment of the file and
    waits for nobody.

    Raises NotInitialisedError when the file is missing: only `create` makes one.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotInitialisedError(f"the database {path} is missing")
        self.path = path
        # Transactions are short, and SQLite itself says who waits: a second queue of its own,
        # with an error of its own, would add nothing.
        self._engine = sa.create_engine(f"sqlite:///{path}", max_overflow=-1)
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        self._reading = self._engine.execution_options(**{READING: True})
        self._sessions = orm.sessionmaker(self._engine, expire_on_commit=False)
        self._readers = orm.sessionmaker(self._reading, expire_on_commit=False)

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
        # Neither a space nor a percent sign in the path may be taken for syntax.
        settings.set_main_option("path_separator", "newline")
        settings.set_main_option("script_location", _plain(MIGRATIONS))
        settings.set_main_option("version_locations", _plain(MIGRATIONS / branch))
        with _translated(), self._engine.begin() as connection:
            settings.attributes["connection"] = connection
            settings.attributes["branch"] = branch
            command.upgrade(settings, "head")

    @contextlib.contextmanager
    def session(self) -> Iterator[orm.Session]:
        """Yield a session; commits at the end, rolls back on any error."""
        with _translated(), self._sessions.begin() as session:
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[orm.Session]:
        """Yield a session for reading; nothing written in it is kept."""
        with _translated(), self._readers() as session:
            yield session

    def connect(self) -> contextlib.AbstractContextManager[sa.Connection]:
        """Return a plain connection, for checks of the file itself."""
        return self._reading.connect()

    def close(self) -> None:
        self._engine.dispose()


def _plain(path: Path) -> str:
    return str(path).replace("%", "%%")


def _begin(connection: sa.Connection) -> None:
    # The driver by itself would begin only at the first write, and never before DDL: what was
    # read before would be of another moment, and half a migration would stay.
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
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


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise _translate(error) from error
    except DatabaseError as error:
        # Its subclasses tell of the caller's mistakes; itself, that the file is not sound.
        if type(error) is not DatabaseError:
            raise
        raise VerificationError(f"a database file is damaged: {error.orig}") from error


def _translate(error: OperationalError) -> Exception:
    if "disk is full" in str(error):
        return DiskFullError("the database cannot grow: the disk is full")
    return UnavailableError(f"the database does not answer: {error.orig}")
