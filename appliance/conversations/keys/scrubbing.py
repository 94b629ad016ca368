"""Makes sure that deleted bytes are in no file of a database any more, and looks.

SQLite overwrites what is deleted (`secure_delete`), but the write-ahead log keeps older copies
until it is folded in. So: fold and cut the log, then read the file, its log and its index from
outside SQLite and search them. If something is found, the database is rebuilt and searched again.

Not here: blocks that a disk keeps after a file gave them up. An encrypted disk is the answer
there, and re-wrapping makes every older copy of a wrapped key worthless.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import UnavailableError, VerificationError

BUSY_MS = 5_000
PATIENCE_S = 10.0
SEARCH_WITHIN_S = 600
BESIDE = ("", "-wal", "-shm")
SEARCHING = Path(__file__).with_name("searching.py")


def scrub(path: Path, needles: Sequence[bytes], *, rebuild: bool = False) -> None:
    """Return only when no file of the database at `path` contains any of `needles`.

    `rebuild` writes the whole database anew first, for when not all deleted bytes are known.
    Raises UnavailableError while readers keep the log from being cut, VerificationError when
    something is still there after a rebuild.
    """
    _fold(path, rebuild=rebuild)
    if not needles or not search(path, needles):
        return
    if not rebuild:
        scrub(path, needles, rebuild=True)
        return
    raise VerificationError(
        f"{path.name} still holds bytes of a key that was deleted",
        hint="stop the appliance and call the person in charge of security; "
        "the erasure is not finished",
    )


def search(path: Path, needles: Sequence[bytes]) -> list[int]:
    """Return which of `needles` stand in the database, its log or its index."""
    child = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(SEARCHING), *(f"{path}{end}" for end in BESIDE)],
        input="\n".join(needle.hex() for needle in needles),
        capture_output=True,
        text=True,
        timeout=SEARCH_WITHIN_S,
        check=False,
        env={},
    )
    if child.returncode != 0:
        raise UnavailableError(f"{path.name} could not be searched for deleted keys")
    return [int(word) for word in child.stdout.split()]


def _fold(path: Path, *, rebuild: bool) -> None:
    """Move everything from the write-ahead log into the database and cut the log to nothing."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)
    with contextlib.closing(connection):
        # A rebuild's temporary file would hold the wrapped keys outside the state folder.
        for pragma in ("secure_delete=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        try:
            if rebuild:
                connection.execute("VACUUM")
            deadline = time.monotonic() + PATIENCE_S
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0:
                if time.monotonic() > deadline:
                    raise UnavailableError(f"{path.name} is in use; the erasure goes on later")
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"{path.name} is in use: {error}") from error
