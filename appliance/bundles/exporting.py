"""A model laid out under plain names, for any tool that checks OpenSSF Model Signing signatures.

    FOLDER/model/<name>.gguf, card.toml, chat_template.jinja, eval.jsonl, bom.cdx.json
    FOLDER/model.oms.sig      the signature over exactly the files in `model`
    FOLDER/publisher.pem      the public key that made it

Guarantees: what lies there afterwards has the signed digests, because each byte is hashed as it
is copied; the folder is whole or not there at all. Files are copied, not linked: nothing that is
done to the copy can reach the library. Not here: whether the signature is good (import did that,
and the tool will), who may export (operations).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance import durable
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.manifest import SIDE_FILES, weights_name
from appliance.bundles.refusals import DamagedModelError
from appliance.errors import ConflictError, NotFoundError

PIECE_BYTES = 4 * 1024 * 1024
FILES = "model"
SIGNATURE = "model.oms.sig"
PUBLIC_KEY = "publisher.pem"

Progress = Callable[[int, int], None]


def lay_out(library: Path, model: ModelInfo, folder: Path, progress: Progress) -> None:
    """Copy a model's files from `library` into the new `folder`; `progress(done, total)` in bytes.

    Raises ConflictError when the folder holds anything or the model came without a signature of
    its own, DamagedModelError when a file is gone or altered, DiskFullError.
    """
    sources = _sources(model)
    if folder.is_symlink():
        raise ConflictError(
            f"{folder} is a link; nothing was exported", hint="name a new folder itself"
        )
    # Without "..": a way through the folder itself would end when that is put in place.
    folder = folder.parent.resolve() / folder.name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(
            f"{folder} holds something already; nothing was exported", hint="name a new folder"
        )
    if not folder.parent.is_dir():
        raise NotFoundError(f"there is no folder {folder.parent}", hint="make it first")
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    try:
        with durable.translated():
            (fresh / FILES).mkdir(parents=True)
            _copy_all(library, model, sources, fresh, progress)
            (fresh / PUBLIC_KEY).write_bytes(model.oms_key.encode())
            for each in (fresh / FILES, fresh):
                durable.sync_folder(each)
            if folder.exists():
                folder.rmdir()
            fresh.rename(folder)
            durable.sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _sources(model: ModelInfo) -> dict[str, tuple[str, str]]:
    """Map each file to make to the library's file and the digest that it must have."""
    if not model.files.keys() >= SIDE_FILES.keys():
        raise ConflictError(
            f"{model.name} {model.version} came without a signature of its own, so there is "
            "nothing to check it against; nothing was exported",
            hint="import a newer bundle of it",
        )
    sources = {f"{FILES}/{weights_name(model.name)}": (f"{model.digest}.gguf", model.digest)}
    for role, name in SIDE_FILES.items():
        digest = model.files[role]
        place = SIGNATURE if role == "oms" else f"{FILES}/{name}"
        sources[place] = (f"{digest}.{role}", digest)
    return sources


def _copy_all(
    library: Path,
    model: ModelInfo,
    sources: dict[str, tuple[str, str]],
    fresh: Path,
    progress: Progress,
) -> None:
    total, done = 0, 0
    what = f"{model.name} {model.version}"
    for stored, _ in sources.values():
        try:
            total += (library / stored).stat().st_size
        except FileNotFoundError:
            raise DamagedModelError(f"a file of {what} is missing from the library") from None
    for name, (stored, digest) in sources.items():
        found = hashlib.sha256()
        for piece in _copied(library / stored, fresh / name):
            found.update(piece)
            done += len(piece)
            progress(done, total)
        if found.hexdigest() != digest:
            raise DamagedModelError(f"a file of {what} in the library was altered: {name}")


def _copied(source: Path, place: Path) -> Iterator[bytes]:
    with source.open("rb") as reading, place.open("xb") as writing:
        while piece := reading.read(PIECE_BYTES):
            writing.write(piece)
            yield piece
        writing.flush()
        os.fsync(writing.fileno())
