#!/usr/bin/env python3
"""Check the audit record of an appliance, on any computer, without the appliance.

One file: Python 3.11 or newer and the `cryptography` package. It shares no code with the
appliance, and was written from docs/reference/record-format.md alone. Nothing of the input is
executed, unpacked to disk, or changed.

What is done, in this order:

1. Read what you trust: the first key (from paper) and older checkpoints (from elsewhere).
2. Open the record read-only; its layout must be exactly the one of the format.
3. Walk all entries: canonical bytes, exact fields, number, log, link to the entry before, tiles.
4. At each checkpoint: the root over all entries so far, and the signature with the key of its
   epoch. A key counts only when an entry under a signature of the key before names it.
5. At each older checkpoint you gave: the root must be the one that this record had at that size.
6. Compare the rest: head, list of epochs, entries that were let go by a recorded prune.
7. Report three ranges: anchored, signed only, unsealed tail; or the first bad entry.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, TypeVar

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.exit("this check needs the Python package `cryptography`: pip install cryptography")

WHOLE, BAD_INPUT, TAMPERED, INCOMPLETE = 0, 2, 3, 4
WORDS = {WHOLE: "whole", BAD_INPUT: "bad input", TAMPERED: "tampered", INCOMPLETE: "incomplete"}

MAX_ENTRY = 65_535
MAX_NOTE = 65_536
MAX_INTEGER = 2**53 - 1
TILE = 256
HASH = 32
GENESIS = bytes(HASH)
EMPTY_ROOT = hashlib.sha256().digest()
# The appliance signs every 1,000 entries and every 60 seconds. A longer tail means that it did
# not, or that somebody took the newest checkpoints away.
MAX_TAIL_ENTRIES = 2_000
MAX_TAIL_SECONDS = 600

FIELDS = frozenset(
    {
        "v", "log", "seq", "t", "boot", "mono", "prev", "type", "action", "outcome", "agent",
        "source", "entity", "purpose", "model", "tokens", "latency_ms", "policy", "content",
    }
)  # fmt: skip
TYPES = frozenset({"answer", "content", "identity", "model", "record", "system"})
OUTCOMES = frozenset({"intent", "success", "refused", "failure"})
ACTION = re.compile(r"[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*", re.ASCII)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
HEX32 = re.compile(r"[0-9a-f]{64}", re.ASCII)


# What reading a damaged database ends in; its own messages may not even be UTF-8.
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)


class BadInputError(Exception):
    """What was given cannot be read as what it should be; nothing is said about the record."""


class TamperedError(Exception):
    """The record is not as it was written; `seq` is the first bad entry, if one can be named."""

    def __init__(self, seq: int | None, what: str) -> None:
        super().__init__(what)
        self.seq = seq
        self.what = what


# --- Keys and signed notes -----------------------------------------------------------------------

LOG_KEY, WITNESS_KEY = 1, 4
NOT_A_KEY = "not a verifier key: expected name+id+key itself, not a file that holds it"


@dataclass(frozen=True)
class Key:
    """A public key as `name+id+base64(algorithm ‖ 32 bytes)`."""

    name: str
    id: bytes
    algorithm: int
    public: bytes
    text: str

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Say whether the Ed25519 signature holds."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_key(text: str) -> Key:
    """Read a verifier key; raise BadInputError when it is none, or its id does not match."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not is_name(parts[0]):
        raise BadInputError(NOT_A_KEY)
    material = from_base64(parts[2])
    if material is None or len(material) != 1 + HASH or material[0] not in {LOG_KEY, WITNESS_KEY}:
        raise BadInputError(NOT_A_KEY)
    key_id = hashlib.sha256(parts[0].encode() + b"\n" + material).digest()[:4]
    if parts[1] != key_id.hex():
        raise BadInputError("not a verifier key: its id does not belong to it (a misread letter?)")
    return Key(parts[0], key_id, material[0], material[1:], text)


def log_key(seq: int, text: object, log: str) -> Key:
    """Return the key that entry `seq` hands over to; raise TamperedError unless it can be one."""
    try:
        key = parse_key(str(text))
    except BadInputError as error:
        raise TamperedError(seq, f"what it hands over to is {error}") from error
    if key.name != log or key.algorithm != LOG_KEY:
        raise TamperedError(seq, "the key it hands over to is not a key of this log")
    return key


def is_name(text: str) -> bool:
    """Say whether a text can be the name of a key."""
    return bool(text) and "+" not in text and not any(c.isspace() or ord(c) < 32 for c in text)


def from_base64(text: str) -> bytes | None:
    """Return the bytes, or None unless `text` is exactly their base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if base64.b64encode(data).decode() == text else None


@dataclass(frozen=True)
class Note:
    """A checkpoint with its signature lines, none of them verified yet."""

    origin: str
    size: int
    root: bytes
    signed: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def signature_of(self, key: Key) -> bytes | None:
        """Return the bytes of the first signature that names this key."""
        for name, key_id, data in self.signatures:
            if name == key.name and key_id == key.id:
                return data
        return None

    def is_signed_by(self, key: Key) -> bool:
        """Say whether a signature line of this key is there and holds."""
        data = self.signature_of(key)
        return data is not None and len(data) == 64 and key.verify(data, self.signed)

    def cosigned_at(self, witness: Key) -> int | None:
        """Return the Unix time a witness states, None if it did not sign; raise if it is false."""
        data = self.signature_of(witness)
        if data is None:
            return None
        when = int.from_bytes(data[:8], "big")
        message = f"cosignature/v1\ntime {when}\n".encode() + self.signed
        if len(data) != 72 or not witness.verify(data[8:], message):
            raise TamperedError(None, f"the co-signature of {witness.name} does not hold")
        return when


def parse_note(data: bytes) -> Note:
    """Read a signed checkpoint; raise BadInputError on anything else."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadInputError("not a checkpoint: it is not UTF-8") from error
    body, gap, lines = text.rpartition("\n\n")
    if len(data) > MAX_NOTE or not gap or not lines.endswith("\n"):
        raise BadInputError("not a checkpoint: it has no signatures, or is too long")
    if any(ord(letter) < 32 and letter != "\n" for letter in text):
        raise BadInputError("not a checkpoint: it has control characters")
    stated = body.split("\n")
    if len(stated) != 3 or not is_name(stated[0]):
        raise BadInputError("not a checkpoint: it has not three lines before the signatures")
    size, root = whole_number(stated[1]), from_base64(stated[2])
    if size is None or root is None or len(root) != HASH:
        raise BadInputError("not a checkpoint: its size or root cannot be read")
    signatures = tuple(parse_signature(line) for line in lines[:-1].split("\n"))
    return Note(stated[0], size, root, (body + "\n").encode(), signatures)


def parse_signature(line: str) -> tuple[str, bytes, bytes]:
    """Return name, 4-byte key id and signature bytes of one line."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = from_base64(encoded)
    if dash != "\N{EM DASH}" or not is_name(name) or data is None or len(data) < 5:
        raise BadInputError("not a checkpoint: a signature line cannot be read")
    return name, data[:4], data[4:]


def whole_number(text: str) -> int | None:
    """Return a decimal number in its one shortest form, up to 2^53 - 1."""
    if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text, re.ASCII):
        return None
    number = int(text)
    return number if number <= MAX_INTEGER else None


# --- Entries -------------------------------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry's bytes as a leaf (RFC 9162)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def read_entry(seq: int, data: bytes | None, log: str) -> dict[str, Any]:
    """Return what an entry states; raise TamperedError unless every byte is as it must be."""
    if data is None:
        raise TamperedError(seq, f"it is not a run of bytes, or has more than {MAX_ENTRY}")
    value = decode(seq, data)
    if value.keys() != FIELDS:
        raise TamperedError(seq, "it has not exactly the 19 fields of an entry")
    for name, holds in CHECKS.items():
        if not holds(value[name]):
            raise TamperedError(seq, f"its field {name!r} holds what it cannot hold")
    if value["seq"] != seq:
        raise TamperedError(seq, f"it says that it is entry {value['seq']}")
    if value["log"] != log:
        raise TamperedError(seq, f"it belongs to another record, {value['log'][:100]!r}")
    return value


def decode(seq: int, data: bytes) -> dict[str, Any]:
    """Return the JSON object; raise TamperedError unless `data` is its RFC 8785 form."""
    try:
        if len(data) > MAX_ENTRY:
            refuse("it is too long")
        value = DECODER.decode(data.decode())
        # A second spelling of the same thing would have a second hash, so only one is allowed.
        # Python sorts keys by code point and RFC 8785 by UTF-16 unit: the same for ASCII keys.
        if not isinstance(value, dict) or ENCODER.encode(value).encode() != data:
            refuse("it is not in canonical form")
        if not data.isascii() and not has_ascii_keys(value):
            refuse("a key is not ASCII")
    except (ValueError, RecursionError) as error:
        raise TamperedError(seq, f"its bytes are not a canonical entry ({error})") from error
    return value


def integer(text: str) -> int:
    """Read an integer of at most 2^53 - 1 in size."""
    number = int(text)
    if abs(number) > MAX_INTEGER:
        refuse("a number is too large")
    return number


def refuse(what: str) -> NoReturn:
    """Raise what `decode` turns into a finding."""
    raise ValueError(what[:60])


DECODER = json.JSONDecoder(parse_float=refuse, parse_constant=refuse, parse_int=integer)
ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def has_ascii_keys(value: object) -> bool:
    """Say whether all keys of all objects within are ASCII."""
    if isinstance(value, dict):
        return all(key.isascii() and has_ascii_keys(item) for key, item in value.items())
    return all(map(has_ascii_keys, value)) if isinstance(value, list) else True


def is_text(value: object) -> bool:
    return type(value) is str


def is_text_or_null(value: object) -> bool:
    return value is None or type(value) is str


def is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def is_agent(value: object) -> bool:
    """Exactly user, role, method, and credential, which alone may be null."""
    return (
        isinstance(value, dict)
        and value.keys() == {"user", "role", "method", "credential"}
        and is_text_or_null(value["credential"])
        and all(is_text(value[name]) for name in ("user", "role", "method"))
    )


def is_model(value: object) -> bool:
    """Null, or exactly name, version and digest."""
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"name", "version", "digest"}
        and all(map(is_text, value.values()))
    )


CHECKS: dict[str, Callable[[Any], bool]] = {
    "v": lambda value: type(value) is int and value == 1,
    "log": is_text,
    "seq": is_count,
    "t": lambda value: is_text(value) and TIME.fullmatch(value) is not None,
    "boot": is_text,
    "mono": is_count,
    "prev": lambda value: is_text(value) and HEX32.fullmatch(value) is not None,
    "type": lambda value: is_text(value) and value in TYPES,
    "action": lambda value: is_text(value) and ACTION.fullmatch(value) is not None,
    "outcome": lambda value: is_text(value) and value in OUTCOMES,
    "agent": is_agent,
    "source": is_text_or_null,
    "entity": is_text_or_null,
    "purpose": is_text_or_null,
    "model": is_model,
    "tokens": lambda value: (
        value is None or (isinstance(value, dict) and all(map(is_count, value.values())))
    ),
    "latency_ms": lambda value: value is None or is_count(value),
    "policy": is_text_or_null,
    "content": lambda value: value is None or isinstance(value, dict),
}


# --- Merkle tree ---------------------------------------------------------------------------------


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees (RFC 9162)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(hashes: list[bytes]) -> list[bytes]:
    """Return the roots of the largest full subtrees over some hashes, from left to right."""
    found, start = [], 0
    while start < len(hashes):
        width = 1 << ((len(hashes) - start).bit_length() - 1)
        row = hashes[start : start + width]
        while len(row) > 1:
            row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        found.append(row[0])
        start += width
    return found


class Tree:
    """The tree over the leaves so far, in memory that does not grow with them (but see `past`)."""

    def __init__(self) -> None:
        self.size = 0
        self.levels: list[list[bytes]] = [[]]  # the tile that is being filled, per level
        self.full: list[bytes] = []  # frontier over whole tiles of level 0
        self.past = bytearray()  # the root at each multiple of 256: 32 bytes per 256 entries

    def add(self, leaf: bytes) -> list[tuple[int, int, list[bytes]]]:
        """Take the next leaf; return the tiles that it completes: (level, index, hashes)."""
        self.size += 1
        done: list[tuple[int, int, list[bytes]]] = []
        level, value = 0, leaf
        while True:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(value)
            if len(row) < TILE:
                break
            done.append((level, (self.size >> (8 * (level + 1))) - 1, row))
            self.levels[level] = []
            value = peaks(row)[0]
            level += 1
            if level == 1:
                self._add_tile(value)
        return done

    def _add_tile(self, root: bytes) -> None:
        count = (self.size >> 8) - 1
        while count & 1:
            root = node_hash(self.full.pop(), root)
            count >>= 1
        self.full.append(root)
        self.past += self.root()

    def frontier(self) -> list[bytes]:
        """Return the roots of the largest full subtrees, the largest first."""
        return self.full + peaks(self.levels[0])

    def root(self) -> bytes:
        """Return the root hash of the tree so far."""
        parts = self.frontier()
        if not parts:
            return EMPTY_ROOT
        node = parts.pop()
        while parts:
            node = node_hash(parts.pop(), node)
        return node

    def root_at(self, size: int) -> bytes | None:
        """Return the root at an earlier size, a multiple of 256 above 0."""
        if size <= 0 or size % TILE or size > self.size:
            return None
        start = (size // TILE - 1) * HASH
        return bytes(self.past[start : start + HASH])


def root_of_proof(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """Return the root an inclusion proof leads to (RFC 9162 section 2.1.3.2), None if misfit."""
    node, place, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


# --- Where a record is read from -----------------------------------------------------------------


class Source(Protocol):
    """A record at rest. Streams come in order; nothing in it is trusted yet."""

    log: str
    first_key: str
    size: int  # number of entries, those that were let go included
    pruned: int  # below this number entries may be missing; their hashes are in the tiles
    keeps_partial: bool  # whether the last, unfilled tiles are stored too
    remarks: list[str]

    def entries(self) -> Iterator[tuple[int, bytes | None]]: ...
    def tile(self, level: int, index: int, width: int) -> bytes | None: ...
    def checkpoints(self) -> Iterator[tuple[int, bytes]]: ...
    def handovers(self) -> Iterator[Handover]: ...
    def finish(self, tree: Tree, last_leaf: bytes, keys: list[str]) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Handover:
    """One row of the list of epochs: number, the new key, and its entry's number if stated."""

    number: int
    seq: int | None
    key: str


def expected_tiles(size: int) -> int:
    """Return how many full tiles a record of this size has, on all levels."""
    count = 0
    while size >= TILE:
        size //= TILE
        count += size
    return count


def refusing(name: str, event: str, condition: str = "") -> str:
    """Return the statement of a trigger that makes the database refuse a change by mistake."""
    return (
        f"CREATE TRIGGER {name} BEFORE {event} ON {name.partition('_')[0]}{condition} "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    )


SCHEMA = {
    "meta": "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "head": "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, "
    "leaf BLOB NOT NULL, frontier BLOB NOT NULL, pruned INTEGER NOT NULL) STRICT",
    "entries": "CREATE TABLE entries (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT",
    "tiles": "CREATE TABLE tiles (level INTEGER NOT NULL, idx INTEGER NOT NULL, "
    "hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID",
    "checkpoints": "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT",
    "epochs": "CREATE TABLE epochs (number INTEGER PRIMARY KEY, seq INTEGER, key TEXT NOT NULL) "
    "STRICT",
    "entries_no_delete": refusing(
        "entries_no_delete", "DELETE", " WHEN OLD.seq >= (SELECT pruned FROM head)"
    ),
    "entries_no_replace": refusing(
        "entries_no_replace", "INSERT", " WHEN NEW.seq <= (SELECT max(seq) FROM entries)"
    ),
    **{
        name: refusing(name, name.rpartition("_")[2].upper())
        for name in (
            "entries_no_update", "meta_no_update", "meta_no_delete", "tiles_no_update",
            "tiles_no_delete", "checkpoints_no_update", "checkpoints_no_delete",
            "epochs_no_update", "epochs_no_delete", "head_no_delete",
        )
    },
}  # fmt: skip


class Database:
    """A copy of audit.db."""

    keeps_partial = False

    def __init__(self, path: Path) -> None:
        self.remarks: list[str] = []
        self._cleanup = contextlib.ExitStack()
        try:
            self._open(path)
        except DAMAGED as error:
            self.close()
            raise TamperedError(None, f"the database is damaged: {error}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path) -> None:
        where, mode = path, "mode=ro&immutable=1"
        if waiting_log(path):
            where, mode = self._copy(path), "mode=ro"
        connection = sqlite3.connect(f"{where.absolute().as_uri()}?{mode}", uri=True)
        self._cleanup.callback(connection.close)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 64 * 1024 * 1024)
        # Nothing that a prepared file may carry (views, triggers, functions) is to be run.
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA query_only=ON")
        self._sql = connection
        self._check_layout()
        self._read_meta()

    def _copy(self, path: Path) -> Path:
        """Return a copy with its write-ahead log; the original is not touched."""
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        for _ in range(3):
            before = path.stat()
            for end in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{end}", folder / f"audit.db{end}")
            after = path.stat()
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
                return folder / "audit.db"
        raise BadInputError("the record is being written; check a copy, or the tiles export")

    def _check_layout(self) -> None:
        rows = self._sql.execute(
            "SELECT name, sql FROM sqlite_schema "
            "WHERE sql NOT NULL OR name NOT LIKE 'sqlite_autoindex_%'"
        ).fetchall()
        there = dict(rows)
        # SQLite lets a trigger or an index share its name with another thing, and hide behind it.
        if len(there) != len(rows):
            raise TamperedError(None, "two of its tables, indexes or triggers have one name")
        for name in sorted(there.keys() | SCHEMA.keys(), key=str):
            if there.get(name) != SCHEMA.get(name):
                state = "missing" if name not in there else "not as the format says"
                raise TamperedError(None, f"its table or trigger {str(name)[:80]!r} is {state}")

    def _read_meta(self) -> None:
        meta = dict(self._sql.execute("SELECT name, value FROM meta"))
        if meta.keys() != {"schema", "log", "key"} or meta["schema"] != "2":
            raise TamperedError(None, "it does not say that its version is 2, or which log it is")
        self.log, self.first_key = str(meta["log"]), str(meta["key"])
        rows = self._sql.execute("SELECT one, size, leaf, frontier, pruned FROM head").fetchall()
        if len(rows) != 1 or not (is_count(rows[0][1]) and is_count(rows[0][4])):
            raise TamperedError(None, "it has no head, or a head that cannot be")
        _, self.size, self._leaf, self._frontier, self.pruned = rows[0]
        if self.pruned % TILE or self.pruned > self.size:
            raise TamperedError(None, "its head states a first entry that cannot be")

    def entries(self) -> Iterator[tuple[int, bytes | None]]:
        yield from self._sql.execute(
            "SELECT seq, CASE WHEN typeof(entry) = 'blob' AND length(entry) <= 65535 "
            "THEN entry END FROM entries ORDER BY seq"
        )

    def tile(self, level: int, index: int, width: int) -> bytes | None:
        row = self._sql.execute(
            "SELECT hashes FROM tiles WHERE level = ? AND idx = ?", (level, index)
        ).fetchone()
        return row[0] if row is not None and type(row[0]) is bytes else None

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        for size, note in self._sql.execute("SELECT size, note FROM checkpoints ORDER BY size"):
            if not is_count(size) or not is_text(note):
                raise TamperedError(None, "a checkpoint is stored as something else")
            yield size, note.encode(errors="replace")

    def handovers(self) -> Iterator[Handover]:
        rows = self._sql.execute("SELECT number, seq, key FROM epochs ORDER BY number")
        if next(rows, None) != (0, None, self.first_key):
            raise TamperedError(None, "its list of epochs does not begin with the first key")
        for number, seq, key in rows:
            if not (is_count(number) and is_count(seq) and is_text(key)):
                raise TamperedError(None, "its list of epochs holds what cannot be")
            yield Handover(number, seq, key)

    def finish(self, tree: Tree, last_leaf: bytes, keys: list[str]) -> None:
        last = tree.size - 1 if tree.size else None
        if self._leaf != last_leaf or self._frontier != b"".join(tree.frontier()):
            raise TamperedError(last, "the head does not name it as the last entry")
        count = self._sql.execute("SELECT count(*) FROM tiles").fetchone()[0]
        if count != expected_tiles(tree.size):
            raise TamperedError(None, f"it has {count} tiles, not {expected_tiles(tree.size)}")
        found = self._sql.execute("PRAGMA integrity_check(1)").fetchone()
        if found is None or found[0] != "ok":
            raise TamperedError(None, f"the database is damaged: {found and found[0]}")

    def close(self) -> None:
        self._cleanup.close()


def waiting_log(path: Path) -> bool:
    """Say whether a write-ahead log with entries lies beside the file."""
    log = Path(f"{path}-wal")
    return log.is_file() and log.stat().st_size > 0


class Files(Protocol):
    """Read-only files by name, from a folder or inside a tar."""

    def read(self, name: str, limit: int) -> bytes | None: ...
    def numbers(self, folder: str) -> list[int]: ...
    def close(self) -> None: ...


class Folder:
    """A tiles export as a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str, limit: int) -> bytes | None:
        # Not through links, and no pipe that never ends: the folder comes from somebody else.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self._path / name, flags | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        with open(descriptor, "rb") as stream:
            data = stream.read(limit + 1)
        return data if len(data) <= limit else None

    def numbers(self, folder: str) -> list[int]:
        try:
            with os.scandir(self._path / folder) as found:
                return numbers_in(item.name for item in found)
        except OSError:
            return []

    def close(self) -> None:
        """Nothing is held open."""


class Tar:
    """A tiles export as a tar file; members are read in place and never unpacked."""

    def __init__(self, path: Path) -> None:
        self._members: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                while (member := archive.next()) is not None:
                    self._take(member)
        except (tarfile.TarError, ValueError, OSError, EOFError) as error:
            raise BadInputError(f"the tar file cannot be read: {error}") from error
        self._stream: BinaryIO = path.open("rb")

    def _take(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if member.isdir():
            return
        unsafe = name.startswith("/") or ".." in name.split("/")
        # A sparse member could claim to be endless; none of these is ever in an export.
        if unsafe or not member.isreg() or member.issparse() or name in self._members:
            raise BadInputError(f"the tar file holds what an export does not: {name[:80]!r}")
        self._members[name] = (member.offset_data, member.size)

    def read(self, name: str, limit: int) -> bytes | None:
        start, size = self._members.get(name, (0, limit + 1))
        if not 0 <= size <= limit:
            return None
        self._stream.seek(start)
        data = self._stream.read(size)
        return data if len(data) == size else None

    def numbers(self, folder: str) -> list[int]:
        start = folder + "/"
        return numbers_in(
            name.removeprefix(start) for name in self._members if name.startswith(start)
        )

    def close(self) -> None:
        self._stream.close()


def numbers_in(names: Iterable[str]) -> list[int]:
    """Return in order the numbers among some file names."""
    return sorted(number for name in names if (number := whole_number(name)) is not None)


def tile_path(level: str, index: int, width: int) -> str:
    """Return where C2SP tlog-tiles puts a tile: x001/x234/067, and .p/W when it is not full."""
    text = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03d}/{text}"
    return f"tile/{level}/{text}" + ("" if width == TILE else f".p/{width}")


class Export:
    """A tiles export."""

    keeps_partial = True

    def __init__(self, files: Files) -> None:
        self.remarks: list[str] = []
        self._files = files
        note = files.read("checkpoint", MAX_NOTE)
        if note is None:
            raise BadInputError("this is no record: it has no file `checkpoint`")
        newest = parse_note(note)
        self._newest, self.log, self.size = note, newest.origin, newest.size
        self._keys = (files.read("keys", 64 * 1024 * 1024) or b"").decode(errors="replace")
        self.first_key = self._keys.partition("\n")[0]
        self.pruned = self._first_bundle() * TILE

    def _width(self, index: int) -> int:
        return min(TILE, self.size - index * TILE)

    def _bundle(self, index: int) -> bytes | None:
        width = self._width(index)
        return self._files.read(tile_path("entries", index, width), width * (2 + MAX_ENTRY))

    def _first_bundle(self) -> int:
        bundles = range((self.size + TILE - 1) // TILE)
        first = next((index for index in bundles if self._bundle(index) is not None), None)
        if first is None and self.size:
            raise TamperedError(0, "it is missing, and so are all others")
        return first or 0

    def entries(self) -> Iterator[tuple[int, bytes | None]]:
        handovers = dict(self._handover_files())
        yield from ((seq, entry) for seq, entry in handovers.items() if seq < self.pruned)
        for index in range(self.pruned // TILE, (self.size + TILE - 1) // TILE):
            data = self._bundle(index)
            if data is None:
                raise TamperedError(index * TILE, "it is missing, with the file it belongs to")
            for seq, entry in self._split(index, data):
                if handovers.get(seq, entry) != entry:
                    raise TamperedError(seq, "its copy among the hand-overs is another one")
                yield seq, entry

    def _handover_files(self) -> Iterator[tuple[int, bytes]]:
        """Yield the hand-overs: they stay, as files, when the entries around them go."""
        for number in self._files.numbers("epochs"):
            entry = self._files.read(f"epochs/{number}", MAX_ENTRY)
            try:
                seq = json.loads(entry or b"")["seq"]
            except (ValueError, RecursionError, KeyError, TypeError):
                seq = None
            if entry is None or not is_count(seq) or seq >= self.size:
                raise TamperedError(None, f"its file epochs/{number} is not one of its entries")
            yield seq, entry

    def _split(self, index: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        place = 0
        for seq in range(index * TILE, index * TILE + self._width(index)):
            length = int.from_bytes(data[place : place + 2], "big")
            entry = data[place + 2 : place + 2 + length]
            if place + 2 + length > len(data):
                raise TamperedError(seq, "its file ends before it does")
            yield seq, entry
            place += 2 + length
        if place != len(data):
            raise TamperedError(seq, "bytes follow it that belong to no entry")

    def tile(self, level: int, index: int, width: int) -> bytes | None:
        return self._files.read(tile_path(str(level), index, width), width * HASH)

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        newest = None
        for size in self._files.numbers("checkpoints"):
            newest = self._files.read(f"checkpoints/{size}", MAX_NOTE)
            if newest is None:
                raise TamperedError(None, f"its checkpoint of size {size} cannot be read")
            yield size, newest
        if newest != self._newest:
            raise TamperedError(None, "its newest checkpoint is not the last in its list")

    def handovers(self) -> Iterator[Handover]:
        for number, key in enumerate(self._keys.split("\n")[1:-1], 1):
            yield Handover(number, None, key)

    def finish(self, tree: Tree, last_leaf: bytes, keys: list[str]) -> None:
        if self._keys != "".join(f"{key}\n" for key in keys):
            raise TamperedError(None, "its list of keys is not the one that its entries state")

    def close(self) -> None:
        self._files.close()


def open_source(path: Path) -> Source:
    """Return the record in a file or folder; raise BadInputError if it is none."""
    if path.is_dir():
        return opened_export(Folder(path))
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
    if start == b"SQLite format 3\0":
        return Database(path)
    if not tarfile.is_tarfile(path):
        raise BadInputError(
            f"{path} is neither a copy of audit.db nor a tiles export, or its beginning is damaged"
        )
    return opened_export(Tar(path))


def opened_export(files: Files) -> Export:
    """Return the export in some files; close them if it is none."""
    try:
        return Export(files)
    except BaseException:
        files.close()
        raise


# --- What the auditor trusts ---------------------------------------------------------------------


@dataclass(frozen=True)
class Anchor:
    """A checkpoint that was kept elsewhere, and where it was read from."""

    name: str
    note: Note


@dataclass(frozen=True)
class Trust:
    """The given keys (epoch 0 first), older checkpoints in order of size, and witnesses."""

    keys: list[Key] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    witnesses: list[Key] = field(default_factory=list)


# --- The walk ------------------------------------------------------------------------------------


@dataclass
class Mark:
    """A range's end: entries below `size`, the time of the last of them and of the next one."""

    size: int = 0
    last_t: str | None = None
    next_t: str | None = None


@dataclass
class Epoch:
    """A key and the entries that its checkpoints cover first: from `start` on."""

    number: int
    key: Key
    start: int
    opened: str | None
    end: int | None = None
    closed: str | None = None
    checkpoints: int = 0


Item = TypeVar("Item")


class Ahead(Iterator[Item]):
    """An iterator whose next item can be looked at."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self.next: Item | None = next(items, None)

    def __next__(self) -> Item:
        if self.next is None:
            raise StopIteration
        item, self.next = self.next, next(self._items, None)
        return item


class Walk:
    """Goes through a record once, from the first entry to the last."""

    def __init__(self, source: Source, trust: Trust) -> None:
        self.source = source
        self.trust = trust
        self.tree = Tree()
        self.leaf = GENESIS
        self.t: str | None = None
        self.first_t: str | None = None
        self.signed = Mark()
        self.anchored = Mark()
        self.epochs: list[Epoch] = []
        self.pending: Epoch | None = None
        self.anchors: list[dict[str, Any]] = []
        self.remarks: list[str] = source.remarks
        self.incomplete: list[str] = []
        self._prune: int | None = None  # the entry that lets the missing prefix go
        self._stored = b""  # the stored tile of level 0 that the next entries are compared with
        self._tile_at = -1

    def run(self) -> None:
        """Do all steps; raise TamperedError at the first thing that does not hold."""
        source = self.source
        self._begin()
        self._checkpoints = Ahead(source.checkpoints())
        self._handovers = Ahead(source.handovers())
        self._anchors = Ahead(iter(self.trust.anchors))
        self._at_size()
        try:
            for seq, data in source.entries():
                self._pass_over(min(seq, source.pruned))
                self._take(seq, data)
            self._pass_over(source.pruned)
        except DAMAGED as error:
            raise TamperedError(self.tree.size, f"it cannot be read: {error}") from error
        self._end()

    def _begin(self) -> None:
        try:
            first = parse_key(self.source.first_key)
        except BadInputError as error:
            raise TamperedError(None, f"its first key is {error}") from error
        given = self.trust.keys[0] if self.trust.keys else None
        if given is not None and given.text != first.text:
            raise TamperedError(
                None,
                f"it begins with key {first.text[:200]}, not with the one you gave: it is another "
                "record, or it was made anew",
            )
        if first.name != self.source.log or first.algorithm != LOG_KEY:
            raise TamperedError(None, "its first key is not a key of this log")
        self.epochs.append(Epoch(0, first, 0, None))

    # Entries

    def _pass_over(self, stop: int) -> None:
        """Go on to `stop` over entries that were let go, with the hashes that their tiles keep."""
        while (seq := self.tree.size) < stop:
            self._read_tile(seq)
            place, self.t = (seq & 255) * HASH, None
            self._add(self._stored[place : place + HASH], None)

    def _take(self, seq: int, data: bytes | None) -> None:
        size = self.tree.size
        if seq != size or seq >= self.source.size:
            if seq > size:
                raise TamperedError(size, f"it is missing; the next one there is {seq}")
            raise TamperedError(seq, "it stands where it should not, or after the last one")
        value = read_entry(seq, data, self.source.log)
        leaf = leaf_hash(data or b"")
        self._compare_with_tile(seq, leaf)
        if value["prev"] != self.leaf.hex():
            raise TamperedError(
                max(seq - 1, 0), f"entry {seq} names another leaf hash before it than this one has"
            )
        self._note_time(seq, value["t"])
        self._add(leaf, value)

    def _note_time(self, seq: int, t: str) -> None:
        self.first_t = t if seq == 0 else self.first_t
        for mark in (self.signed, self.anchored):
            if mark.size == seq:
                mark.next_t = t
        if self.epochs[-1].opened is None and self.epochs[-1].start == seq:
            self.epochs[-1].opened = t
        self.t = t

    def _compare_with_tile(self, seq: int, leaf: bytes) -> None:
        self._read_tile(seq)
        place = (seq & 255) * HASH
        if self._stored and self._stored[place : place + HASH] != leaf:
            raise TamperedError(seq, "its bytes do not give the leaf hash that its tile states")

    def _read_tile(self, seq: int) -> None:
        if seq >> 8 == self._tile_at:
            return
        self._tile_at, self._stored = seq >> 8, b""
        width = min(TILE, self.source.size - (self._tile_at << 8))
        if width == TILE or self.source.keeps_partial:
            self._stored = self.source.tile(0, self._tile_at, width) or b""
            if len(self._stored) != width * HASH:
                raise TamperedError(seq, "the tile that states its leaf hash is missing or damaged")

    def _add(self, leaf: bytes, entry: dict[str, Any] | None) -> None:
        """Take the next leaf, with what its entry states unless that was let go."""
        seq = self.tree.size
        if self.pending is not None:
            raise TamperedError(
                seq - 1,
                "it hands the record over to a new key, and the checkpoint that closes the epoch "
                f"before it (size {seq}) is missing",
            )
        self.leaf = leaf
        for level, index, hashes in self.tree.add(leaf):
            if self.source.tile(level, index, TILE) != b"".join(hashes):
                raise TamperedError(
                    index << (8 * (level + 1)),
                    f"tile {level}/{index}, from this entry on, does not fit what lies under it",
                )
        row = self._handovers.next
        if entry is not None and entry["action"] == "record.epoch":
            self._hand_over(seq, entry)
        elif row is not None and row.seq == seq:
            raise TamperedError(seq, f"it should hand over to epoch {row.number}, and does not")
        if entry is not None and entry["action"] == "record.prune":
            self._check_prune(seq, entry)
        if entry is not None and entry["action"] == "appliance.init":
            self._check_init(seq, entry)
        self._at_size()

    # Epochs

    def _hand_over(self, seq: int, entry: dict[str, Any]) -> None:
        before, row = self.epochs[-1], self._handovers.next
        content, number = entry["content"] or {}, before.number + 1
        if row is None or (row.seq is not None and row.seq != seq):
            raise TamperedError(seq, "it hands over to a new key, and the list of epochs lacks it")
        if row.number != number or type(content.get("epoch")) is not int:
            raise TamperedError(seq, f"epoch {number} is missing; the next one is {row.number}")
        if content != {"epoch": number, "key": row.key, "previous": before.key.text}:
            raise TamperedError(
                seq, f"it does not hand over from the key before it to that of epoch {number}"
            )
        if entry["outcome"] != "success":
            raise TamperedError(seq, "it says that the hand-over did not succeed")
        next(self._handovers)
        self.pending = Epoch(number, self._next_key(seq, row.key), seq + 1, None)
        before.end, before.closed = seq, entry["t"]

    def _next_key(self, seq: int, text: str) -> Key:
        key = log_key(seq, text, self.source.log)
        if any(epoch.key.public == key.public for epoch in self.epochs):
            raise TamperedError(seq, "it hands over to a key that was used before")
        number, given = len(self.epochs), self.trust.keys
        if number < len(given) and given[number].text != text:
            raise TamperedError(seq, "the key it hands over to is not the one that you gave")
        return key

    # Checkpoints

    def _at_size(self) -> None:
        size, epoch = self.tree.size, self.epochs[-1]
        root: bytes | None = None
        while (row := self._checkpoints.next) is not None and row[0] == size:
            root = root or self.tree.root()
            self._check_stored(next(self._checkpoints)[1], root, epoch)
        while (anchor := self._anchors.next) is not None and anchor.note.size == size:
            root = root or self.tree.root()
            self._check_anchor(next(self._anchors), root, epoch)
        if self.pending is not None and self.signed.size == size:
            self.epochs.append(self.pending)
            self.pending = None

    def _check_stored(self, data: bytes, root: bytes, epoch: Epoch) -> None:
        what, size = f"the checkpoint of size {self.tree.size}", self.tree.size
        try:
            note = parse_note(data)
        except BadInputError as error:
            raise TamperedError(None, f"{what} is {error}") from error
        if note.origin != self.source.log or note.size != size or len(note.signatures) != 1:
            raise TamperedError(None, f"{what} is one of another record or size")
        if not note.is_signed_by(epoch.key):
            raise TamperedError(
                None, f"{what} is not signed with the key of epoch {epoch.number}, or falsely"
            )
        if note.root != root:
            raise TamperedError(
                self.signed.size if self.signed.size < size else None,
                f"this entry or a later one below {size} is not the one that {what} was signed for",
            )
        epoch.checkpoints += 1
        self.signed = Mark(size, self.t)

    def _check_anchor(self, anchor: Anchor, root: bytes, epoch: Epoch) -> None:
        note, name = anchor.note, anchor.name
        if note.root != root:
            raise TamperedError(
                self.anchored.size if self.anchored.size < note.size else None,
                f"this entry or a later one below {note.size} is not what it was when the "
                f"checkpoint you gave ({name}) was signed",
            )
        if not note.is_signed_by(epoch.key):
            raise TamperedError(
                None,
                f"the checkpoint you gave ({name}) is not signed with the key that this record "
                f"names for epoch {epoch.number}, or falsely",
            )
        if self.signed.size != note.size:
            self.remarks.append(
                f"the checkpoint you gave ({name}) is not among those that the record kept"
            )
        seen = cosignatures(note, self.trust.witnesses)
        self.anchors.append({"name": name, "size": note.size, "cosigned": seen})
        self.anchored = Mark(note.size, self.t)

    # The rest

    def _check_prune(self, seq: int, value: dict[str, Any]) -> None:
        if value["outcome"] != "success":
            return
        content = value["content"] or {}
        stated = content.get("before")
        before = stated if type(stated) is int and stated <= seq else 0
        root = self.tree.root_at(before)
        if root is None or content.get("root") != root.hex():
            raise TamperedError(seq, "it lets entries go under a size and root that never were")
        if self._prune is None and before >= self.source.pruned:
            self._prune = seq

    def _check_init(self, seq: int, entry: dict[str, Any]) -> None:
        stated = (entry["content"] or {}).get("key")
        if stated is not None and stated != self.epochs[0].key.text:
            raise TamperedError(seq, "it states another first key than the record begins with")

    def _end(self) -> None:
        size, source = self.tree.size, self.source
        if size < source.size:
            raise TamperedError(size, f"it is missing; there should be {source.size} entries")
        self._nothing_beyond(size)
        if source.keeps_partial:
            self._check_partial_tiles()
        source.finish(self.tree, self.leaf, self._all_keys())
        if source.pruned and (self._prune is None or self._prune >= self._proved()):
            raise TamperedError(
                0, f"it and all below {source.pruned} are missing, and no signed entry let them go"
            )
        if len(self.trust.keys) > len(self._all_keys()):
            raise TamperedError(
                size, "it is missing: you gave keys of later epochs; this is cut off or an old copy"
            )
        self._find_gaps()

    def _proved(self) -> int:
        return max(self.signed.size, self.anchored.size)

    def _all_keys(self) -> list[str]:
        pending = [] if self.pending is None else [self.pending]
        return [epoch.key.text for epoch in [*self.epochs, *pending]]

    def _nothing_beyond(self, size: int) -> None:
        anchor, stored = self._anchors.next, self._checkpoints.next
        if anchor is not None:
            raise TamperedError(
                size,
                f"it is missing: the checkpoint you gave ({anchor.name}) covers "
                f"{anchor.note.size} entries; the end was cut off, or this is an older copy",
            )
        if stored is not None:
            raise TamperedError(
                size, f"it is missing: a checkpoint in the record covers {stored[0]} entries"
            )
        if self._handovers.next is not None:
            number = self._handovers.next.number
            raise TamperedError(
                None, f"its list names epoch {number}, to which no entry hands over"
            )

    def _check_partial_tiles(self) -> None:
        for level, row in enumerate(self.tree.levels):
            index = self.tree.size >> (8 * (level + 1))
            if row and self.source.tile(level, index, len(row)) != b"".join(row):
                raise TamperedError(
                    None, f"tile {level}/{index} does not hold the hashes of what lies under it"
                )

    def _find_gaps(self) -> None:
        tail = self.tree.size - self._proved()
        if not self.trust.keys:
            self.incomplete.append(
                "no key was given, so the first key was taken from the record itself: whoever made "
                "a false record also put a key into it. Give the key from paper with --key"
            )
        if self._proved() == 0:
            self.incomplete.append("no checkpoint is in the record, so no entry is signed")
        elif tail > MAX_TAIL_ENTRIES:
            self.incomplete.append(f"the last {tail} entries are not signed; ask for a checkpoint")
        elif tail and seconds_between(self._tail_start(), self.t) > MAX_TAIL_SECONDS:
            self.incomplete.append(
                "the unsigned entries at the end span more than ten minutes, which the appliance "
                "does not leave unsigned; ask for a checkpoint"
            )
        if not self.anchors:
            self.remarks.append(
                "no older checkpoint was given, so it is not proved that this is the newest record "
                "and not an older copy, nor that nobody rewrote it with a stolen key. "
                "Give one with --anchor"
            )

    def _tail_start(self) -> str | None:
        mark = self.signed if self.signed.size >= self.anchored.size else self.anchored
        return mark.next_t


def cosignatures(note: Note, witnesses: list[Key]) -> list[dict[str, Any]]:
    """Return which of the witnesses signed a note, and the time each states."""
    found = []
    for witness in witnesses:
        when = note.cosigned_at(witness)
        if when is not None:
            found.append({"witness": witness.name, "time": readable(when)})
    return found


def readable(unix_time: int) -> str:
    """Return RFC 3339 UTC for a Unix time, or the number when no date is that far."""
    try:
        return datetime.fromtimestamp(unix_time, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(unix_time)


def seconds_between(first: str | None, last: str | None) -> float:
    """Return the seconds from one time to another; 0 if either is no date."""
    try:
        start, end = (datetime.fromisoformat(text or "") for text in (first, last))
    except ValueError:
        return 0.0
    return (end - start).total_seconds()


# --- Receipts ------------------------------------------------------------------------------------

PROOF = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Receipt:
    """One entry, the hashes that lead from it to the root, and the checkpoint that signs it."""

    index: int
    entry: bytes
    proof: list[bytes]
    note: Note


def parse_receipt(data: bytes) -> Receipt:
    """Read a .tlog-proof; raise BadInputError when it is none."""
    head, gap, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadInputError("not a receipt: it is not ASCII before the checkpoint") from error
    if not gap or lines[0] != PROOF or len(lines) < 3:
        raise BadInputError(f"not a receipt: it does not begin with {PROOF}")
    extra, entry = lines[1].partition(" ")[::2]
    word, index = lines[2].partition(" ")[::2]
    found, place = from_base64(entry), whole_number(index)
    if extra != "extra" or word != "index" or found is None or place is None:
        raise BadInputError("not a receipt: its entry or its number cannot be read")
    proof = [from_base64(line) for line in lines[3:]]
    hashes = [item for item in proof if item is not None and len(item) == HASH]
    if len(hashes) != len(proof) or len(proof) > 64:
        raise BadInputError("not a receipt: a hash cannot be read")
    return Receipt(place, found, hashes, parse_note(note))


def included(receipt: Receipt) -> dict[str, Any]:
    """Return what the entry states, if it is in the record that the checkpoint speaks of."""
    note, seq = receipt.note, receipt.index
    value = read_entry(seq, receipt.entry, note.origin)
    if seq >= note.size:
        raise TamperedError(seq, f"its checkpoint covers only {note.size} entries")
    if root_of_proof(leaf_hash(receipt.entry), seq, note.size, receipt.proof) != note.root:
        raise TamperedError(seq, "it is not in the record that its checkpoint was signed for")
    return value


@dataclass(frozen=True)
class Known:
    """A key that is trusted for checkpoints of more than `start` entries (0: not known)."""

    key: Key
    start: int


def check_receipt(receipt: Receipt, keys: list[Known], incomplete: list[str]) -> dict[str, Any]:
    """Return what the entry states; raise TamperedError unless the receipt holds."""
    value, note, seq = included(receipt), receipt.note, receipt.index
    if keys and keys[0].key.name != note.origin:
        raise TamperedError(seq, "the receipt is of another log than the key you gave")
    named = [place for place, known in enumerate(keys) if note.signature_of(known.key) is not None]
    held = [place for place in named if note.is_signed_by(keys[place].key)]
    if not keys:
        incomplete.append("no key was given, so the receipt's signature was not checked")
    elif not named:
        incomplete.append(
            "the receipt is signed with the key of a later epoch; give the RECORD too, or the "
            "hand-overs up to that epoch with --handover"
        )
    elif not held:
        raise TamperedError(seq, "the signature of the receipt's checkpoint does not hold")
    elif note.size <= keys[held[0]].start or is_after(note.size, keys[held[0] + 1 :]):
        raise TamperedError(seq, "its checkpoint is signed with the key of another epoch")
    return value


def is_after(size: int, later: list[Known]) -> bool:
    """Say whether a checkpoint of this size belongs to a later key."""
    return bool(later) and 0 < later[0].start < size


def follow(keys: list[Known], handovers: list[Receipt]) -> list[Known]:
    """Return the keys with those that the hand-overs add, each signed with the key before it."""
    keys = list(keys)
    for receipt in sorted(handovers, key=lambda one: one.index):
        value, seq, number = included(receipt), receipt.index, len(keys)
        content = value["content"] or {}
        if not keys:
            raise BadInputError("--handover needs the first key, with --key")
        before, text = keys[-1].key, content.get("key")
        if content.get("epoch") != number or content.get("previous") != before.text:
            raise TamperedError(seq, f"it does not hand over from {before.text[:200]}")
        states = (value["action"], value["outcome"], receipt.note.size)
        if states != ("record.epoch", "success", seq + 1):
            raise TamperedError(seq, "it is no hand-over, or its checkpoint does not end with it")
        if not receipt.note.is_signed_by(before):
            raise TamperedError(seq, "the checkpoint of this hand-over is not signed as it must be")
        keys.append(Known(log_key(seq, text, before.name), seq + 1))
    return keys


# --- Report --------------------------------------------------------------------------------------


def ranges(walk: Walk) -> list[dict[str, Any]]:
    """Return the three ranges, in order, each with its entries and times."""
    size, anchored, signed = walk.tree.size, walk.anchored, walk.signed
    if signed.size < anchored.size:
        signed = anchored
    rows = [
        ("anchored", 0, anchored.size, walk.first_t, anchored.last_t),
        ("signed", anchored.size, signed.size, anchored.next_t, signed.last_t),
        ("unsealed", signed.size, size, signed.next_t, walk.t),
    ]
    return [
        {
            "range": name,
            "entries": stop - start,
            "first": start if stop > start else None,
            "last": stop - 1 if stop > start else None,
            "from": first_t if stop > start else None,
            "to": last_t if stop > start else None,
        }
        for name, start, stop, first_t, last_t in rows
    ]


def epochs(walk: Walk) -> list[dict[str, Any]]:
    """Return who held the keys when."""
    return [
        {
            "epoch": epoch.number,
            "key": epoch.key.text,
            "first": epoch.start,
            "last": epoch.end,
            "from": epoch.opened,
            "to": epoch.closed,
            "checkpoints": epoch.checkpoints,
        }
        for epoch in walk.epochs
    ]


def summary(walk: Walk, trust: Trust) -> dict[str, Any]:
    """Return what a walk found, also one that broke off."""
    return {
        "log": walk.source.log,
        "entries": walk.tree.size,
        "pruned": walk.source.pruned,
        "key": "given" if trust.keys else "taken from the record",
        "ranges": ranges(walk),
        "anchors": walk.anchors,
        "epochs": epochs(walk),
        "remarks": walk.remarks,
    }


MEANING = {
    "anchored": "as it was when the checkpoint you hold was signed; no key can change that",
    "signed": "signed, but not older than what you hold: the holder of the key could rewrite it",
    "unsealed": "linked to the entry before, but under no signature yet",
}
NAMES = {"anchored": "anchored", "signed": "signed, not anchored", "unsealed": "unsealed tail"}


def show(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the report for people."""
    yield f"result: {report['result']} (exit {report['exit']})"
    if "first_bad" in report:
        entry = report["first_bad"]["entry"]
        yield f"first bad entry: {'none can be named' if entry is None else entry}"
        yield f"what is wrong: {printable(report['first_bad']['what'])}"
    yield from (f"missing for a full proof: {printable(line)}" for line in report["incomplete"])
    if "log" in report:
        yield from show_record(report)
    if "receipt" in report:
        yield ""
        yield f"receipt: entry {report['receipt']['entry']} of {report['receipt']['size']}"
        yield json.dumps(report["receipt"]["states"], indent=2)
    yield ""
    yield f"next: {report['next']}"


def show_record(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines on the record itself."""
    yield ""
    yield f"record: {printable(report['log'])}"
    yield f"first key: {report['key']}"
    yield f"entries checked: {report['entries']}"
    if report["pruned"]:
        yield f"  of which let go by a recorded prune, hashes kept: 0 to {report['pruned'] - 1}"
    for row in report["ranges"]:
        yield f"{NAMES[row['range']]}: {span(row) if row['entries'] else 'none'}"
        if row["entries"]:
            yield f"    {MEANING[row['range']]}"
    for anchor in report["anchors"]:
        seen = "".join(
            f", co-signed by {printable(item['witness'])} at {item['time']}"
            for item in anchor["cosigned"]
        )
        yield f"older checkpoint {anchor['name']}: size {anchor['size']}, contained{seen}"
    yield "epochs (which key signed what, and when):"
    rows = report["epochs"]
    if len(rows) > 20:
        yield f"    the last 20 of {len(rows)}; --json lists all"
    for row in rows[-20:]:
        key = printable(row["key"]).split("+", 2)[1]
        yield f"    {row['epoch']}: key {key}, {span(row)}, {row['checkpoints']} checkpoints"
    yield from (f"note: {printable(line)}" for line in report["remarks"])


def span(row: dict[str, Any]) -> str:
    """Return entry numbers and times in words."""
    start, end = row["from"] or "(time not kept)", row["to"] or "(time not kept)"
    if row["last"] is None:
        return f"entries from {row['first']} on, since {start}"
    return f"entries {row['first']} to {row['last']}, {start} to {end}"


def printable(text: object) -> str:
    """Return text that cannot play tricks on a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


NEXT = {
    WHOLE: "keep this report, and the newest checkpoint of the record as an anchor for next time",
    BAD_INPUT: "see --help for what to give; nothing was found out about the record",
    TAMPERED: "keep the record and what you compared it with as they are; call the person in "
    "charge of security, and ask for the newest backup that verifies",
    INCOMPLETE: "nothing false was found, but not everything could be proved; see what is missing",
}


# --- Command line --------------------------------------------------------------------------------

EPILOG = """\
what to give:
  RECORD   a copy of audit.db (copy audit.db-wal too, if it is there), or a tiles export:
           the folder, or the .tar
  --key    the first key of the record, from the paper made at installation. Without it the
           result is at most "incomplete": a forger puts his own key into a forged record.
  --anchor a checkpoint that was kept elsewhere: a stick, a printed page, a log server, a witness.
           Without one, nobody can tell whether this is an older copy of the record.

what to do:
  1. python verify_record.py audit.db --key 'hospital/audit/...+1a2b3c4d+...' --anchor old
  2. Look at the exit code, then at the ranges: the anchored one is proved.
  3. Compare the number of entries with what you expect, and keep the newest checkpoint.
  A single receipt: python verify_record.py --receipt answer.tlog-proof --key '...'

exit codes:
  0  whole: everything that was given holds together
  3  tampered: the first bad entry is named
  4  incomplete: nothing false was found, but something needed for the proof is missing
  2  bad input: what was given is no record, key, checkpoint or receipt
"""


HANDOVER = "with --receipt: the .tlog-proof of each hand-over up to its epoch"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(
        prog="verify_record.py",
        description="Check the audit record of an appliance without the appliance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("record", nargs="?", metavar="RECORD", help="copy of audit.db, or an export")
    keys = made.add_mutually_exclusive_group()
    keys.add_argument("--key", metavar="VKEY", help="first key of the record: name+id+key")
    keys.add_argument("--keys", metavar="FILE", help="keys of a verified record, one per line")
    made.add_argument("--anchor", metavar="FILE", action="append", default=[], help="older one")
    made.add_argument("--witness", metavar="VKEY", action="append", default=[], help="its key")
    made.add_argument("--receipt", metavar="FILE", help="a .tlog-proof to check")
    made.add_argument("--handover", metavar="FILE", action="append", default=[], help=HANDOVER)
    made.add_argument("--json", action="store_true", help="print the report as JSON")
    return made


def read_file(name: str, limit: int) -> bytes:
    """Return a small file that the auditor named."""
    try:
        with open(name, "rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise BadInputError(f"{name} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise BadInputError(f"{name} is too long")
    return data


def read_keys(options: argparse.Namespace) -> list[Key]:
    """Return the keys that were given, epoch 0 first."""
    if options.key is not None:
        lines = [options.key]
    elif options.keys is not None:
        lines = read_file(options.keys, 64 * 1024 * 1024).decode(errors="replace").split("\n")
    else:
        return []
    # What `appliance audit keys` prints is taken as it is: a heading, and each key as last word.
    if lines[0].startswith("epoch "):
        lines = [line.split()[-1] for line in lines[1:] if line.strip()]
    keys = [parse_key(line.strip()) for line in lines if line.strip()]
    if not keys or any((key.algorithm, key.name) != (LOG_KEY, keys[0].name) for key in keys):
        raise BadInputError("these are not the keys of one log")
    return keys


def read_trust(options: argparse.Namespace, receipt: Receipt | None) -> Trust:
    """Return what the auditor trusts."""
    keys = read_keys(options)
    anchors = [Anchor(name, parse_note(read_file(name, MAX_NOTE))) for name in options.anchor]
    for anchor in anchors:
        if keys and anchor.note.origin != keys[0].name:
            raise BadInputError(f"{anchor.name} is of another log than the key you gave")
    if receipt is not None:
        anchors.append(Anchor(options.receipt, receipt.note))
    witnesses = [parse_key(text.strip()) for text in options.witness]
    if any(witness.algorithm != WITNESS_KEY for witness in witnesses):
        raise BadInputError("--witness takes the key of a witness, not of a log")
    return Trust(keys, sorted(anchors, key=lambda anchor: anchor.note.size), witnesses)


def check(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Fill the report; raise what was found."""
    receipt = None
    if options.receipt is not None:
        receipt = parse_receipt(read_file(options.receipt, 4 * MAX_NOTE))
    handovers = [parse_receipt(read_file(name, 4 * MAX_NOTE)) for name in options.handover]
    trust = read_trust(options, receipt)
    if options.record is None and (receipt is None or options.anchor):
        raise BadInputError("give a RECORD; a --receipt alone does without, an --anchor does not")
    keys = [Known(key, 0) for key in trust.keys]
    if options.record is not None:
        keys = check_record(Path(options.record), trust, report)
    elif handovers:
        keys = follow(keys, handovers)
    if receipt is not None:
        value = check_receipt(receipt, keys, report["incomplete"])
        report["receipt"] = {
            "entry": receipt.index,
            "size": receipt.note.size,
            "cosigned": cosignatures(receipt.note, trust.witnesses),
            "states": value,
        }


def check_record(path: Path, trust: Trust, report: dict[str, Any]) -> list[Known]:
    """Walk a record; return the keys that it proved."""
    source = open_source(path)
    try:
        other = next((a for a in trust.anchors if a.note.origin != source.log), None)
        walk = Walk(source, trust)
        try:
            if other is not None:
                raise TamperedError(
                    None, f"the checkpoint {other.name} is of another log, {other.note.origin!r}"
                )
            walk.run()
        except DAMAGED as error:
            raise TamperedError(None, f"the database is damaged: {error}") from error
        finally:
            report.update(summary(walk, trust))
            report["incomplete"] += walk.incomplete
    finally:
        source.close()
    return [Known(epoch.key, epoch.start) for epoch in walk.epochs]


def judge(options: argparse.Namespace) -> dict[str, Any]:
    """Return the report; whatever the input holds, there is one."""
    report: dict[str, Any] = {"result": "", "exit": WHOLE, "incomplete": []}
    try:
        check(options, report)
        if report["incomplete"]:
            report["exit"] = INCOMPLETE
    except TamperedError as error:
        report["exit"] = TAMPERED
        report["first_bad"] = {"entry": error.seq, "what": error.what}
    except BadInputError as error:
        report["exit"] = BAD_INPUT
        report["first_bad"] = {"entry": None, "what": str(error)}
    except Exception as error:  # a prepared input must not end in a traceback
        report["exit"] = BAD_INPUT
        what = f"the input cannot be read ({type(error).__name__}: {error})"
        report["first_bad"] = {"entry": None, "what": what}
    report["result"] = WORDS[report["exit"]]
    report["next"] = NEXT[report["exit"]]
    return report


def main(arguments: list[str] | None = None) -> int:
    """Check what the command line names, print the report, return the exit code."""
    options = parser().parse_args(arguments)
    report = judge(options)
    text = json.dumps(report, indent=2) if options.json else "\n".join(show(report))
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(text.encode(errors="replace") + b"\n")
        sys.stdout.buffer.flush()
    return int(report["exit"])


if __name__ == "__main__":
    sys.exit(main())
