"""One way to the record, whether the ledger runs or not: through its socket, or the file itself."""

from __future__ import annotations

import time
from pathlib import Path

from appliance import durable
from appliance.audit.client import LedgerClient
from appliance.audit.ledger import Ledger
from appliance.audit.log import Log
from appliance.clock import Clock
from appliance.config import Config, Paths
from appliance.errors import ConflictError, RecordUnavailableError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
STARTING_S = 5.0


def open_ledger(paths: Paths, config: Config, clock: Clock) -> Ledger:
    """Return the running ledger's client, or the log opened in this process when none runs.

    A ledger that is just starting, or that a supervisor is about to start again, does not answer
    yet: it is waited for, and the record is never taken away from it. Raises ConflictError when
    the record is in use and no ledger answers, NotInitialisedError when there is no record,
    TamperedError when it is not whole.
    """
    client = LedgerClient(paths.ledger_socket)
    until = time.monotonic() + STARTING_S
    while True:
        if client.answers():
            return client
        if _supervised(paths):
            if time.monotonic() >= until:
                raise RecordUnavailableError("the ledger does not answer; nothing was done")
            time.sleep(0.05)
            continue
        try:
            return Log(paths.audit_db, clock, boot_id(), config.ledger)
        except ConflictError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.05)


def _supervised(paths: Paths) -> bool:
    return paths.supervisor_lock.exists() and durable.is_held(paths.supervisor_lock)


def boot_id(file: Path = BOOT_ID) -> str:
    """Return the kernel's random name of this boot."""
    return file.read_text().strip()
