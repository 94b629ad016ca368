"""Databases: durable settings, whole transactions, migrations that match the code."""

from __future__ import annotations

import importlib
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import appliance
from appliance import database as module
from appliance.database import Base, Database, KeysBase
from appliance.errors import (
    DiskFullError,
    NotInitialisedError,
    UnavailableError,
    VerificationError,
)

ROOT = Path(appliance.__file__).parent


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.create(tmp_path / "keys.db", "keys")
    yield made
    made.close()


def add(database: Database, key_id: str) -> None:
    with database.session() as session:
        query = "INSERT INTO content_keys (key_id, wrapped, created) VALUES (:id, x'00', 0)"
        session.execute(sa.text(query), {"id": key_id})


def count(database: Database) -> int:
    with database.reading() as session:
        return int(session.scalar(sa.text("SELECT count(*) FROM content_keys")) or 0)


# --- the file


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    """A lost file is an error, never an empty start."""
    with pytest.raises(NotInitialisedError, match="missing"):
        Database(tmp_path / "appliance.db")
    assert list(tmp_path.iterdir()) == []


def test_creating_never_replaces(database: Database) -> None:
    """An existing file stays."""
    with pytest.raises(FileExistsError):
        Database.create(database.path, "keys")


def test_only_the_owner_can_read_the_files(database: Database) -> None:
    """The database and what SQLite keeps beside it are 0600."""
    add(database, "a")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()
    }
    assert modes == {"keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-shm": 0o600}


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)],
)
def test_every_connection_is_durable(database: Database, pragma: str, value: object) -> None:
    """Write-ahead log, fsync at each commit, references checked, deleted bytes overwritten."""
    with database.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_damaged_file_is_named_as_damage(tmp_path: Path) -> None:
    """Overwritten bytes are tampering or a failing disk, not a stack trace."""
    path = tmp_path / "keys.db"
    path.write_bytes(b"not a database at all" * 200)
    with pytest.raises(VerificationError, match="damaged"):
        Database(path).migrate("keys")


# --- transactions


def test_an_error_rolls_everything_back(database: Database) -> None:
    """Half of a unit of work is never kept."""

    def fail_late() -> None:
        with database.session() as session:
            query = "INSERT INTO content_keys (key_id, wrapped, created) VALUES ('a', x'00', 0)"
            session.execute(sa.text(query))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()
    assert count(database) == 0


def test_reading_keeps_nothing(database: Database) -> None:
    """A write in a session for reading is dropped at its end."""
    with database.reading() as session:
        query = "INSERT INTO content_keys (key_id, wrapped, created) VALUES ('a', x'00', 0)"
        session.execute(sa.text(query))
    assert count(database) == 0


def test_a_session_reads_and_writes_one_moment(database: Database) -> None:
    """Of two that read a value and write the next one, none overwrites the other."""
    add(database, "counter")

    def increase() -> None:
        for _ in range(5):
            with database.session() as session:
                query = "SELECT created FROM content_keys"
                seen = session.execute(sa.text(query)).scalar_one()
                update = "UPDATE content_keys SET created = :value"
                session.execute(sa.text(update), {"value": seen + 1})

    threads = [threading.Thread(target=increase) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.execute(sa.text("SELECT created FROM content_keys")).scalar_one() == 20


def test_a_commit_is_durable_unless_its_work_says_otherwise(database: Database) -> None:
    """The same connection is lent for both kinds of work, and never keeps the weaker setting."""
    for durable in (True, False, True):
        with database.writing(durable=durable) as connection:
            [found] = connection.execute("PRAGMA synchronous").fetchone()
            assert found == 1 + durable
    with database.writing(durable=False):
        pass
    with database.session() as session:
        assert session.connection().exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_reading_waits_for_no_writer(database: Database) -> None:
    """Somebody who writes does not keep others from reading what was before."""
    with database.session() as session:
        query = "INSERT INTO content_keys (key_id, wrapped, created) VALUES ('a', x'00', 0)"
        session.execute(sa.text(query))
        assert count(database) == 0
    assert count(database) == 1


def test_a_busy_database_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program that holds the file gives a clear error, not a stack trace."""
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with database.connect() as connection:  # the wait is five seconds, and this test has not
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    with pytest.raises(UnavailableError, match="locked"):
        add(database, "a")
    other.close()


def test_a_full_disk_is_named_as_such(database: Database) -> None:
    """SQLite's own limit stands for the disk's: nothing is stored, and the error says why."""
    add(database, "a")
    with database.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DiskFullError):
        add(database, "b" * 1_000_000)
    assert count(database) == 1


# --- migrations


@pytest.mark.parametrize(("branch", "base"), [("appliance", Base), ("keys", KeysBase)])
def test_migrations_make_what_the_code_declares(
    tmp_path: Path, branch: str, base: type[Base | KeysBase]
) -> None:
    """A column that is declared and not migrated, or the reverse, fails here."""
    for store in ROOT.rglob("store.py"):
        parts = store.relative_to(ROOT.parent).with_suffix("").parts
        importlib.import_module(".".join(parts))
    database = Database.create(tmp_path / "new.db", branch)
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, base.metadata) == []
    database.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    """Every start may do it."""
    add(database, "a")
    database.migrate("keys")
    assert count(database) == 1


@pytest.mark.parametrize("branch", ["appliance", "keys"])
def test_the_newest_revision_is_that_of_the_chain(branch: str) -> None:
    """By its file's name, since a start must not have to read the whole chain."""
    chain = ScriptDirectory(
        str(module.MIGRATIONS), version_locations=[str(module.MIGRATIONS / branch)]
    )
    assert chain.get_heads() == [module.newest_revision(branch)]


def test_a_start_does_not_load_what_only_migrations_need(tmp_path: Path) -> None:
    """Every command opens both files, and nearly none finds an older schema."""
    Database.create(tmp_path / "keys.db", "keys").close()
    program = (
        "import sys; from pathlib import Path; from appliance.database import Database; "
        "Database(Path(sys.argv[1])).migrate('keys'); sys.exit('alembic' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "keys.db")]).returncode == 0
    )


def test_half_a_migration_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision that fails after its first table leaves no table behind."""
    folder = tmp_path / "50% of a migration"
    shutil.copytree(module.MIGRATIONS, folder)
    first = folder / "keys" / "k0001_content_keys.py"
    text = first.read_text()
    broken = text.replace(
        "\n\n\ndef downgrade", '\n    raise RuntimeError("power cut")\n\n\ndef downgrade'
    )
    first.write_text(broken)
    monkeypatch.setattr(module, "MIGRATIONS", folder)
    with pytest.raises(RuntimeError, match="power cut"):
        Database.create(tmp_path / "keys.db", "keys")
    database = Database(tmp_path / "keys.db")
    with database.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    first.write_text(text)
    database.migrate("keys")
    assert count(database) == 0
    database.close()
