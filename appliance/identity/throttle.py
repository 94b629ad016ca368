"""Counts failed attempts that belong to no account; bounded in memory, forgotten at a restart.

Accounts have their own count in the database (`store.py`). Here are counted addresses, and names
that do not exist: these must lock out like real ones, or the lock-out tells which names exist.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from appliance.clock import Clock

NANOSECONDS = 1_000_000_000


# A ward shares one address: it may fail this much more often than one account.
SOURCE_FACTOR = 4


@dataclass
class _Count:
    failures: int
    last: int
    locked_until: int = 0


class Throttle:
    """Locks a key for `lock_s` seconds after `failures` failures less than `lock_s` apart.

    Holds `capacity` keys at most; the one that failed longest ago is forgotten first. Interval
    time only: setting the machine's clock neither locks nor unlocks.
    """

    def __init__(self, clock: Clock, failures: int, lock_s: int, capacity: int = 4096) -> None:
        self._clock = clock
        self._failures = failures
        self._lock_ns = lock_s * NANOSECONDS
        self._capacity = capacity
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._guard = threading.Lock()

    def note_failure(self, key: str) -> int | None:
        """Count one failure; return for how many seconds it locks, or None if it does not."""
        now = self._clock.monotonic_ns()
        with self._guard:
            count = self._counts.pop(key, None)
            if count is None or now - count.last >= self._lock_ns:
                count = _Count(0, now)
            count.failures += 1
            count.last = now
            self._counts[key] = count
            while len(self._counts) > self._capacity:
                self._counts.popitem(last=False)
            if count.failures < self._failures:
                return None
            count.failures, count.locked_until = 0, now + self._lock_ns
            return self._lock_ns // NANOSECONDS

    def locked_for(self, key: str) -> int:
        """Return for how many seconds the key is still locked; 0 when it is not."""
        with self._guard:
            count = self._counts.get(key)
            left = 0 if count is None else count.locked_until - self._clock.monotonic_ns()
        return max(0, math.ceil(left / NANOSECONDS))


class Attempts:
    """What a sign-in asks besides the account's own count: the address, the unknown name."""

    def __init__(self, clock: Clock, failures: int, lock_s: int) -> None:
        self._sources = Throttle(clock, failures * SOURCE_FACTOR, lock_s)
        self._unknown = Throttle(clock, failures, lock_s)

    def note_source_failure(self, source: str) -> int | None:
        """Count a failed attempt from an address; return for how many seconds it locks."""
        return self._sources.note_failure(source)

    def source_locked_for(self, source: str) -> int:
        """Return for how many seconds the address is locked; 0 when it is not."""
        return self._sources.locked_for(source)

    def note_unknown_failure(self, name: str) -> int | None:
        """Count an attempt on a name that has no account, as if it had one."""
        return self._unknown.note_failure(_short(name))

    def unknown_locked_for(self, name: str) -> int:
        """Return for how many seconds a name that has no account is locked, as if it had one."""
        return self._unknown.locked_for(_short(name))


def _short(name: str) -> str:
    # A typed name may be a megabyte, or a password typed into the wrong field.
    folded = name.strip().casefold().encode("utf-8", "surrogatepass")
    return hashlib.sha256(folded).hexdigest()
