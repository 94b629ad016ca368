"""SQLAlchemy engines with the pragmas that durability needs, and schema migrations.

`appliance.db` holds people, conversations and models; `keys.db` holds wrapped content keys
alone, so that destroying a key can be made certain (secure_delete) without rewriting the rest.
`audit.db` is not opened here: its one writer is the ledger (`audit/store.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
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
# Execution options of connections: one that will not write, and one whose commit need not be
# on the disk before it returns.
READING = "appliance_reading"
NOTING = "appliance_noting"
SYNCHRONOUS = "appliance_synchronous"
# Opened ones are kept: making one costs more than most of what is done with it.
KEPT_CONNECTIONS = 32
BUSY_S = 5.0


class Base(orm.DeclarativeBase):
    """Tables of appliance.db."""


class KeysBase(orm.DeclarativeBase):
    """Tables of keys.db."""


class Database:
    """One SQLite file; every unit of work is one transaction.

    `session` takes the write lock before its first read, so nothing changes between what it
    reads and what it writes; keep slow work out of it. `reading` sees one moment of the file and
    waits for nobody. `writing` and `looking` are the same for statements without objects, where
    each question passes.

    Raises NotInitialisedError when the file is missing: only `create` makes one.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotInitialisedError(f"the database {path} is missing")
        self.path = path
        # The pool makes nobody wait: it would be a queue of its own, with an error of its own.
        self._engine = sa.create_engine(
            f"sqlite:///{path}",
            pool_size=KEPT_CONNECTIONS,
            max_overflow=-1,
            pool_use_lifo=True,
        )
        # Among threads of this process: SQLite itself lets a second writer sleep and look again,
        # for longer and longer, while the first is done in a moment.
        self._writers = threading.Lock()
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        self._reading = self._engine.execution_options(**{READING: True})
        self._noting = self._engine.execution_options(**{NOTING: True})
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
        with _translated(), self._alone(), self._sessions.begin() as session:
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[orm.Session]:
        """Yield a session for reading; nothing written in it is kept."""
        with _translated(), self._readers() as session:
            yield session

    @contextlib.contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sa.Connection]:
        """Yield a connection; commits at the end, rolls back on any error.

        What was written without `durable` may be gone after a power cut, though not after a
        crash of this process, and never in part: for what the record can tell again.
        """
        engine = self._engine if durable else self._noting
        with _translated(), self._alone(), engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def looking(self) -> Iterator[sa.Connection]:
        """Yield a connection for reading; nothing written in it is kept."""
        with _translated(), self._reading.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._writers.acquire(timeout=BUSY_S):
            raise UnavailableError("the database does not answer: another write takes too long")
        try:
            yield
        finally:
            self._writers.release()

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
    options = connection.get_execution_options()
    if options.get(READING, False):
        connection.exec_driver_sql("BEGIN")
        return
    # A connection is lent for both kinds of work, so it remembers how sure its commits are.
    kind = "NORMAL" if options.get(NOTING, False) else "FULL"
    if connection.info.get(SYNCHRONOUS) != kind:
        connection.exec_driver_sql(f"PRAGMA synchronous={kind}")
        connection.info[SYNCHRONOUS] = kind
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        f"busy_timeout={int(BUSY_S * 1000)}",
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
