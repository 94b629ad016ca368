"""A bundle that lacks signatures: what it is known by, and how it is opened to be signed.

A draft is a bundle with a `draft.json` at its top, which no hospital accepts, and without
snapshot and timestamp. It may lie on several media: each carries all metadata. Nothing in
`draft.json` is signed, so nothing is believed because it stands there: the list of models that
it calls the former one must carry enough signatures itself.
Not here: building one (`build`), hashing what it carries (`contents`), signing (`signing`).
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Targets

from appliance import durable
from appliance.bundles import trust
from appliance.bundles.media import MAX_METADATA_BYTES
from appliance.bundles.trust import TrustedRoot
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError

NAME = "draft.json"
FORMAT = 1
MAX_BYTES = 16_777_216
LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{8}\.new")
NOT_SIGNED = "nothing was signed; build the bundle anew at the desk, and find out who changed it"


@dataclass(frozen=True)
class Info:
    """What `draft.json` holds: where it comes from, and which of how many media this is.

    `carried` names the folders of the models whose files are on the media; `former` is the signed
    list of models of the bundle before, as text, None for the first bundle.
    """

    publisher: str
    desk: str
    desk_id: str
    version: int
    carried: tuple[str, ...]
    medium: int
    media: int
    former: str | None

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode() + b"\n"


@dataclass
class Draft:
    """An open draft. `metadata` holds the list of models with the signatures so far."""

    folders: tuple[Path, ...]
    info: Info
    chain: tuple[bytes, ...]
    root: TrustedRoot
    metadata: Metadata[Targets]
    former: Targets | None

    @classmethod
    def open(cls, folders: Sequence[Path]) -> Draft:
        """Return the draft on these media; raise unless all of them are there and agree."""
        unique = list(dict.fromkeys(folder.resolve() for folder in folders))
        _check_folders(unique)
        # A run that was cut short while it completed a bundle may have ended some media.
        ended = [folder for folder in unique if _has_ended(folder)]
        under_way = [folder for folder in unique if folder not in ended] or ended
        infos = {folder: read_info(folder) for folder in under_way}
        _check_media(infos, len(ended))
        ordered = [*sorted(under_way, key=lambda folder: infos[folder].medium), *ended]
        info = infos[ordered[0]]
        for folder in ordered:
            tidy(folder)
        found = [read_metadata(folder) for folder in ordered]
        chain, root = _chain(found)
        return cls(
            folders=tuple(ordered),
            info=info,
            chain=chain,
            root=root,
            metadata=_targets(found, info.version, root),
            former=_former(info, chain),
        )

    @property
    def targets_name(self) -> str:
        return f"{self.info.version}.targets.json"

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put metadata onto every medium, replacing what is there."""
        for folder in self.folders:
            for name, data in files.items():
                put(folder / "metadata" / name, data)

    def close(self) -> None:
        """Make it a bundle: from now on nothing says that it is a draft."""
        for folder in self.folders:
            (folder / NAME).unlink(missing_ok=True)
            durable.sync_folder(folder)


def _check_folders(folders: Sequence[Path]) -> None:
    """Refuse links in the place of a draft's folders: a medium must not choose where we write."""
    for folder in folders:
        for place in (folder / "metadata", folder / "targets"):
            if place.is_symlink():
                raise VerificationError(f"{place} is a link", hint=NOT_SIGNED)


def put(path: Path, data: bytes) -> None:
    """Replace a file durably, also on a medium that keeps no modes (FAT)."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        with durable.translated():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(temporary, flags, 0o644), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    durable.sync_folder(path.parent)


def tidy(folder: Path) -> None:
    """Remove what an interrupted `put` left."""
    for place in (folder, folder / "metadata"):
        for path in place.iterdir():
            if LEFT_OVER.fullmatch(path.name) and not path.is_dir():
                path.unlink()


def read_info(folder: Path) -> Info:
    """Return what a draft says about itself; raise when the folder is no draft."""
    path = folder / NAME
    if not path.is_file():
        if _has_ended(folder):
            raise ConflictError(
                f"{folder} is complete and needs no further signature",
                hint="carry it to the hospital: `appliance bundle import` there",
            )
        raise NotFoundError(
            f"{folder} is no bundle under way", hint="make one with `appliance bundle build`"
        )
    value = _object(_read(path, MAX_BYTES), path)
    kinds = {"publisher": str, "desk": str, "desk_id": str, "version": int, "carried": list,
             "medium": int, "media": int, "former": str | None}  # fmt: skip
    if value.pop("format", None) != FORMAT or value.keys() != kinds.keys():
        raise VerificationError(f"{path} is of another version or damaged", hint=NOT_SIGNED)
    wrong = [name for name, kind in kinds.items() if not isinstance(value[name], kind)]
    if wrong or not all(isinstance(item, str) for item in value["carried"]):
        raise VerificationError(f"{path} is damaged", hint=NOT_SIGNED)
    return Info(**{**value, "carried": tuple(value["carried"])})


def read_metadata(folder: Path) -> dict[str, bytes]:
    """Return every file under `metadata/` of a bundle, read within the limits of an import."""
    place = folder / "metadata"
    if not place.is_dir():
        raise NotFoundError(f"{folder} is no bundle", hint="check the folder")
    found: dict[str, bytes] = {}
    for path in sorted(place.iterdir()):
        found[path.name] = _read(path, trust.limit_of(path.name))
        if sum(map(len, found.values())) > MAX_METADATA_BYTES:
            raise VerificationError(f"{place} is larger than any bundle's", hint=NOT_SIGNED)
    return found


def _has_ended(folder: Path) -> bool:
    """Tell whether a folder is a bundle that is no draft any more."""
    return not (folder / NAME).exists() and (folder / "metadata" / "timestamp.json").is_file()


def _check_media(infos: Mapping[Path, Info], ended: int) -> None:
    first = next(iter(infos.values()))
    if {(item.desk_id, item.version, item.media) for item in infos.values()} != {
        (first.desk_id, first.version, first.media)
    }:
        raise BadInputError("the folders belong to different bundles")
    missing = set(range(1, first.media + 1)) - {item.medium for item in infos.values()}
    if len(missing) != ended or len(infos) + ended != first.media:
        raise BadInputError(
            f"this bundle lies on {first.media} media, and number "
            f"{', '.join(map(str, sorted(missing))) or 'some'} is not here",
            hint="give the folders of all media at once: every file is read before it is signed",
        )


def _chain(found: Sequence[Mapping[str, bytes]]) -> tuple[tuple[bytes, ...], TrustedRoot]:
    """Return the roots on the media, which must follow from one another."""
    numbers = range(1, 1 + sum(name.endswith(".root.json") for name in found[0]))
    try:
        chain = tuple(found[0][f"{number}.root.json"] for number in numbers)
        root = trust.advance(trust.reload(chain[0]), found[0])
        same = all(
            item.get(f"{number}.root.json") == chain[number - 1]
            for item in found
            for number in numbers
        )
    except (KeyError, IndexError, VerificationError) as error:
        raise VerificationError("the roots of this bundle do not hold", hint=NOT_SIGNED) from error
    if not same or root.version != len(chain):
        raise VerificationError("the media carry different roots", hint=NOT_SIGNED)
    return chain, root


def _targets(
    found: Sequence[Mapping[str, bytes]], version: int, root: TrustedRoot
) -> Metadata[Targets]:
    """Return the list of models with every good signature that any medium has."""
    read = [parse_targets(item.get(f"{version}.targets.json", b"")) for item in found]
    for item in read:
        _keep_good(item, root)
    # The first person's signature adds the models' own signatures to the list: a run that was
    # cut short then leaves media with the list before that, which nobody has signed.
    read = [item for item in read if item.signatures] or read
    first = read[0]
    for other in read[1:]:
        if other.signed_bytes != first.signed_bytes:
            raise VerificationError("the media list different models", hint=NOT_SIGNED)
        first.signatures.update(other.signatures)
    if first.signed.version != version:
        raise VerificationError("the list of models has another version", hint=NOT_SIGNED)
    return first


def _keep_good(metadata: Metadata[Targets], root: TrustedRoot) -> None:
    """Drop what does not verify: a bad signature must not stand where a good one could."""
    result = root.root.get_verification_result(
        Targets.type, metadata.signed_bytes, metadata.signatures
    )
    for keyid in metadata.signatures.keys() - result.signed.keys():
        del metadata.signatures[keyid]


def _former(info: Info, chain: Sequence[bytes]) -> Targets | None:
    """Return the list of models before this one, which enough people must have signed."""
    if info.former is None:
        return None
    metadata = parse_targets(info.former.encode())
    for data in reversed(chain):
        root = trust.reload(data).root
        try:
            root.verify_delegate(Targets.type, metadata.signed_bytes, metadata.signatures)
        except (UnsignedMetadataError, ValueError):
            continue
        if metadata.signed.version < info.version:
            return metadata.signed
    raise VerificationError("the former list of models is not signed or too new", hint=NOT_SIGNED)


def parse_targets(data: bytes) -> Metadata[Targets]:
    """Return a list of models as it is written down; whether it is signed is not asked."""
    try:
        metadata: Metadata[Targets] = Metadata.from_bytes(data)
    except (RepositoryError, ValueError, RecursionError) as error:
        raise VerificationError("the list of models is malformed", hint=NOT_SIGNED) from error
    if metadata.signed.type != Targets.type:
        raise VerificationError("the list of models is something else", hint=NOT_SIGNED)
    return metadata


def _read(path: Path, limit: int) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}", hint=NOT_SIGNED) from (
            error
        )
    if data is None or len(data) > limit:
        raise VerificationError(f"{path} is larger than {limit} bytes", hint=NOT_SIGNED)
    return data


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path} is damaged", hint=NOT_SIGNED) from error
    if not isinstance(value, dict):
        raise VerificationError(f"{path} is damaged", hint=NOT_SIGNED)
    return value
