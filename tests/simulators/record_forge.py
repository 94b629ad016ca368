"""A second writer of the record, from docs/reference/record-format.md alone, for small records.

It shares no code with the package or with the stand-alone verifier: JSON by the rfc8785 package,
the tree by the recursion of RFC 9162, keys from fixed seeds. So it shows that the document is
enough to go by, and it makes records with one thing wrong: everything it would write lies open
in `entries`, `leaves`, `notes` and `handovers` until `database` or `export` writes it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LOG = "ward/audit/0123456789abcdef"
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
WITNESS = "witness.example"


def secret(label: str) -> Ed25519PrivateKey:
    """Return the private key that belongs to a label, always the same one."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(label.encode()).digest())


def key_id(name: str, algorithm: int, private: Ed25519PrivateKey) -> bytes:
    material = bytes([algorithm]) + public_bytes(private)
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]


def public_bytes(private: Ed25519PrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def verifier_key(private: Ed25519PrivateKey, name: str = LOG, algorithm: int = 1) -> str:
    """Return `name+id+base64(algorithm ‖ key)`."""
    material = base64.b64encode(bytes([algorithm]) + public_bytes(private)).decode()
    return f"{name}+{key_id(name, algorithm, private).hex()}+{material}"


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def root(leaves: list[bytes]) -> bytes:
    """Return the root by the definition in RFC 9162 section 2.1.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return the inclusion proof by the definition in RFC 9162 section 2.1.3.1."""
    if len(leaves) < 2:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*path(index, leaves[:split]), root(leaves[split:])]
    return [*path(index - split, leaves[split:]), root(leaves[:split])]


def frontier(leaves: list[bytes]) -> bytes:
    """Return the roots of the largest full subtrees, from left to right."""
    parts, start = b"", 0
    while start < len(leaves):
        width = 1 << ((len(leaves) - start).bit_length() - 1)
        parts += root(leaves[start : start + width])
        start += width
    return parts


def tile_name(level: str, index: int, width: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return f"tile/{level}/" + "/".join(groups) + ("" if width == 256 else f".p/{width}")


def signed_note(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Return three lines, an empty line, and one signature."""
    signature = key_id(name, 1, private) + private.sign(text.encode())
    return f"{text}\n\N{EM DASH} {name} {base64.b64encode(signature).decode()}\n"


def cosigned(note: str, unix_time: int, name: str = WITNESS) -> str:
    """Return the note with the signature of a witness added."""
    private, text = secret(name), note.partition("\n\n")[0] + "\n"
    message = f"cosignature/v1\ntime {unix_time}\n{text}".encode()
    data = key_id(name, 4, private) + unix_time.to_bytes(8, "big") + private.sign(message)
    return note + f"\N{EM DASH} {name} {base64.b64encode(data).decode()}\n"


@dataclass
class Forge:
    """A record in memory; `tail` entries at the end are covered by no checkpoint."""

    log: str = LOG
    entries: dict[int, bytes] = field(default_factory=dict)
    leaves: list[bytes] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    handovers: list[tuple[int, int | None, str]] = field(default_factory=list)
    pruned: int = 0
    seed: str = "epoch"

    def __post_init__(self) -> None:
        self.handovers.append((0, None, self.key(0)))

    def secret(self, number: int) -> Ed25519PrivateKey:
        return secret(f"{self.seed} {number}")

    def key(self, number: int) -> str:
        """Return the verifier key of an epoch."""
        return verifier_key(self.secret(number), self.log)

    @property
    def size(self) -> int:
        return len(self.leaves)

    def state(self, **changes: Any) -> dict[str, Any]:
        """Return the fields of the next entry."""
        seq = self.size
        moment = START + timedelta(seconds=seq)
        return {
            "v": 1, "log": self.log, "seq": seq,
            "t": moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "boot": "3f1b6c1e-0000-4000-8000-000000000001", "mono": 1_000_000 * seq,
            "prev": (self.leaves[-1] if self.leaves else bytes(32)).hex(),
            "type": "answer", "action": "answer.complete", "outcome": "success",
            "agent": {"user": "usr_1", "role": "clinician", "method": "password",
                      "credential": None},
            "source": "10.1.2.3", "entity": f"msg_{seq}", "purpose": "treatment",
            "model": {"name": "demo", "version": "1.0", "digest": "ab" * 32},
            "tokens": {"prompt": 12, "answer": 34}, "latency_ms": 1200,
            "policy": "model-active-and-allowed", "content": None,
            **changes,
        }  # fmt: skip

    def add(self, count: int = 1, **changes: Any) -> Forge:
        """Append entries."""
        for _ in range(count):
            self.append(rfc8785.dumps(self.state(**changes)))
        return self

    def append(self, entry: bytes) -> None:
        """Append an entry's bytes, whatever they are."""
        self.entries[self.size] = entry
        self.leaves.append(leaf(entry))

    def by_ledger(self, action: str, content: dict[str, Any] | None) -> Forge:
        """Append an entry that the ledger itself writes."""
        agent = {"user": "ledger", "role": "system", "method": "internal", "credential": None}
        kind = action.partition(".")[0]
        return self.add(
            type=kind if kind == "record" else "system", action=action, agent=agent, source=None,
            entity=None, purpose=None, model=None, tokens=None, latency_ms=None, policy=None,
            content=content,
        )  # fmt: skip

    def checkpoint(self, epoch: int | None = None) -> Forge:
        """Sign what there is so far, with the newest key unless another is named."""
        number = len(self.handovers) - 1 if epoch is None else epoch
        text = f"{self.log}\n{self.size}\n{base64.b64encode(root(self.leaves)).decode()}\n"
        self.notes[self.size] = signed_note(text, self.log, self.secret(number))
        return self

    def hand_over(self) -> Forge:
        """Begin the next epoch, with the checkpoint that closes the one before it."""
        number = len(self.handovers)
        content = {"epoch": number, "key": self.key(number), "previous": self.key(number - 1)}
        self.by_ledger("record.epoch", content)
        self.checkpoint()
        self.handovers.append((number, self.size - 1, self.key(number)))
        return self

    def prune(self, before: int) -> Forge:
        """Record that entries below `before` go, sign that, and let them go."""
        content = {"before": before, "root": root(self.leaves[:before]).hex(), "basis": "6 years"}
        self.by_ledger("record.prune", content).checkpoint()
        kept = {seq for _, seq, _ in self.handovers}
        for seq in range(before):
            if seq not in kept:
                self.entries.pop(seq, None)
        self.pruned = before
        return self

    def rewrite(self, start: int, change: Callable[[dict[str, Any]], None]) -> Forge:
        """Change entry `start` and compute every hash after it anew, as an attacker would."""
        values = [json.loads(self.entries[seq]) for seq in range(start, self.size)]
        change(values[0])
        del self.leaves[start:]
        for value in values:
            value["prev"] = (self.leaves[-1] if self.leaves else bytes(32)).hex()
            self.append(rfc8785.dumps(value))
        return self

    def tiles(self) -> dict[tuple[int, int], bytes]:
        """Return all tiles by (level, index), the last of each level perhaps partial."""
        found, level, hashes = {}, 0, self.leaves
        while hashes:
            for index in range((len(hashes) + 255) // 256):
                found[level, index] = b"".join(hashes[256 * index : 256 * (index + 1)])
            full = len(hashes) // 256
            hashes = [root(hashes[256 * index : 256 * (index + 1)]) for index in range(full)]
            level += 1
        return found

    def database(self, path: Path, schema: dict[str, str]) -> Path:
        """Write audit.db; `schema` are the statements of the document, by name."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN")
        tables = {name: sql for name, sql in schema.items() if sql.startswith("CREATE TABLE")}
        for sql in tables.values():
            connection.execute(sql)
        meta = {"log": self.log, "schema": "2", "key": self.key(0)}
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        last = self.leaves[-1] if self.leaves else bytes(32)
        head = (1, self.size, last, frontier(self.leaves), self.pruned)
        connection.execute("INSERT INTO head VALUES (?, ?, ?, ?, ?)", head)
        connection.executemany("INSERT INTO entries VALUES (?, ?)", sorted(self.entries.items()))
        full = [(*at, data) for at, data in self.tiles().items() if len(data) == 256 * 32]
        connection.executemany("INSERT INTO tiles VALUES (?, ?, ?)", full)
        connection.executemany("INSERT INTO checkpoints VALUES (?, ?)", sorted(self.notes.items()))
        connection.executemany("INSERT INTO epochs VALUES (?, ?, ?)", self.handovers)
        for name in schema.keys() - tables.keys():
            connection.execute(schema[name])
        connection.execute("COMMIT")
        connection.close()
        return path

    def files(self) -> dict[str, bytes]:
        """Return the files of the tiles export, up to the newest checkpoint."""
        newest = max(self.notes)
        part = Forge(self.log, leaves=self.leaves[:newest], seed=self.seed)
        keys = "".join(f"{key}\n" for _, seq, key in self.handovers if (seq or 0) < newest)
        found = {"checkpoint": self.notes[newest].encode(), "keys": keys.encode()}
        found |= {f"checkpoints/{size}": note.encode() for size, note in self.notes.items()}
        for (level, index), data in part.tiles().items():
            found[tile_name(str(level), index, len(data) // 32)] = data
        for first in range(self.pruned, newest, 256):
            bundle = [self.entries[seq] for seq in range(first, min(first + 256, newest))]
            data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in bundle)
            found[tile_name("entries", first // 256, len(bundle))] = data
        for number, seq, _ in self.handovers[1:]:
            if seq is not None and seq < newest:
                found[f"epochs/{number}"] = self.entries[seq]
        return found

    def export(self, folder: Path) -> Path:
        """Write the tiles export as a folder."""
        for name, data in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def receipt(self, seq: int, size: int | None = None) -> str:
        """Return the .tlog-proof of an entry under a checkpoint that there is."""
        size = max(self.notes) if size is None else size
        hashes = [base64.b64encode(item).decode() for item in path(seq, self.leaves[:size])]
        extra = base64.b64encode(self.entries[seq]).decode()
        lines = ["c2sp.org/tlog-proof@v1", f"extra {extra}", f"index {seq}", *hashes, "", ""]
        return "\n".join(lines) + self.notes[size]


def packed(folder: Path, target: Path) -> Path:
    """Pack a folder into a tar file, not compressed."""
    with tarfile.open(target, "w:") as archive:
        for item in sorted(folder.rglob("*")):
            archive.add(item, item.relative_to(folder).as_posix(), recursive=False)
    return target
