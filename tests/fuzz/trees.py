"""A bundle as a value: path to content. Laid out as files, and compared by what it means."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tuf.api.metadata import Metadata, Root


@dataclass(frozen=True)
class Odd:
    """Something other than a plain file: where a link leads, or what a marked file holds."""

    kind: Literal["link", "fifo", "folder", "second name", "set-user-id"]
    data: bytes = b""


Entry = bytes | Odd
Tree = Mapping[str, Entry]
# Files whose text may be written differently and still say what was signed, and the roots whose
# keys sign them: nothing else pins their bytes. Snapshot and targets are pinned by digest, and
# the first root by a person.
FREE_TEXT = {
    "metadata/timestamp.json": ("metadata/2.root.json",),
    "metadata/2.root.json": ("metadata/1.root.json", "metadata/2.root.json"),
}
UNSIGNED = "returns/"


def read(folder: Path) -> dict[str, Entry]:
    """Return a folder of plain files."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def lay(folder: Path, old: Tree, new: Tree) -> None:
    """Make `folder`, which holds `old`, hold `new`; only what differs is touched."""
    for path in [path for path, entry in old.items() if new.get(path) != entry]:
        place = folder / path
        if isinstance(old[path], Odd) and place.is_dir() and not place.is_symlink():
            place.rmdir()
        else:
            place.unlink()
            (folder.parent / "second-name").unlink(missing_ok=True)
    for path in [path for path, entry in new.items() if old.get(path) != entry]:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        _make(place, new[path], folder.parent / "second-name")
    for path in old.keys() - new.keys():
        with contextlib.suppress(OSError):
            os.removedirs((folder / path).parent)


def _make(place: Path, entry: Entry, second: Path) -> None:
    if isinstance(entry, bytes):
        place.write_bytes(entry)
    elif entry.kind == "link":
        os.symlink(entry.data, os.fsencode(place))
    elif entry.kind == "fifo":
        os.mkfifo(place)
    elif entry.kind == "folder":
        place.mkdir()
    else:
        place.write_bytes(entry.data)
        if entry.kind == "second name":
            os.link(place, second)
        else:
            place.chmod(0o4644)


def same(good: Tree, other: Tree) -> bool:
    """Return whether a bundle says the same as the good one, so that it is no attack.

    1. Below `returns/` anything may lie. 2. Every other path is in both, with equal bytes;
    3. except for the few files whose bytes nothing pins. There the signed part, as it is read,
    must be byte for byte that which the publisher signed, and by the rules of TUF enough of the
    publisher's signatures must still stand on it. What else is written around the signed part
    is not signed and not used.
    """
    one, two = _signed(good), _signed(other)
    if one.keys() != two.keys():
        return False
    return all(
        entry == two[path] or _alike(path, content(entry), two[path], good)
        for path, entry in one.items()
    )


def content(entry: Entry) -> bytes:
    """Return the bytes of an entry."""
    return entry if isinstance(entry, bytes) else entry.data


def _signed(tree: Tree) -> dict[str, Entry]:
    return {path: entry for path, entry in tree.items() if not path.startswith(UNSIGNED)}


def _alike(path: str, first: bytes, second: Entry, good: Tree) -> bool:
    signers = FREE_TEXT.get(path)
    if signers is None or isinstance(second, Odd):
        return False
    # Whatever cannot be read or verified is not alike; this does not judge how it is refused.
    with contextlib.suppress(Exception):
        metadata: Metadata[Any] = Metadata.from_bytes(second)
        message = metadata.signed_bytes
        for name in signers:
            root: Metadata[Root] = Metadata.from_bytes(content(good[name]))
            root.signed.verify_delegate(metadata.signed.type, message, metadata.signatures)
        return message == Metadata.from_bytes(first).signed_bytes
    return False
