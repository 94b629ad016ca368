"""What someone with the medium in hand can do to a bundle without any key.

Each mutation takes a good bundle as a value and returns another; the random source decides all.
A mutation may by chance change nothing that counts: `trees.same` tells.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.fuzz.trees import Entry, Odd, Tree, content

Mutation = Callable[["dict[str, Entry]", Tree, random.Random], None]
NUMBERS = (-1, 0, 1, 2, 3, 255, 2**31, 2**32, 2**63, 2**64, 10**400)
TEXTS = (
    "", "x", "../../etc/passwd", "/etc/passwd", "A" * 5_000, "\0", "\x1b[2J", "é", "null", "1",
    "2026-13-45T99:99:99Z", "2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "root", "targets",
    "sha256", "ed25519", "0" * 64,
)  # fmt: skip
NAMES = (
    "run-me.sh", "a", ".hidden", "tiny.gguf.002", "tiny.gguf", "CARD.toml", "con", "x" * 200,
    "\x1b]0;x\x07", "\udcff\udcfe", " ", "~", "-rf", "café", "a b", "card.toml.", "..x", "%2e%2e",
)  # fmt: skip
FOLDERS = ("", "metadata/", "targets/", "targets/tiny-1.0/", "targets/tiny-9.9/", "tools/")


def bits(tree: dict[str, Entry], _other: Tree, source: random.Random) -> None:
    """Damage the bytes of one file: flip, cut, insert, overwrite, lengthen."""
    path = _file(tree, source)
    data = bytearray(content(tree[path]))
    place = source.randrange(len(data))
    how = source.randrange(7)
    if how == 0:
        data[place] ^= 1 << source.randrange(8)
    elif how == 1:
        del data[place:]
    elif how == 2:
        data[place:place] = source.randbytes(source.randint(1, 40))
    elif how == 3:
        data[place : place + 8] = source.choice((b"\xff" * 8, bytes(8), b'"1":{}},', b"99999999"))
    elif how == 4:
        data += source.choice((b"\0", b"\n", b"{}", source.randbytes(4_096)))
    elif how == 5:
        del data[place : place + source.randint(1, 64)]
    else:
        end = source.randrange(len(data))
        data[place : place + 64], data[end : end + 64] = data[end : end + 64], data[place:][:64]
    tree[path] = bytes(data)


def structure(tree: dict[str, Entry], _other: Tree, source: random.Random) -> None:
    """Change one place in the JSON of one piece of metadata, and write it as JSON again."""
    path = _metadata(tree, source)
    document = json.loads(content(tree[path]))
    spoil_json(document, source)
    indent = source.choice((None, 1))
    tree[path] = json.dumps(document, indent=indent, ensure_ascii=source.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )


def spoil_json(document: Any, source: random.Random) -> None:
    """Replace, remove, add or double one value somewhere in a JSON document."""
    place = source.choice(_containers(document))
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if not keys or source.random() < 0.15:
        if isinstance(place, dict):
            place[source.choice(TEXTS)] = _odd(source)
        else:
            place.append(source.choice(place) if place and source.random() < 0.5 else _odd(source))
        return
    key = source.choice(keys)
    how = source.randrange(4)
    if how == 0:
        del place[key]
    elif how == 1 and isinstance(place, dict):
        place[source.choice((key.upper(), f"{key} ", *TEXTS))] = place.pop(key)
    elif how == 2 and isinstance(place[key], int):
        place[key] += source.choice((-1, 1, 2**31))
    elif how == 2 and isinstance(place[key], str) and place[key]:
        text = list(place[key])
        text[source.randrange(len(text))] = source.choice("0123456789abcdefXYZ./\\\0é")
        place[key] = "".join(text)
    else:
        place[key] = _odd(source)


def lexical(tree: dict[str, Entry], _other: Tree, source: random.Random) -> None:
    """Put into metadata what JSON readers disagree on: doubles, depth, numbers, encodings."""
    path = _metadata(tree, source)
    data = content(tree[path])
    how = source.randrange(7)
    if how == 0:
        tree[path] = data.replace(b'"signed"', b'"signed": {}, "signed"', 1)
    elif how == 1:
        tree[path] = data.rstrip()[:-1] + b', "signed": {"_type": "root"}}'
    elif how == 2:
        depth = source.choice((100, 1_000, 8_000))
        tree[path] = b"[" * depth + source.choice((b"", b"]" * depth))
    elif how == 3:
        number = source.choice((b"NaN", b"-Infinity", b"1e999", b"1.0", b"0x1", b"9" * 5_000))
        tree[path] = data.replace(b'"version":', b'"version":' + number + b',"x":', 1)
    elif how == 4:
        tree[path] = data.decode().encode(source.choice(("utf-16", "utf-32", "utf-8-sig")))
    elif how == 5:
        tree[path] = source.choice((b"", b"null", b"[]", b"1", b'""', b"{}", b" " * 20_000))
    else:
        tree[path] = data.replace(b'"sig":"', b'"sig":"' + source.choice((b"00", b" ", b"z")), 1)


def names(tree: dict[str, Entry], _other: Tree, source: random.Random) -> None:
    """Give one file another name, or exchange the names of two."""
    path = _file(tree, source)
    folder, _, name = path.rpartition("/")
    how = source.randrange(6)
    if how == 0:
        other = _file(tree, source)
        tree[path], tree[other] = tree[other], tree[path]
        return
    if how == 1:
        letter = source.choice(name)
        new = name.replace(letter, "x" if letter != "x" else "y", 1)
    elif how == 2:
        new = source.choice((name.upper(), f".{name}", f"{name}.", f"0{name}", f"{name}~"))
    elif how == 3:
        new = source.choice(NAMES)
    elif how == 4:
        new = source.choice(("2", "99", "01", "-1")) + "." + name.partition(".")[2]
    else:
        folder, new = source.choice(FOLDERS).rstrip("/") or "top", name
    entry = tree.pop(path)
    tree[f"{folder}/{new}"] = entry


def files(tree: dict[str, Entry], _other: Tree, source: random.Random) -> None:
    """Remove, add or double a file, or put something else in its place."""
    path = _file(tree, source)
    data = content(tree[path])
    how = source.randrange(5)
    if how == 0:
        del tree[path]
    elif how == 1:
        tree[source.choice(FOLDERS) + source.choice(NAMES)] = source.choice((b"", data))
    elif how == 2:
        folder = source.choice(FOLDERS).rstrip("/") or "more"
        tree[f"{folder}/{path.rpartition('/')[2]}.copy"] = data
    elif how == 3:
        tree[source.choice(FOLDERS) + source.choice(NAMES)] = _thing(data, source)
    else:
        tree[path] = _thing(data, source)


def mixed(tree: dict[str, Entry], other: Tree, source: random.Random) -> None:
    """Put files of another bundle of the same publisher in, in the place of some of these."""
    own = [path for path in other if path.startswith("metadata/")]
    for path in source.sample(own, source.randint(1, len(own) - 1)):
        name = path.replace("2.", "1.", 1) if source.random() < 0.3 else path
        tree[name] = other[path]


KEYLESS: tuple[tuple[Mutation, int], ...] = (
    (bits, 30), (structure, 25), (lexical, 5), (names, 12), (files, 12), (mixed, 3),
)  # fmt: skip


def _file(tree: Tree, source: random.Random) -> str:
    return source.choice(sorted(path for path, entry in tree.items() if isinstance(entry, bytes)))


def _metadata(tree: Tree, source: random.Random) -> str:
    return source.choice(sorted(path for path in tree if path.startswith("metadata/")))


def _thing(data: bytes, source: random.Random) -> Odd:
    kind = source.choice(("link", "fifo", "folder", "second name", "set-user-id"))
    target = source.choice((b"/etc/hostname", b"..", b".", b"../../metadata/timestamp.json"))
    return Odd(kind, target if kind == "link" else data)


def _containers(value: Any) -> list[Any]:
    """Return every object and list of a JSON document, the outermost first."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for item in inner for found in _containers(item))]


def _odd(source: random.Random) -> Any:
    if source.random() < 0.05:
        return _deep(source.choice((50, 150, 300, 450)))
    return source.choice(
        (None, True, False, 1.5, [], {}, [[]], {"": {}}, source.choice(NUMBERS),
         source.choice(TEXTS))
    )  # fmt: skip


def _deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = {"": value} if depth % 2 else [value]
    return value
