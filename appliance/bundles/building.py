"""Lays one model out as a bundle wants it: every file under its digest, the weights read once.

What is returned is what has to be signed. Files are written beside their name and renamed, so a
name always stands for whole content. Nothing here is trusted by the importing side.
Not here: keys and signatures over the list (`publisher`), who may sign what (`desk`).
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from tuf.api.metadata import TargetFile

from appliance import durable
from appliance.bundles import bom, card, chat_template, golden, oms
from appliance.bundles.card import Card
from appliance.bundles.gguf import Facts
from appliance.bundles.inspection import inspect_file
from appliance.bundles.manifest import (
    MAX_PARTS,
    MAX_TEMPLATE_BYTES,
    PART_BYTES,
    SIDE_FILES,
    FileRole,
    folder_of,
    weights_name,
)
from appliance.canonical import sha256
from appliance.errors import BadInputError

CHUNK = 4_194_304
FAT32_MOST = 2**32 - 1
Done = Callable[[int], None]
Place = Callable[[str], Path]
"""Where a model's file of that plain name goes: the model's folder on one of several media."""


@dataclass(frozen=True)
class ModelSource:
    """A model to publish: its GGUF file, its card (TOML), which names it, and its golden prompts.

    `template` is a chat template that takes the place of the one inside the weights.
    """

    gguf: Path
    card: Path
    prompts: Path
    template: Path | None = None
    security_epoch: int = 1
    min_engine: str = "0.3"


@dataclass(frozen=True)
class Piece:
    """One written file: its length in bytes and SHA-256 in hex."""

    length: int
    sha256: str


def describe(
    source: ModelSource,
    targets: Path | Place,
    moment: datetime,
    *,
    part_bytes: int = PART_BYTES,
    done: Done = lambda count: None,
) -> list[TargetFile]:
    """Write a model's files below `targets`, all but its signature; return what to sign.

    `targets` may also say for each file where it goes, for a model on several media.
    Weights longer than `part_bytes` become parts of at most that size. `done(n)` is called after
    every n bytes of weights. Raises UnsafeModelError for a card, template, prompts or weights
    that an appliance would refuse, BadInputError for a part size that FAT32 cannot hold.
    """
    facts = inspect_file(source.gguf)
    small = _side_files(source, facts)
    parsed = card.parse(small["card"])
    card.check_architecture(parsed, facts.architecture)
    size = source.gguf.stat().st_size
    parts = part_count(size, part_bytes)
    place = (
        _one_place(targets / folder_of(parsed.name, parsed.version))
        if isinstance(targets, Path)
        else targets
    )
    names = [weights_name(parsed.name, number + 1, parts) for number in range(parts)]
    pieces, whole = _split(source.gguf, place, names, part_bytes, done)
    small["bom"] = _bill(parsed, facts, whole, small, moment)
    custom = _custom(source, parsed, facts, whole, parts)
    custom["chat_template_sha256"] = sha256(small["template"]).hex()
    custom["template_from"] = "weights" if _from_weights(facts, small) else "publisher"
    listed = [
        _target(place(name), name, piece, _part_custom(number, custom))
        for number, (name, piece) in enumerate(zip(names, pieces, strict=True), start=1)
    ]
    for role, data in small.items():
        name = SIDE_FILES[role]
        listed.append(write_file(place(name), name, data, {"role": role}))
    for folder in {place(item.path.partition("/")[2]) for item in listed}:
        durable.sync_folder(folder)
    return listed


def sign_model(
    targets: Path, files: Sequence[TargetFile], public_key: bytes, sign_with: oms.Sign
) -> TargetFile:
    """Write a described model's OMS signature beside its files; return what to sign.

    `public_key` is a PEM of an EC key, and `sign_with` signs bytes with it (ECDSA, DER).
    """
    first = next(item for item in files if (item.custom or {}).get("part") == 1)
    custom = first.custom or {}
    folder = targets / first.path.partition("/")[0]
    side = {
        item.path.partition("/")[2]: item.hashes["sha256"]
        for item in files
        if (item.custom or {}).get("role") in SIDE_FILES
    }
    digests = {weights_name(str(custom["model"])): str(custom["sha256"]), **side}
    data = oms.sign(folder.name, digests, public_key, sign_with)
    return write_file(folder, SIDE_FILES["oms"], data, {"role": "oms"})


def write_file(folder: Path, name: str, data: bytes, custom: Mapping[str, Any]) -> TargetFile:
    """Write a small file as `<sha256>.<name>`; return what to sign."""
    digest = sha256(data).hex()
    durable.create_portable(folder / f"{digest}.{name}", (data,), mode=0o644)
    return _target(folder, name, Piece(len(data), digest), custom)


def part_count(size: int, part_bytes: int) -> int:
    """Return how many parts weights of `size` bytes take; raise BadInputError."""
    if not 0 < part_bytes <= FAT32_MOST:
        raise BadInputError(f"a part has 1 to {FAT32_MOST} bytes: FAT32 holds no larger file")
    parts = max(1, -(-size // part_bytes))
    if parts > MAX_PARTS:
        raise BadInputError(f"the weights would come in {parts} parts, more than {MAX_PARTS}")
    return parts


def _side_files(source: ModelSource, facts: Facts) -> dict[FileRole, bytes]:
    """Return card, template and golden prompts, checked as the importing side checks them."""
    own = facts.chat_template.encode()
    template = own if source.template is None else source.template.read_bytes()
    if not 0 < len(template) <= MAX_TEMPLATE_BYTES:
        raise BadInputError(
            f"{source.gguf} has no chat template of 1 to {MAX_TEMPLATE_BYTES} bytes",
            hint="give one with --template",
        )
    chat_template.parse(template)
    prompts = source.prompts.read_bytes()
    golden.parse(prompts)
    return {"card": source.card.read_bytes(), "template": template, "eval": prompts}


def _from_weights(facts: Facts, small: Mapping[FileRole, bytes]) -> bool:
    return bool(facts.chat_template) and facts.chat_template.encode() == small["template"]


def _bill(
    parsed: Card, facts: Facts, whole: Piece, small: Mapping[FileRole, bytes], moment: datetime
) -> bytes:
    files = {SIDE_FILES[role]: (sha256(data).hex(), len(data)) for role, data in small.items()}
    files[weights_name(parsed.name)] = (whole.sha256, whole.length)
    # From the content, so that the same model gives the same bill.
    serial = str(uuid.uuid5(uuid.NAMESPACE_OID, whole.sha256 + sha256(small["card"]).hex()))
    return bom.ml_bom(parsed, facts, files, serial=serial, moment=moment)


def _custom(
    source: ModelSource, parsed: Card, facts: Facts, whole: Piece, parts: int
) -> dict[str, Any]:
    return {
        "role": "weights",
        "part": 1,
        "parts": parts,
        "model": parsed.name,
        "version": parsed.version,
        "security_epoch": source.security_epoch,
        "min_engine": source.min_engine,
        "architecture": facts.architecture,
        "licence": parsed.licence,
        "oms_target": f"{folder_of(parsed.name, parsed.version)}/{SIDE_FILES['oms']}",
        "sha256": whole.sha256,
        "length": whole.length,
    }


def _part_custom(number: int, first: Mapping[str, Any]) -> Mapping[str, Any]:
    return first if number == 1 else {"role": "weights", "part": number}


def _one_place(folder: Path) -> Place:
    folder.mkdir(parents=True)
    return lambda name: folder


def _split(
    source: Path, place: Place, names: Sequence[str], part_bytes: int, done: Done
) -> tuple[list[Piece], Piece]:
    """Copy the weights into the named files, reading them once; return each and the whole."""
    whole, length = hashlib.sha256(), 0
    pieces = []
    with source.open("rb") as reader:
        for name in names:
            piece = _copy(reader, place(name), name, part_bytes, whole, done)
            pieces.append(piece)
            length += piece.length
        if reader.read(1):
            raise BadInputError(f"{source} grew while it was read", hint="nothing was finished")
    return pieces, Piece(length, whole.hexdigest())


def _copy(reader: IO[bytes], folder: Path, name: str, limit: int, whole: Any, done: Done) -> Piece:
    draft = folder / f".{name}.draft"
    own, length = hashlib.sha256(), 0
    with durable.open_new(draft, 0o644) as descriptor:
        for chunk in _chunks(reader, limit):
            own.update(chunk)
            whole.update(chunk)
            length += len(chunk)
            durable.write_all(descriptor, chunk)
            done(len(chunk))
        os.fsync(descriptor)
    draft.rename(folder / f"{own.hexdigest()}.{name}")
    return Piece(length, own.hexdigest())


def _chunks(reader: IO[bytes], limit: int) -> Iterator[bytes]:
    while limit and (chunk := reader.read(min(CHUNK, limit))):
        limit -= len(chunk)
        yield chunk


def _target(folder: Path, name: str, piece: Piece, custom: Mapping[str, Any]) -> TargetFile:
    hashes = {"sha256": piece.sha256}
    return TargetFile(piece.length, hashes, f"{folder.name}/{name}", {"custom": dict(custom)})
