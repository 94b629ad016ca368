"""What somebody does to a record, with or without stolen keys, before it is written."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from tests.simulators import auditor, record_forge
from tests.simulators.record_forge import Forge, signed_note

Change = Callable[[Forge], object]


def made() -> Forge:
    """Return a record of two epochs, signed up to 520, with a tail of four."""
    return Forge().add(200).checkpoint().add(99).hand_over().add(220).checkpoint().add(4)


def database(forge: Forge, folder: Path) -> Path:
    return forge.database(folder / "audit.db", auditor.schema())


def replaced(forge: Forge, seq: int, old: bytes, new: bytes) -> None:
    assert old in forge.entries[seq]
    forge.entries[seq] = forge.entries[seq].replace(old, new)


def restated(forge: Forge, seq: int, **changes: object) -> None:
    """Change an entry and make everything after it fit again."""
    forge.rewrite(seq, lambda value: value.update(changes))


def resigned(forge: Forge, size: int, epoch: int) -> None:
    """Sign the tree as it is now, with the key of an epoch."""
    text = f"{forge.log}\n{size}\n"
    text += base64.b64encode(record_forge.root(forge.leaves[:size])).decode() + "\n"
    forge.notes[size] = signed_note(text, forge.log, forge.secret(epoch))


def all_resigned(forge: Forge) -> None:
    """Sign all checkpoints anew: what somebody can do who stole every key."""
    for size in forge.notes:
        resigned(forge, size, 1 if size > 300 else 0)
