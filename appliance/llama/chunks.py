"""A file compared with a list of its chunks' digests, on several cores at once.

Guarantee: `match` is true only when the file consists of exactly the listed chunks: 64 MiB each,
the last one at most that long and not empty. Whether the list is the right one is for the caller.
Format: one SHA-256 per line in lowercase hex.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

CHUNK_BYTES = 64 * 1_048_576
# A list for 4 TiB, far beyond any model.
MAX_LIST_BYTES = 65_536 * 65
BLOCK_BYTES = 1_048_576
MOST_THREADS = 16
_LINE = re.compile("[0-9a-f]{64}")


def parse(data: bytes) -> tuple[str, ...]:
    """Return the digests in a list; none when it is anything else than such a list."""
    lines = data.decode("ascii", "replace").splitlines()
    return tuple(lines) if all(map(_LINE.fullmatch, lines)) else ()


def match(descriptor: int, digests: Sequence[str], *, chunk_bytes: int = CHUNK_BYTES) -> bool:
    """Tell whether an open file consists of the listed chunks and nothing else."""
    size = os.fstat(descriptor).st_size
    if not size or len(digests) != -(-size // chunk_bytes):
        return False
    broken = threading.Event()

    def same(number: int) -> bool:
        if broken.is_set():
            return False
        is_same = _hash(descriptor, number * chunk_bytes, chunk_bytes) == digests[number]
        if not is_same:
            broken.set()
        return is_same

    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)), len(digests))
    with ThreadPoolExecutor(threads) as pool:
        return all(pool.map(same, range(len(digests))))


def _hash(descriptor: int, start: int, length: int) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(BLOCK_BYTES))
    end = start + length
    while start < end:
        count = os.preadv(descriptor, [buffer[: end - start]], start)
        if count <= 0:
            break
        digest.update(buffer[:count])
        start += count
    return digest.hexdigest()
