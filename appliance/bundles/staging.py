"""Files on their way into the library: in staging by digest, until all of a bundle are verified.

    <sha256>.gguf.part     the weights in one file, parts joined; as long as they will be
    <sha256>.notes         how far they were copied (see `digesting`)
    <sha256>.chunks.part   the digests of their chunks, once they are whole
    <sha256>.<role>.part   a file beside the weights

Guarantees: room is allocated before a byte is read, and never the room that the record keeps for
itself; a file that was cut off by a kill or a pulled stick is gone on with where it stopped,
after what lies there was hashed again; a whole file is read-only and on the disk before it is
used. Not here: which files belong to a bundle, and when they become part of the library.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import durable
from appliance.bundles.digesting import (
    CheckSum,
    ChunkWorker,
    Digests,
    MakeHash,
    PartWorker,
    parse_notes,
    rehash,
)
from appliance.bundles.manifest import FileRole, VerifiedModel, VerifiedTarget
from appliance.bundles.media import check_digest, file_digest, place_of, pour
from appliance.bundles.opening import Carriers
from appliance.bundles.pipeline import Pipeline, Worker
from appliance.bundles.places import library_file
from appliance.bundles.writing import Writer, no_room, written
from appliance.errors import DiskFullError

# Left free beside what is staged, so that the databases can grow meanwhile.
KEEP_FREE_BYTES = 67_108_864
MAX_NOTES_BYTES = 16_777_216

Done = Callable[[int], None]


@dataclass(frozen=True)
class Staged:
    """Where the verified weights of a model lie, and the digests of their chunks."""

    weights: Path
    chunks: tuple[str, ...]


class Staging:
    """The staging folder; `library` is looked into for files that a crash left without a row."""

    def __init__(
        self,
        folder: Path,
        library: Path,
        keep_free: int = KEEP_FREE_BYTES,
        *,
        list_chunks: bool = True,
    ) -> None:
        """`list_chunks` asks for a list of chunk digests, by which many cores re-hash at once."""
        self._folder = folder
        self._library = library
        self._keep_free = keep_free
        self._list_chunks = list_chunks
        self._adopted: dict[str, Staged] = {}

    def clean(self, keep: Collection[VerifiedModel] = ()) -> None:
        """Remove what does not belong to the models in `keep`: all, if none is named."""
        digests = {model.sha256 for model in keep}
        digests |= {target.sha256 for model in keep for target in model.files}
        for path in [*self._folder.iterdir()]:
            ours = path.suffix in {".part", ".notes"} and path.name.partition(".")[0] in digests
            if path.suffix in {".part", ".notes", ".new"} and not ours:
                path.unlink()

    def adopt(self, models: Sequence[VerifiedModel]) -> None:
        """Look for weights that a crash left in the library without a row, and hash them."""
        for model in models:
            place = library_file(self._library, model.sha256)
            if place.exists():
                digests = self._rehashed(place, model.length)
                if digests.whole.hexdigest() == model.sha256:
                    self._adopted[model.sha256] = Staged(place, digests.all_chunks())

    def reserve(self, models: Sequence[VerifiedModel]) -> None:
        """Allocate the room that the weights and the other files of `models` still need.

        Raises DiskFullError, and then leaves nothing behind.
        """
        waiting = [model for model in models if not self._holds_room(model)]
        side = sum(item.length for model in models for item in model.files[len(model.parts) :])
        try:
            self._check_free(sum(model.length for model in waiting) + side)
            for model in waiting:
                path = self.weights_path(model)
                path.unlink(missing_ok=True)
                with written(), durable.open_new(path, 0o600) as descriptor:
                    os.posix_fallocate(descriptor, 0, model.length)
        except DiskFullError:
            self.clean()
            raise

    def weights(
        self, model: VerifiedModel, media: Carriers, done: Done
    ) -> Staged | tuple[VerifiedTarget, ...]:
        """Return the whole weights, read from where an earlier run stopped, or the parts that lack.

        `done(n)` counts bytes, those found here already included. Raises ContentError,
        MediumError or DiskFullError.
        """
        if model.sha256 in self._adopted:
            done(model.length)
            return self._adopted[model.sha256]
        return self._streamed(model, media, done)

    def side(
        self, model: VerifiedModel, role: FileRole, media: Carriers, done: Done
    ) -> Path | None:
        """Return where a file beside the weights lies, whole and verified; None if it lacks."""
        target = model.file(role)
        place = library_file(self._library, target.sha256, role)
        path = self._folder / f"{target.sha256}.{role}.part"
        for found in (place, path):
            if found.exists() and file_digest(found) == target.sha256:
                done(target.length)
                return found
        if not media.holds(target):
            return None
        self.keep(path, media.read(target))
        done(target.length)
        return path

    def keep(self, path: Path, data: bytes) -> None:
        """Write a whole file, read-only and durable."""
        with written():
            durable.write(path, data, mode=0o444)

    def chunks(self, model: VerifiedModel, staged: Staged) -> tuple[Path, str] | None:
        """Write the list of chunk digests; return where it lies and its SHA-256 (hex).

        None where no list is kept: the weights are then re-hashed as a whole.
        """
        if not self._list_chunks:
            return None
        data = "".join(f"{digest}\n" for digest in staged.chunks).encode()
        path = self._folder / f"{model.sha256}.chunks.part"
        self.keep(path, data)
        return path, hashlib.sha256(data).hexdigest()

    def weights_path(self, model: VerifiedModel) -> Path:
        """Return where the weights are staged."""
        return self._folder / f"{model.sha256}.gguf.part"

    def _rehashed(self, path: Path, length: int) -> Digests:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return self._rehash(descriptor, length, None)
        finally:
            os.close(descriptor)

    def _found(self, descriptor: int, length: int, notes: Path) -> Digests:
        """Return the digests of what an earlier run copied; its notes begin anew from there."""
        try:
            with notes.open("rb") as file:
                noted = parse_notes(file.read(MAX_NOTES_BYTES))
        except FileNotFoundError:
            noted = {}
        return self._rehash(descriptor, length, noted)

    def _rehash(
        self, descriptor: int, length: int, noted: Mapping[int, tuple[int, str]] | None
    ) -> Digests:
        make: MakeHash = hashlib.sha256 if self._list_chunks else CheckSum
        return rehash(lambda at, count: os.pread(descriptor, count, at), length, noted, make)

    def _notes_path(self, model: VerifiedModel) -> Path:
        return self._folder / f"{model.sha256}.notes"

    def _holds_room(self, model: VerifiedModel) -> bool:
        path = self.weights_path(model)
        kept = path.exists() and path.stat().st_size == model.length
        return kept or model.sha256 in self._adopted

    def _check_free(self, needed: int) -> None:
        status = os.statvfs(self._folder)
        free = status.f_bavail * status.f_frsize
        if needed + self._keep_free > free:
            raise no_room(needed, free - self._keep_free)

    def _streamed(
        self, model: VerifiedModel, media: Carriers, done: Done
    ) -> Staged | tuple[VerifiedTarget, ...]:
        path, notes = self.weights_path(model), self._notes_path(model)
        path.chmod(0o600)  # it may be whole already, and read-only
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            digests = self._found(descriptor, model.length, notes)
            done(digests.position)
            lacking = self._copy(model, media, descriptor, digests, done)
            if lacking:
                return lacking
            check_digest(digests.whole.hexdigest(), model.sha256, place_of(model.parts[0]))
            with written():
                # Before fsync, so that the mode is durable with the content.
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return Staged(path, digests.all_chunks())

    def _copy(
        self,
        model: VerifiedModel,
        media: Carriers,
        descriptor: int,
        digests: Digests,
        done: Done,
    ) -> tuple[VerifiedTarget, ...]:
        """Copy part by part as far as the media reach; return the parts that lie on none."""
        ends = [sum(p.length for p in model.parts[: n + 1]) for n in range(len(model.parts))]
        with _noting(self._notes_path(model)) as note:
            workers: list[Worker] = [
                Writer(descriptor, digests.position),
                digests.whole.update,
                ChunkWorker(digests, ends, note),
            ]
            if len(model.parts) > 1:
                workers.append(PartWorker(model.parts, digests.position))
            position = digests.position
            with Pipeline(workers) as pipeline:
                for part, end in zip(model.parts, ends, strict=True):
                    if position >= end:
                        continue
                    if not media.holds(part):
                        break
                    with media.opened(part) as source:
                        pour(source, part, pipeline, done, part.length - (end - position))
                    position = end
        later = [part for part, end in zip(model.parts, ends, strict=True) if end > position]
        return tuple(part for part in later if not media.holds(part))


@contextlib.contextmanager
def _noting(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield what appends a line to the notes. They need no fsync: what they claim is checked."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(line: bytes) -> None:
        with written():
            os.write(descriptor, line)

    try:
        yield note
    finally:
        os.close(descriptor)
