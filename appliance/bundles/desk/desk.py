"""The publisher's folder: who may sign, what was published, and which bundle is under way.

    desk.json             name, version numbers, pins, withdrawals waiting for the next bundle
    keys/                 key files of a small site; a larger one keeps them with its people
    roots/<n>.root.json   every complete root; roots/pending.json waits for signatures
    listing/<n>/          metadata of the newest complete bundle: the list of good models

A change is one atomic write of `desk.json`, so a crash leaves the old state or the new one.
Version numbers only grow, also past a bundle that was given up. Not secret, apart from `keys/`.
Not here: building and signing bundles.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from appliance import durable
from appliance.bundles.desk import roots
from appliance.bundles.manifest import Denied, VerifiedManifest
from appliance.errors import BadInputError, ConflictError, NotFoundError

FORMAT = 1
STATE = "desk.json"
PENDING = "pending.json"
LISTED = ("timestamp.json", "snapshot.json", "targets.json")


@dataclass(frozen=True)
class Building:
    """A bundle that was built, of which the desk does not know yet that it was completed."""

    version: int
    folders: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What `desk.json` holds.

    `pins`: model-version to the SHA-256 of its source file. `epochs`: model to the highest security
    epoch that was published, below which no hospital takes it again.
    """

    id: str
    name: str
    version: int = 0
    recorded: int = 0
    building: Building | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    denied: tuple[Denied, ...] = ()


class Desk:
    """An existing desk; make one with `create`."""

    def __init__(self, folder: Path) -> None:
        if not (folder / STATE).is_file():
            raise NotFoundError(
                f"{folder} is no publisher's desk",
                hint="make one with `appliance publisher init`, or check the folder",
            )
        self.folder = folder
        self.state = _parse((folder / STATE).read_bytes(), folder)

    @classmethod
    def create(cls, folder: Path, name: str) -> Desk:
        """Make an empty desk in a new or empty folder."""
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise BadInputError("a publisher's name has 1 to 100 printable characters")
        refuse_taken(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        for part in ("keys", "roots", "listing"):
            (folder / part).mkdir(mode=0o700)
        _write(folder, State(id=secrets.token_hex(16), name=name))
        return cls(folder)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other commands from changing the desk while the block runs."""
        with durable.exclusive(self.folder / ".desk.lock", f"the desk {self.folder}"):
            self.state = _parse((self.folder / STATE).read_bytes(), self.folder)
            yield

    def change(self, **fields: Any) -> None:
        """Replace fields of the state, durably."""
        state = replace(self.state, **fields)
        _write(self.folder, state)
        self.state = state

    # Roots.

    def chain(self) -> tuple[bytes, ...]:
        """Return every complete root, oldest first; empty while the first one is pending."""
        found: list[bytes] = []
        while (path := self.folder / "roots" / f"{len(found) + 1}.root.json").is_file():
            found.append(path.read_bytes())
        return tuple(found)

    def root(self) -> Root:
        """Return the newest complete root; raise ConflictError when there is none."""
        chain = self.chain()
        if not chain:
            raise ConflictError(
                "the first root is not signed by enough people yet",
                hint=f"`appliance publisher sign {self.folder} --key KEY`, one person each",
            )
        return roots.parse(chain[-1]).signed

    def pending(self) -> bytes | None:
        """Return the root that waits for signatures.

        None also for one that is complete: a crash may have left it between two steps.
        """
        path = self.folder / "roots" / PENDING
        if not path.is_file():
            return None
        data = path.read_bytes()
        return data if roots.parse(data).signed.version > len(self.chain()) else None

    def keep_root(self, pending: bytes) -> bool:
        """Write a root down, as complete when it is; tell whether it is."""
        chain = self.chain()
        folder = self.folder / "roots"
        complete = all(part.done for part in roots.missing(pending, chain[-1] if chain else None))
        if not complete:
            durable.write(folder / PENDING, pending)
            return False
        durable.write(folder / f"{len(chain) + 1}.root.json", pending, mode=0o644)
        (folder / PENDING).unlink(missing_ok=True)
        durable.sync_folder(folder)
        return True

    # What was published.

    def listing(self) -> Targets | None:
        """Return the list of good models of the newest complete bundle; None before the first."""
        data = self.listing_data()
        return None if data is None else Metadata[Targets].from_bytes(data).signed

    def listing_data(self) -> bytes | None:
        if not self.state.recorded:
            return None
        return (self._listing() / "targets.json").read_bytes()

    def adopt(self, manifest: VerifiedManifest) -> None:
        """Make a complete, verified bundle the newest one that this desk knows."""
        version = manifest.targets_version
        former = self.folder / "listing" / str(self.state.recorded)
        folder = self.folder / "listing" / str(version)
        if version != self.state.recorded:
            # What a crash left there; only `desk.json` says which one counts.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            for name, data in zip(
                LISTED, (manifest.timestamp, manifest.snapshot, manifest.targets), strict=True
            ):
                durable.write(folder / name, data, mode=0o644)
            durable.sync_folder(folder.parent)
        known = {item.sha256 for item in manifest.denied}
        under_way = self.state.building
        still = under_way if under_way and under_way.version > version else None
        epochs = dict(self.state.epochs)
        for model in manifest.models:
            epochs[model.name] = max(model.security_epoch, epochs.get(model.name, 0))
        self.change(
            epochs=epochs,
            recorded=version,
            version=max(version, self.state.version),
            building=still,
            denied=tuple(item for item in self.state.denied if item.sha256 not in known),
        )
        if former != folder:
            shutil.rmtree(former, ignore_errors=True)

    def _listing(self) -> Path:
        return self.folder / "listing" / str(self.state.recorded)


def refuse_taken(folder: Path) -> None:
    """Raise unless a desk can be made in `folder`: it is new, or empty."""
    if not folder.parent.is_dir():
        raise NotFoundError(f"there is no folder {folder.parent}", hint="make the folder first")
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(
            f"{folder} is not empty and was left as it is", hint="name a new folder"
        )


def _write(folder: Path, state: State) -> None:
    value = {"format": FORMAT, **asdict(state)}
    durable.write(folder / STATE, json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")


def _parse(data: bytes, folder: Path) -> State:
    try:
        value = json.loads(data)
        if value.pop("format") != FORMAT:
            raise BadInputError(f"{folder} was made by another version of this program")
        building = value.pop("building")
        return State(
            **{
                **value,
                "building": building and Building(building["version"], tuple(building["folders"])),
                "denied": tuple(Denied(**item) for item in value["denied"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{folder / STATE} is damaged", hint="restore the desk's folder from a backup"
        ) from error
