"""The engine's read-only view of the model library: which models are active, their exact bytes.

Guarantee: llama.cpp parses only a file whose SHA-256 was just found to be its own name and the
digest that `active.json` gives. The steps:

1. open `<digest>.gguf` once, without following a link, and require a regular file;
2. note device, inode, size, mtime and ctime of that open file;
3. hash it through that descriptor and compare with the digest, or, where `active.json` names a
   list of chunk digests, compare every chunk with that list: several cores can do that at once;
4. let llama.cpp open `/proc/self/fd/<n>`: the same inode, whatever the name points to by now;
5. compare the note of step 2 again after loading: a write or a swap of the name in between
   changes the ctime, which no unprivileged process can set back. On a difference the model is
   thrown away.

What it does not do: stop whoever can write this file as this very user from changing mapped
pages later. That user could as well replace this program; file modes (0400), a read-only mount
in the container and the signed import keep others out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import EngineUnavailableError, NotFoundError, VerificationError
from appliance.llama import chunks

ACTIVE_FILE = "active.json"
MAX_ACTIVE_BYTES = 65_536
MAX_TEMPLATE_BYTES = 262_144
BLOCK_BYTES = 4 * 1_048_576
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class ActiveModel:
    """What `active.json` names. `context_tokens` 0 means: what the model was trained for.

    Without `template_sha256` the weights' own chat template counts, without `chunks_sha256` the
    weights are hashed as a whole.
    """

    name: str
    version: str
    digest: str
    context_tokens: int = 0
    template_sha256: str | None = None
    chunks_sha256: str | None = None


@dataclass(frozen=True)
class VerifiedWeights:
    """An open weights file whose content hashes to `digest`; valid inside `verified` only."""

    digest: str
    descriptor: int
    stamp: tuple[int, ...]

    @property
    def path(self) -> str:
        """A name for exactly this open file, immune to a swap in the folder."""
        return f"/proc/self/fd/{self.descriptor}"

    def require_unchanged(self) -> None:
        """Raise VerificationError if the file was written to since its hash was taken."""
        if _stamp(self.descriptor) != self.stamp:
            raise VerificationError(f"the weights {self.digest} changed while they were loaded")


def read_active(folder: Path) -> tuple[ActiveModel, ...]:
    """Return the active models, two at most, the one that answers by default first.

    Raises EngineUnavailableError when `active.json` is there and makes no sense.
    """
    try:
        with _opened(folder / ACTIVE_FILE) as descriptor:
            data = os.read(descriptor, MAX_ACTIVE_BYTES)
    except NotFoundError:
        return ()
    try:
        named = json.loads(data)
        first, second = parse_model(named["model"]), named.get("beside")
        return (first,) if second is None else (first, parse_model(second))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineUnavailableError(
            f"{ACTIVE_FILE} does not name a model, so none was loaded",
            hint="activate a model again",
        ) from error


def parse_model(model: Mapping[str, object]) -> ActiveModel:
    """Return the model in a JSON object; raise ValueError, KeyError or TypeError for others."""
    digest, tokens = _digest(model["digest"]), model.get("context_tokens") or 0
    if not isinstance(tokens, int) or tokens < 0:
        raise ValueError("context_tokens is not a count")
    template, listed = model.get("template_sha256"), model.get("chunks_sha256")
    return ActiveModel(
        str(model["name"]),
        str(model["version"]),
        digest,
        tokens,
        None if template is None else _digest(template),
        None if listed is None else _digest(listed),
    )


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("a digest is 64 hex digits")
    return value


def read_template(folder: Path, digest: str | None) -> str | None:
    """Return the chat template of that SHA-256 from the library, None when none is named.

    Raises NotFoundError when it is missing, VerificationError when it is not what was signed.
    """
    if digest is None:
        return None
    data = _small_file(folder / f"{digest}.template", MAX_TEMPLATE_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    is_small = len(data) <= MAX_TEMPLATE_BYTES
    if not text or not is_small or hashlib.sha256(data).hexdigest() != digest:
        raise VerificationError(
            f"the chat template {digest} is not what was signed; the model was not loaded"
        )
    return text


def _small_file(path: Path, most: int) -> bytes:
    """Return the content of a regular file, its first `most` + 1 bytes at most."""
    with _opened(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return file.read(most + 1)


@contextlib.contextmanager
def verified(
    folder: Path, digest: str, chunks_sha256: str | None = None
) -> Iterator[VerifiedWeights]:
    """Yield the weights whose name and content are `digest`.

    With `chunks_sha256`, the digest of `<digest>.chunks`, the content is compared chunk by chunk
    on all cores; a list that is missing or altered is not believed, and the whole is hashed.
    Raises NotFoundError when the file is missing, VerificationError when it is a link, not a
    regular file, or has other content.
    """
    if not _DIGEST.fullmatch(digest):
        raise VerificationError("a weights file is named by 64 hex digits and nothing else")
    with _opened(folder / f"{digest}.gguf") as descriptor:
        stamp = _stamp(descriptor)
        listed = _listed_chunks(folder / f"{digest}.chunks", chunks_sha256)
        if not (chunks.match(descriptor, listed) if listed else _hash(descriptor) == digest):
            raise VerificationError(
                f"the weights file {digest}.gguf has other content than its name says; "
                "it was not loaded"
            )
        weights = VerifiedWeights(digest, descriptor, stamp)
        weights.require_unchanged()
        yield weights


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # O_NONBLOCK: opening a FIFO that someone put there must not hang the engine.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise NotFoundError(f"{path.name} is not in the library") from error
    except OSError as error:
        raise VerificationError(f"{path.name} cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise VerificationError(f"{path.name} is not a regular file; it was not read")
        yield descriptor
    finally:
        os.close(descriptor)


def _listed_chunks(path: Path, digest: str | None) -> tuple[str, ...]:
    """Return the chunk digests in a list that is itself intact, none otherwise."""
    if digest is None:
        return ()
    try:
        data = _small_file(path, chunks.MAX_LIST_BYTES)
    except (NotFoundError, VerificationError):
        return ()
    return chunks.parse(data) if hashlib.sha256(data).hexdigest() == digest else ()


def _hash(descriptor: int) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(BLOCK_BYTES))
    offset = 0
    while (count := os.preadv(descriptor, [buffer], offset)) > 0:
        digest.update(buffer[:count])
        offset += count
    return digest.hexdigest()


def _stamp(descriptor: int) -> tuple[int, ...]:
    facts = os.fstat(descriptor)
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )
