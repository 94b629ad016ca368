"""Prepared statements: SQLAlchemy's columns, the driver's speed, the same values."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from appliance.prepared import Prepared

TABLE = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("old", sa.Boolean),
    sa.Column("data", sa.LargeBinary),
)
ADD = Prepared(sa.insert(TABLE))
BY_ID = Prepared(sa.select(TABLE).where(TABLE.c.id == sa.bindparam("of")))
OLD = Prepared(sa.select(TABLE.c.id).where(TABLE.c.id != "x").order_by(TABLE.c.id))
AGE = Prepared(sa.update(TABLE).where(TABLE.c.id == sa.bindparam("of")).values(old=True))


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:")
    made.execute("CREATE TABLE things (id TEXT PRIMARY KEY, old BOOLEAN, data BLOB)")
    ADD.run_many(made, [{"id": name, "old": False, "data": b"\x00"} for name in "abx"])
    return made


def test_values_have_the_types_of_their_columns(connection: sqlite3.Connection) -> None:
    """SQLite keeps a truth as a number; whoever asks gets a truth."""
    found = BY_ID.one(connection, {"of": "a"})
    assert (found.id, found.data) == ("a", b"\x00")
    assert found.old is False


def test_values_inside_a_statement_are_kept(connection: sqlite3.Connection) -> None:
    """Only what is named as a parameter has to be given."""
    assert [row.id for row in OLD.all(connection, {})] == ["a", "b"]
    assert AGE.run(connection, {"of": "a"}) == 1
    assert BY_ID.one(connection, {"of": "a"}).old is True


def test_nothing_and_too_much_are_told_apart(connection: sqlite3.Connection) -> None:
    """No row is no error, a second one is."""
    assert BY_ID.one(connection, {"of": "nobody"}) is None
    assert AGE.run(connection, {"of": "nobody"}) == 0
    with pytest.raises(LookupError):
        OLD.one(connection, {})
