"""Builds a draft: copies models onto the media, reading each once, and writes the list to sign.

The list is complete: every good model of the bundle before, less those withdrawn, and the new
ones, so the desk must know how the bundle before ended. Digests are computed here and pinned:
another file under the same model and version is refused from then on. A build that fails leaves
the media and the desk as they were. Not here: signatures.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Metadata, TargetFile

from appliance import durable
from appliance.bundles import building, card, publisher
from appliance.bundles.building import ModelSource
from appliance.bundles.desk import drafts, plan, recording, standing
from appliance.bundles.desk.contents import Watch
from appliance.bundles.desk.desk import Building, Desk
from appliance.bundles.desk.drafts import Info
from appliance.bundles.desk.plan import Sizes
from appliance.bundles.manifest import (
    MAX_CARD_BYTES,
    MAX_TEMPLATE_BYTES,
    PART_BYTES,
    Denied,
    folder_of,
)
from appliance.errors import BadInputError, ConflictError, DiskFullError

VALID_DAYS = 365


@dataclass(frozen=True)
class Order:
    """What to build: models, media (folders), sizes in bytes, days of validity.

    `media_bytes` None means as much as is free on each medium. `abandoned` is the version of a
    bundle under way of which nobody has, or ever will have, a completed copy. `again` lets a
    published version be carried once more, with the same weights: for a lost stick, or after the
    key that signed it was revoked. `epoch` None keeps the highest security epoch of each model.
    """

    sources: tuple[ModelSource, ...]
    folders: tuple[Path, ...]
    part_bytes: int = PART_BYTES
    media_bytes: int | None = None
    valid_days: int = VALID_DAYS
    abandoned: int | None = None
    again: bool = False
    epoch: int | None = None


@dataclass(frozen=True)
class Built:
    """A draft: its version and end of validity, and what lies in which folder (model, bytes)."""

    version: int
    expires: datetime
    root_expires: datetime
    models: tuple[str, ...]
    media: tuple[tuple[Path, Mapping[str, int]], ...]
    denied: tuple[Denied, ...]


def build(desk: Desk, order: Order, now: datetime, watch: Watch) -> Built:
    """Write a draft to the folders of `order`; call within `desk.held()`."""
    root = desk.root()
    standing.check_root(root, now)
    recording.settle(desk, order.abandoned)
    sizes = [_sizes(source) for source in order.sources]
    kept, denied = standing.published(desk)
    if order.again:
        own = {item.folder for item in sizes}
        kept = [item for item in kept if item.path.partition("/")[0] not in own]
    standing.check_new(sizes, kept, denied)
    sources = [
        standing.with_epoch(desk, source, size.model, order.epoch)
        for source, size in zip(order.sources, sizes, strict=True)
    ]
    places = plan.spread(sizes, _capacities(order), order.part_bytes) if sizes else {}
    version = desk.state.version + 1
    expires = now.replace(microsecond=0) + timedelta(days=order.valid_days)
    with _fresh(order.folders):
        new = _copy(order, list(zip(sources, sizes, strict=True)), places, now, watch)
        standing.check_pins(desk, new, kept, denied)
        targets = publisher.make_targets(
            [*kept, *new], expires=expires, version=version, denied=denied
        )
        unsigned = Metadata(targets).to_bytes()
        for folder in order.folders:
            _write_metadata(desk, folder, version, unsigned)
        _open_draft(desk, order, version, sizes, new)
    media = tuple(
        (folder, _held(new, places, number)) for number, folder in enumerate(order.folders)
    )
    models = tuple(item.folder for item in sizes)
    return Built(version, expires, root.expires, models, media, denied)


def _sizes(source: ModelSource) -> Sizes:
    data = source.card.read_bytes()
    parsed = card.parse(data)
    template = MAX_TEMPLATE_BYTES if source.template is None else source.template.stat().st_size
    return Sizes(
        folder=folder_of(parsed.name, parsed.version),
        model=parsed.name,
        weights=source.gguf.stat().st_size,
        side=min(len(data), MAX_CARD_BYTES) + source.prompts.stat().st_size + template,
    )


def _capacities(order: Order) -> list[int]:
    if order.media_bytes is not None:
        return [order.media_bytes] * len(order.folders)
    near = [next(p for p in (folder, *folder.parents) if p.exists()) for folder in order.folders]
    if len({place.stat().st_dev for place in near}) != len(near):
        raise BadInputError(
            "several of the folders lie on one medium, so the room on each is not known",
            hint="say how much goes into each with --media-size",
        )
    return [shutil.disk_usage(place).free for place in near]


@contextlib.contextmanager
def _fresh(folders: Sequence[Path]) -> Iterator[None]:
    """Hold new or empty folders while a bundle is written; empty them again when that fails."""
    existed = [folder.exists() for folder in folders]
    for folder in folders:
        if folder.exists() and any(folder.iterdir()):
            raise ConflictError(
                f"{folder} is not empty, and nothing was written",
                hint=f"name a new folder on it, for example --out {folder / 'bundle'}",
            )
    try:
        with durable.translated():
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "metadata").mkdir()
                (folder / "targets").mkdir()
            yield
    except BaseException as error:
        for folder, was_there in zip(folders, existed, strict=True):
            (folder / drafts.NAME).unlink(missing_ok=True)
            for path in (folder / "metadata", folder / "targets") if was_there else (folder,):
                shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, DiskFullError):
            raise DiskFullError(
                "a medium is full, and what was written to it was removed",
                hint="use a larger one, or spread the bundle over several with --out again",
            ) from error
        raise


def _copy(
    order: Order,
    models: Sequence[tuple[ModelSource, Sizes]],
    places: Mapping[str, int],
    now: datetime,
    watch: Watch,
) -> list[TargetFile]:
    total, reached = sum(size.weights for _, size in models), 0

    def done(count: int) -> None:
        nonlocal reached
        reached += count
        watch(reached, total)

    files: list[TargetFile] = []
    for source, size in models:

        def place(name: str, folder: str = size.folder) -> Path:
            where = order.folders[places[f"{folder}/{name}"]] / "targets" / folder
            where.mkdir(exist_ok=True)
            return where

        files += building.describe(source, place, now, part_bytes=order.part_bytes, done=done)
    return files


def _write_metadata(desk: Desk, folder: Path, version: int, unsigned: bytes) -> None:
    for number, data in enumerate(desk.chain(), start=1):
        drafts.put(folder / "metadata" / f"{number}.root.json", data)
    drafts.put(folder / "metadata" / f"{version}.targets.json", unsigned)
    durable.sync_folder(folder)


def _open_draft(
    desk: Desk, order: Order, version: int, sizes: Sequence[Sizes], new: Sequence[TargetFile]
) -> None:
    """Tell the desk that a bundle is under way, then make it signable; neither half alone."""
    former = desk.listing_data()
    before = desk.state
    desk.change(
        version=version,
        building=Building(version, tuple(str(folder.resolve()) for folder in order.folders)),
        pins={**desk.state.pins, **standing.digests(new)},
    )
    try:
        for number, folder in enumerate(order.folders, start=1):
            info = Info(
                publisher=desk.state.name,
                desk=str(desk.folder.resolve()),
                desk_id=desk.state.id,
                version=version,
                carried=tuple(item.folder for item in sizes),
                medium=number,
                media=len(order.folders),
                former=None if former is None else former.decode(),
            )
            drafts.put(folder / drafts.NAME, info.encode())
    except BaseException:
        desk.change(version=before.version, building=None, pins=before.pins)
        raise


def _held(new: Sequence[TargetFile], places: Mapping[str, int], number: int) -> dict[str, int]:
    """Return how many bytes of each model lie on one medium."""
    found: dict[str, int] = {}
    for item in new:
        if places[item.path] == number:
            folder = item.path.partition("/")[0]
            found[folder] = found.get(folder, 0) + item.length
    return found
