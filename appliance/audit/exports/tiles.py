"""The whole record with its tree, as a tar of C2SP tlog-tiles: whoever has it can prove anything.

    checkpoint              the newest signed note; what follows is the tree of its size
    keys                    every epoch's verifier key, one to a line, the first epoch first
    checkpoints/<size>      every signed note there is
    epochs/<number>         the entry that hands over to epoch 1, 2, …
    tile/<L>/<N>[.p/<W>]    256 hashes of level L, or W at the edge of the tree
    tile/entries/<N>[.p/<W>]  256 entries, each with its length before it (two bytes, big-endian)

N is written in groups of three digits, all but the last with an x before: x001/x234/067. Bundles
of entries that were let go are not there; their tiles are.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Iterator

from appliance.audit import store
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.store import Readers
from appliance.audit.tree import HEIGHT, WIDTH, Tree
from appliance.errors import UnavailableError

LENGTH = struct.Struct(">H")


def pieces(readers: Readers, note: str) -> Iterator[bytes]:
    """Yield the tar; `note` is a checkpoint of this record. One tile or bundle at a time."""
    size = SignedCheckpoint.parse(note).checkpoint.size
    for name, data in _files(readers, note, size):
        yield _member(name, data)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _files(readers: Readers, note: str, size: int) -> Iterator[tuple[str, bytes]]:
    yield "checkpoint", note.encode()
    with readers.one() as connection:
        # The record may have grown since the checkpoint was chosen.
        epochs = [epoch for epoch in store.read_epochs(connection) if (epoch.seq or 0) < size]
        notes = [found for found in store.read_checkpoints(connection) if found[0] <= size]
        pruned = store.read_head(connection).pruned
        handed = {
            epoch.number: store.read_entry(connection, epoch.seq)
            for epoch in epochs
            if epoch.seq is not None
        }
    yield "keys", "".join(f"{epoch.key}\n" for epoch in epochs).encode()
    for at, text in notes:
        yield f"checkpoints/{at}", text.encode()
    for number, entry in handed.items():
        yield f"epochs/{number}", entry or b""
    level = 0
    while count := size >> level * HEIGHT:
        for index, width in _tiles(0, count):
            with readers.one() as connection:
                hashes = Tree(connection).hashes(level, index * WIDTH, index * WIDTH + width)
            yield f"tile/{level}/{path(index, width)}", b"".join(hashes)
        level += 1
    for index, width in _tiles(pruned // WIDTH, size):
        yield f"tile/entries/{path(index, width)}", _bundle(readers, index, width)


def path(index: int, width: int) -> str:
    """Return where a tile lies, by its number and how many of its 256 places are filled."""
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return name if width == WIDTH else f"{name}.p/{width}"


def _tiles(first: int, count: int) -> Iterator[tuple[int, int]]:
    for index in range(first, -(-count // WIDTH)):
        yield index, min(WIDTH, count - index * WIDTH)


def _bundle(readers: Readers, index: int, width: int) -> bytes:
    with readers.one() as connection:
        rows = connection.execute(
            "SELECT entry FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq",
            (index * WIDTH, index * WIDTH + width),
        ).fetchall()
    if len(rows) != width:
        raise UnavailableError("entries were let go while they were exported", hint="export again")
    return b"".join(LENGTH.pack(len(data)) + data for (data,) in rows)


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    padding = bytes(-len(data) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + padding
