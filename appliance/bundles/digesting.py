"""Digests of a model's weights while they stream by: of the whole, of each part, of each chunk.

Chunks of 64 MiB have digests of their own, so that all processor cores can re-hash the weights
each time they are loaded. Where there are not enough cores for that to help, a second SHA-256
would only slow the import down, and chunks have check sums (CRC-32) instead. The notes of a stream
(one line for each chunk, and one where a part ends within a chunk) say how far an interrupted copy
had come. They find what a power cut lost; whether the bytes are the signed ones is for the digest
of the whole.
Each class is a worker of a `Pipeline`, called by one thread. Not here: files.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

from appliance.bundles.manifest import VerifiedTarget
from appliance.bundles.media import check_digest, place_of

CHUNK_BYTES = 67_108_864
READ_BYTES = 4_194_304
NOTE = re.compile(rb"([1-9][0-9]{0,13}) ([0-9a-f]{64}|[0-9a-f]{8})")


class ChunkHash(Protocol):
    """What a chunk is given a short name by: a hash of `hashlib`, or a check sum."""

    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...

    def copy(self) -> Self: ...


class CheckSum:
    """CRC-32 with the methods of a hash: finds accidents, three times as fast as SHA-256."""

    def __init__(self, value: int = 0) -> None:
        self._value = value

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"

    def copy(self) -> CheckSum:
        return CheckSum(self._value)


MakeHash = Callable[[], ChunkHash]


class Digests:
    """How far the weights were hashed, and what came of it; goes on from where it stands."""

    def __init__(self, make: MakeHash = hashlib.sha256) -> None:
        self.make = make
        self.position = 0
        self.whole = hashlib.sha256()
        self.chunk = make()
        self.chunks: list[str] = []

    def copy(self) -> Digests:
        other = Digests(self.make)
        other.position, other.chunks = self.position, list(self.chunks)
        other.whole, other.chunk = self.whole.copy(), self.chunk.copy()
        return other

    def end_chunk(self) -> None:
        """Keep the digest of the chunk that is whole, and begin the next."""
        self.chunks.append(self.chunk.hexdigest())
        self.chunk = self.make()

    def all_chunks(self) -> tuple[str, ...]:
        """Return the digests of every chunk, the last one maybe shorter."""
        if self.position % CHUNK_BYTES:
            return (*self.chunks, self.chunk.hexdigest())
        return tuple(self.chunks)


class ChunkWorker:
    """Hashes chunk by chunk; `note(line)` is given a line at each chunk's and each part's end."""

    def __init__(
        self, digests: Digests, part_ends: Sequence[int], note: Callable[[bytes], None]
    ) -> None:
        self._digests = digests
        self._ends = sorted(part_ends)
        self._note = note

    def __call__(self, data: memoryview) -> None:
        while data:
            digests = self._digests
            chunk_end = (digests.position // CHUNK_BYTES + 1) * CHUNK_BYTES
            part_end = next((end for end in self._ends if end > digests.position), chunk_end)
            count = min(len(data), min(chunk_end, part_end) - digests.position)
            digests.chunk.update(data[:count])
            digests.position += count
            data = data[count:]
            if digests.position in (chunk_end, part_end):
                self._note(f"{digests.position} {digests.chunk.hexdigest()}\n".encode())
            if digests.position == chunk_end:
                digests.end_chunk()


class PartWorker:
    """Hashes parts that are read from their beginning; raises ContentError at a wrong part's end.

    The rest of a part whose beginning was copied before is left to the digest of the whole.
    """

    def __init__(self, parts: Sequence[VerifiedTarget], position: int) -> None:
        self._parts = list(parts)
        self._left = 0
        self._skip = 0
        start = 0
        for part in parts:
            if start < position:
                self._parts.remove(part)
                self._skip = max(0, start + part.length - position)
            start += part.length
        self._digest = hashlib.sha256()

    def __call__(self, data: memoryview) -> None:
        passed = min(self._skip, len(data))
        self._skip -= passed
        data = data[passed:]
        while data:
            part = self._parts[0]
            count = min(len(data), part.length - self._left)
            self._digest.update(data[:count])
            self._left += count
            data = data[count:]
            if self._left == part.length:
                check_digest(self._digest.hexdigest(), part.sha256, place_of(part))
                self._parts.pop(0)
                self._left, self._digest = 0, hashlib.sha256()


def parse_notes(data: bytes) -> Mapping[int, tuple[int, str]]:
    """Return for each chunk number the last (end, digest in hex) noted; reads no further than
    the first line that is not a note, as a crash may leave one.
    """
    found: dict[int, tuple[int, str]] = {}
    for line in data.split(b"\n"):
        match = NOTE.fullmatch(line)
        if match is None:
            break
        end = int(match[1])
        found[(end - 1) // CHUNK_BYTES] = (end, match[2].decode())
    return found


def rehash(
    read: Callable[[int, int], bytes],
    length: int,
    notes: Mapping[int, tuple[int, str]] | None,
    make: MakeHash = hashlib.sha256,
) -> Digests:
    """Return the digests of as much of `length` bytes as agrees with its notes, from the start.

    `read(offset, count)` returns up to `count` bytes, as `os.pread` does. Without notes the whole
    is hashed, and nothing is compared. `make` is how chunks are hashed.
    """
    digests = Digests(make)
    while digests.position < length:
        end = min(digests.position + CHUNK_BYTES, length)
        wanted = None
        if notes is not None:
            end, wanted = notes.get(len(digests.chunks), (0, ""))
        further = _further(digests, read, min(end, length))
        if further is None or wanted not in (None, further.chunk.hexdigest()):
            break
        digests = further
        if digests.position % CHUNK_BYTES:
            break
        digests.end_chunk()
    return digests


def _further(digests: Digests, read: Callable[[int, int], bytes], end: int) -> Digests | None:
    """Return the digests up to byte `end`, None when that is no further or cannot be read."""
    if end <= digests.position:
        return None
    further = digests.copy()
    while further.position < end:
        data = read(further.position, min(READ_BYTES, end - further.position))
        if not data:
            return None
        further.whole.update(data)
        further.chunk.update(data)
        further.position += len(data)
    return further
