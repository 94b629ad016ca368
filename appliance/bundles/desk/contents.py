"""Reads every file that a draft carries, before anybody signs for it.

What comes out, `Contents`, is what a person is shown and what `signing` signs: models whose
files were read and have the digests of the list, models that stood in the former signed list,
and nothing third. Names are those of the list, checked; links are not followed.
Not here: signatures over the list, looking inside weights (the hospital does).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuf.api.metadata import TargetFile, Targets

from appliance.bundles import listing, oms, signatures
from appliance.bundles.checking import check_side_files
from appliance.bundles.desk.drafts import LEFT_OVER, NAME, NOT_SIGNED, Draft
from appliance.bundles.manifest import SIDE_FILES, Denied, VerifiedModel, VerifiedTarget
from appliance.errors import VerificationError

CHUNK = 4_194_304
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
STAND_IN = "0" * 64

Watch = Callable[[int, int], None]
"""`watch(done, total)` in bytes."""


@dataclass(frozen=True)
class Contents:
    """What one signature would stand for.

    `carried` were read here; `listed` stood in the former list, unchanged; `dropped` stood there
    and is neither here nor withdrawn; `unsigned` are the carried ones without an OMS signature.
    """

    carried: tuple[VerifiedModel, ...]
    listed: tuple[VerifiedModel, ...]
    denied: tuple[Denied, ...]
    newly_denied: tuple[Denied, ...]
    dropped: tuple[VerifiedModel, ...]
    unsigned: tuple[VerifiedModel, ...]


def read(draft: Draft, watch: Watch) -> Contents:
    """Return what the draft holds, after reading all of it once; raise VerificationError.

    1. the list is one that an appliance would read; 2. what is listed and not carried stood in
    the former list, unchanged, and no withdrawal of it is gone; 3. exactly the carried files lie
    on the media; 4. each has the listed length and digest, and the parts make the listed whole;
    5. card, template, prompts and bill are fit for it; 6. OMS signatures that are there are good.
    """
    targets = draft.metadata.signed
    models = listing.read_models(_completed(targets, draft.info.carried))
    carried = tuple(item for item in models if item.folder in draft.info.carried)
    if {item.folder for item in carried} != set(draft.info.carried):
        raise VerificationError("the draft carries models that it does not list", hint=NOT_SIGNED)
    listed = tuple(item for item in models if item.folder not in draft.info.carried)
    _check_listed(listed, targets, draft.former)
    unsigned = tuple(item for item in carried if item.file("oms").sha256 == STAND_IN)
    wanted = {item.stored_path: item for model in carried for item in _own(model, unsigned)}
    places = _places(draft, wanted, unsigned)
    total = sum(item.length for item in wanted.values())
    _hash(carried, unsigned, places, _counter(watch, total))
    for model in carried:
        _check_texts(model, places)
        if model not in unsigned:
            data = places[model.file("oms").stored_path].read_bytes()
            oms.verify(data, signatures.model_keys(draft.root.root), model.oms_digests)
    return Contents(carried, listed, *_denials(targets, draft.former, models), unsigned)


def medium_of(draft: Draft, model: VerifiedModel) -> Path:
    """Return the `targets` folder of the medium that has a carried model's card."""
    path = model.file("card").stored_path
    return next(f / "targets" for f in draft.folders if (f / "targets" / path).is_file())


def _completed(targets: Targets, carried: tuple[str, ...]) -> Targets:
    """Return the list with a stand-in for each OMS signature that is still to be made."""
    copy = Targets.from_dict(targets.to_dict())
    for folder in carried:
        path = f"{folder}/{SIDE_FILES['oms']}"
        if path not in copy.targets:
            custom = {"custom": {"role": "oms"}}
            copy.targets[path] = TargetFile(1, {"sha256": STAND_IN}, path, custom)
    return copy


def _check_listed(
    listed: tuple[VerifiedModel, ...], targets: Targets, former: Targets | None
) -> None:
    known = former.targets if former is not None else {}
    for model in listed:
        for item in model.files:
            if known.get(item.path) != targets.targets[item.path]:
                raise VerificationError(
                    f"the draft lists {model.name} {model.version}, which is neither on these "
                    "media nor in the list that was signed before",
                    hint=NOT_SIGNED,
                )


def _denials(
    targets: Targets, former: Targets | None, models: tuple[VerifiedModel, ...]
) -> tuple[tuple[Denied, ...], tuple[Denied, ...], tuple[VerifiedModel, ...]]:
    """Return all withdrawals, the new ones among them, and models that fell off the list."""
    denied = listing.read_denied(targets)
    before = listing.read_denied(former) if former is not None else ()
    if not set(before) <= set(denied):
        raise VerificationError("the draft takes back a withdrawal", hint=NOT_SIGNED)
    digests = {item.sha256 for item in denied}
    for model in models:
        if model.sha256 in digests:
            raise VerificationError(
                f"the draft both lists and withdraws {model.name} {model.version}", hint=NOT_SIGNED
            )
    present = {item.folder for item in models}
    old = listing.read_models(former) if former is not None else ()
    dropped = tuple(m for m in old if m.folder not in present and m.sha256 not in digests)
    return denied, tuple(item for item in denied if item not in before), dropped


def _own(model: VerifiedModel, unsigned: tuple[VerifiedModel, ...]) -> Iterator[VerifiedTarget]:
    return (item for item in model.files if item.role != "oms" or model not in unsigned)


def _places(
    draft: Draft, wanted: Mapping[str, VerifiedTarget], unsigned: tuple[VerifiedModel, ...]
) -> dict[str, Path]:
    """Return where each file lies; raise when one is missing or another one is there."""
    found: dict[str, Path] = {}
    for folder in draft.folders:
        check_top(folder, {NAME, "metadata", "targets"})
        for path in sorted((folder / "targets").rglob("*")):
            name = str(path.relative_to(folder / "targets"))
            if path.is_dir() and not path.is_symlink() and name in draft.info.carried:
                continue
            if LEFT_OVER.fullmatch(path.name) or _left_over(name, unsigned):
                path.unlink()
            elif name not in wanted or name in found:
                raise VerificationError(
                    f"{path} does not belong to the bundle", hint=f"remove it; {NOT_SIGNED}"
                )
            else:
                found[name] = path
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise VerificationError(f"{missing[0]} is on none of the media", hint=NOT_SIGNED)
    return found


def check_top(folder: Path, expected: set[str]) -> None:
    """Raise when anything else lies at the top of a bundle: a hospital would refuse it."""
    stray = sorted({path.name for path in folder.iterdir()} - expected)
    if stray:
        raise VerificationError(
            f"{folder} also holds {stray[0]!r}, which does not belong to the bundle",
            hint="nothing was signed; remove it, or build into a folder of its own on the medium",
        )


def _left_over(name: str, unsigned: tuple[VerifiedModel, ...]) -> bool:
    """Tell whether a file is an OMS signature of a run that was cut short before it was listed."""
    folder, _, file = name.partition("/")
    digest, _, rest = file.partition(".")
    ours = any(model.folder == folder for model in unsigned)
    return ours and rest == SIDE_FILES["oms"] and len(digest) == len(STAND_IN)


def _hash(
    carried: tuple[VerifiedModel, ...],
    unsigned: tuple[VerifiedModel, ...],
    places: Mapping[str, Path],
    done: Callable[[int], None],
) -> None:
    for model in carried:
        whole, length = hashlib.sha256(), 0
        for item in _own(model, unsigned):
            digest = hashlib.sha256()
            for chunk in _chunks(places[item.stored_path], item):
                digest.update(chunk)
                if item.role == "weights":
                    whole.update(chunk)
                    length += len(chunk)
                done(len(chunk))
            if digest.hexdigest() != item.sha256:
                raise VerificationError(f"{item.path} has other content than listed",
                                        hint=NOT_SIGNED)  # fmt: skip
        if (whole.hexdigest(), length) != (model.sha256, model.length):
            raise VerificationError(f"the parts of {model.folder} do not make the listed weights",
                                    hint=NOT_SIGNED)  # fmt: skip


def _chunks(path: Path, item: VerifiedTarget) -> Iterator[bytes]:
    """Yield a regular file of exactly the listed length."""
    with open(os.open(path, OPEN), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != item.length:
            raise VerificationError(f"{path} is not a file of {item.length} bytes",
                                    hint=NOT_SIGNED)  # fmt: skip
        left = item.length
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _check_texts(model: VerifiedModel, places: Mapping[str, Path]) -> None:
    """Card, template, prompts and bill are what an appliance takes, and about this model."""
    check_side_files(model, lambda role: places[model.file(role).stored_path].read_bytes())


def _counter(watch: Watch, total: int) -> Callable[[int], None]:
    reached = 0

    def done(count: int) -> None:
        nonlocal reached
        reached += count
        watch(reached, total)

    return done
