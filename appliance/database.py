"""SQLite files with the pragmas that durability needs, and schema migrations.

`appliance.db` holds people, conversations and models; `keys.db` holds wrapped content keys
alone, so that destroying a key can be made certain (secure_delete) without rewriting the rest.
`audit.db` is not opened here: its one writer is the ledger (`audit/store.py`).
Two ways lead to a file: SQLAlchemy's sessions, and the driver itself for the few statements that
every question passes (`prepared.py`), which costs a fifth.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.exc import DatabaseError, OperationalError

from appliance.errors import (
    DiskFullError,
    NotInitialisedError,
    UnavailableError,
    VerificationError,
)

MIGRATIONS = Path(__file__).with_name("migrations")
# Execution option of connections that will not write.
READING = "appliance_reading"
# Opened ones are kept: making one costs more than most of what is done with it.
KEPT_CONNECTIONS = 32
BUSY_S = 5.0
# Of pages in each connection's own memory. Dozens may be open, and SQLite's default of 2 MiB each
# fills up over hours; the system holds the file in memory once for all of them.
CACHE_KIB = 256


class Base(orm.DeclarativeBase):
    """Tables of appliance.db."""


class KeysBase(orm.DeclarativeBase):
    """Tables of keys.db."""


class Database:
    """One SQLite file; every unit of work is one transaction.

    `session` takes the write lock before its first read, so nothing changes between what it
    reads and what it writes; keep slow work out of it. `reading` sees one moment of the file and
    waits for nobody. `writing` and `looking` are for prepared statements, where each question
    passes.

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
        self._sessions = orm.sessionmaker(self._engine, expire_on_commit=False)
        self._readers = orm.sessionmaker(self._reading, expire_on_commit=False)
        # Opened with their first use. The one that writes is used by who holds `_writers`.
        self._writer: sqlite3.Connection | None = None
        self._writer_is_durable = True
        self._lookers: deque[sqlite3.Connection] = deque()  # its append and pop are atomic

    @classmethod
    def create(cls, path: Path, branch: str) -> Database:
        """Make a new database (0600) at the newest schema; `branch` is `appliance` or `keys`."""
        path.touch(mode=0o600, exist_ok=False)
        database = cls(path)
        database.migrate(branch)
        return database

    def migrate(self, branch: str) -> None:
        """Bring the schema up to date; does nothing when it is."""
        if self._revision() == newest_revision(branch):
            return
        # A third of what starting a command would take, and needed once in a release.
        from alembic import command
        from alembic.config import Config as AlembicConfig

        settings = AlembicConfig()
        # Neither a space nor a percent sign in the path may be taken for syntax.
        settings.set_main_option("path_separator", "newline")
        settings.set_main_option("script_location", _plain(MIGRATIONS))
        settings.set_main_option("version_locations", _plain(MIGRATIONS / branch))
        with _translated(), self._engine.begin() as connection:
            settings.attributes["connection"] = connection
            settings.attributes["branch"] = branch
            command.upgrade(settings, "head")

    def _revision(self) -> str | None:
        with self.looking() as connection:
            try:
                rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            except sqlite3.OperationalError:
                return None  # a file without a schema; anything else shows at the next statement
        return str(rows[0][0]) if len(rows) == 1 else None

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
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Yield the connection for prepared statements that write, in one transaction.

        Commits at the end, rolls back on any error. What was written without `durable` may be gone
        after a power cut, though not after a crash of this process, and never in part: for what
        the record can tell again.
        """
        with _translated(), self._alone():
            connection = self._begun(durable)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def looking(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that cannot write; each statement sees a moment of its own."""
        with _translated():
            try:
                connection = self._lookers.pop()
            except IndexError:
                connection = _opened(self.path)
                connection.execute("PRAGMA query_only=ON")
            try:
                yield connection
            finally:
                self._lookers.append(connection)

    def _begun(self, durable: bool) -> sqlite3.Connection:
        """Return the connection that writes, in a transaction that has the write lock."""
        if self._writer is None:
            self._writer, self._writer_is_durable = _opened(self.path), True
        if durable != self._writer_is_durable:
            self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._writer_is_durable = durable
        self._writer.execute("BEGIN IMMEDIATE")
        return self._writer

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
        with self._alone():
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while self._lookers:
            self._lookers.pop().close()


def _plain(path: Path) -> str:
    return str(path).replace("%", "%%")


def _begin(connection: sa.Connection) -> None:
    # The driver by itself would begin only at the first write, and never before DDL: what was
    # read before would be of another moment, and half a migration would stay.
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def newest_revision(branch: str) -> str:
    """Return the last revision of a branch, by which its file's name begins."""
    return max(path.stem.partition("_")[0] for path in (MIGRATIONS / branch).glob("*_*.py"))


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    _prepare(connection, None)
    return connection


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin` alone
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        f"busy_timeout={int(BUSY_S * 1000)}",
        f"cache_size=-{CACHE_KIB}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        raise _translate(error) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        # Its subclasses tell of the caller's mistakes; itself, that the file is not sound.
        if type(error) not in (DatabaseError, sqlite3.DatabaseError):
            raise
        said = getattr(error, "orig", error)
        raise VerificationError(f"a database file is damaged: {said}") from error


def _translate(error: OperationalError | sqlite3.OperationalError) -> Exception:
    if "disk is full" in str(error):
        return DiskFullError("the database cannot grow: the disk is full")
    return UnavailableError(f"the database does not answer: {getattr(error, 'orig', error)}")
