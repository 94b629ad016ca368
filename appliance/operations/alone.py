"""One process at a time destroys or re-wraps keys; after a crash, the record says how far it got.

The lock is a file: the kernel drops it when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from appliance import durable
from appliance.assembly import Appliance
from appliance.audit.query import Query
from appliance.errors import ConflictError

WAIT_S = 15.0
LOOK_EVERY_S = 0.05
CONTENT = "the content of this state folder"


@contextlib.contextmanager
def alone(appliance: Appliance, wait_s: float = WAIT_S) -> Iterator[None]:
    """Let nobody else erase, purge or re-wrap meanwhile; ConflictError when that takes too long."""
    deadline = time.monotonic() + wait_s
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(durable.exclusive(appliance.config.paths.content_lock, CONTENT))
                break
            except ConflictError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(LOOK_EVERY_S)
        yield


def traces(appliance: Appliance, entity: str) -> list[dict[str, Any]]:
    """Return every entry of the record about `entity`, the newest first."""
    found: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        page = appliance.ledger.search(Query(entity=entity, before_seq=before))
        found += page.entries
        if page.next_before is None:
            return found
        before = page.next_before
