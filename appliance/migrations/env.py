"""What alembic runs: the revisions of one branch, inside one transaction of the caller's.

`database.Database.migrate` passes the open connection and the branch, `appliance` or `keys`;
each is a folder of revisions beside this file. Nothing is read from an .ini file, and there is
no offline mode: a migration that was half done is rolled back as a whole.
"""

from __future__ import annotations

from alembic import context

from appliance.database import Base, KeysBase

METADATA = {"appliance": Base.metadata, "keys": KeysBase.metadata}

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=METADATA[attributes["branch"]],
    transactional_ddl=True,  # true of SQLite once BEGIN comes first, see `database.py`
    render_as_batch=True,  # SQLite alters a table by copying it
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
