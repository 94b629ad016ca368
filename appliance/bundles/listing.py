"""Reads a publisher's list of models out of verified targets metadata. Pure.

`targets` must have been verified by the caller (`trust`): this is the one place that turns its
free custom data into typed values, and it refuses whatever is not exactly as the format says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tuf.api.metadata import TargetFile, Targets

from appliance.bundles.manifest import (
    DENIED_FIELD,
    DOTTED,
    MAX_BYTES,
    MAX_DENIED,
    MAX_EPOCH,
    MAX_PARTS,
    MAX_TARGETS,
    MAX_WEIGHTS_BYTES,
    MODEL_NAME,
    MODEL_VERSION,
    SHA256_HEX,
    SIDE_FILES,
    TARGET_PATH,
    Denied,
    FileRole,
    VerifiedModel,
    VerifiedTarget,
    folder_of,
    weights_name,
)
from appliance.bundles.refusals import LayoutError

MAX_TEXT = 200
ROLES: tuple[FileRole, ...] = ("weights", *SIDE_FILES)


def read_models(targets: Targets) -> tuple[VerifiedModel, ...]:
    """Return the models that verified targets metadata describes; raise LayoutError otherwise.

    None at all is a list too: of a publisher that only withdraws.
    """
    if targets.delegations is not None:
        raise LayoutError("the bundle delegates to further roles, which is not supported")
    if len(targets.targets) > MAX_TARGETS:
        raise LayoutError(f"the bundle names {len(targets.targets)} files, over {MAX_TARGETS}")
    folders: dict[str, list[TargetFile]] = {}
    for path, target in targets.targets.items():
        if TARGET_PATH.fullmatch(path) is None or ".." in path:
            raise LayoutError(f"the signed name {path!r} is not a plain lower-case file name")
        folders.setdefault(path.partition("/")[0], []).append(target)
    models = tuple(_model(folder, files) for folder, files in sorted(folders.items()))
    if len({model.sha256 for model in models}) != len(models):
        raise LayoutError("the list holds the same weights under two names or versions")
    return models


def read_denied(targets: Targets) -> tuple[Denied, ...]:
    """Return the models that the publisher has withdrawn; raise LayoutError when malformed."""
    listed = targets.unrecognized_fields.get(DENIED_FIELD, [])
    if not isinstance(listed, list) or len(listed) > MAX_DENIED:
        raise LayoutError(f"the signed list of withdrawn models is malformed or over {MAX_DENIED}")
    return tuple(_denied(item) for item in listed)


def _denied(item: object) -> Denied:
    where = "the list of withdrawn models"
    if not isinstance(item, dict) or item.keys() != {"sha256", "model", "version", "reason"}:
        raise LayoutError(f"{where}: an item is malformed")
    return Denied(
        sha256=_text(item, "sha256", SHA256_HEX, where),
        model=_text(item, "model", MODEL_NAME, where),
        version=_text(item, "version", MODEL_VERSION, where),
        reason=_words(item, "reason", where),
    )


def _model(folder: str, files: list[TargetFile]) -> VerifiedModel:
    parts, side = _sorted(folder, files)
    custom = _custom(parts[1])
    name = _text(custom, "model", MODEL_NAME, folder)
    version = _text(custom, "version", MODEL_VERSION, folder)
    if folder != folder_of(name, version):
        raise LayoutError(f"the folder {folder} is not that of {name} {version}")
    template_from = custom.get("template_from")
    if template_from not in ("weights", "publisher"):
        raise LayoutError(f"{folder}: the signed template_from is missing or malformed")
    if custom.get("oms_target") != f"{folder}/{SIDE_FILES['oms']}":
        raise LayoutError(f"{folder}: the signed oms_target is missing or malformed")
    model = VerifiedModel(
        name=name,
        version=version,
        security_epoch=_whole(custom, "security_epoch", folder, 0, MAX_EPOCH),
        min_engine=_text(custom, "min_engine", DOTTED, folder),
        architecture=_text(custom, "architecture", MODEL_NAME, folder),
        chat_template_sha256=_text(custom, "chat_template_sha256", SHA256_HEX, folder),
        template_from=template_from,
        licence=_words(custom, "licence", folder),
        sha256=_text(custom, "sha256", SHA256_HEX, folder),
        length=_whole(custom, "length", folder, 1, MAX_WEIGHTS_BYTES),
        files=(
            *(_target("weights", item, number) for number, item in sorted(parts.items())),
            *(_target(role, item) for role, item in side.items()),
        ),
    )
    _check_parts(model, _whole(custom, "parts", folder, 1, MAX_PARTS))
    _check_side_files(model)
    return model


def _sorted(
    folder: str, files: list[TargetFile]
) -> tuple[dict[int, TargetFile], dict[FileRole, TargetFile]]:
    """Return the parts of the weights by number, and the other files by role; each role once."""
    parts: dict[int, TargetFile] = {}
    side: dict[FileRole, TargetFile] = {}
    for target in files:
        custom = _custom(target)
        role = _role(custom, target.path)
        number = _whole(custom, "part", target.path, 1, MAX_PARTS) if role == "weights" else 1
        if number in parts if role == "weights" else role in side:
            raise LayoutError(f"{folder} has two files for {role}")
        if role == "weights":
            parts[number] = target
        else:
            side[role] = target
    missing = [role for role in SIDE_FILES if role not in side]
    if 1 not in parts:
        missing.insert(0, "weights")
    if missing:
        raise LayoutError(f"the model in {folder} has no signed {' and no '.join(missing)}")
    return parts, {role: side[role] for role in SIDE_FILES}


def _check_parts(model: VerifiedModel, parts: int) -> None:
    """The parts are numbered without a gap, named in order, and add up to the whole."""
    found = model.parts
    names = [f"{model.folder}/{weights_name(model.name, n + 1, parts)}" for n in range(parts)]
    if [item.part for item in found] != list(range(1, parts + 1)):
        raise LayoutError(
            f"{model.folder}: {len(found)} parts of the weights are signed, of {parts}"
        )
    if [item.path for item in found] != names:
        raise LayoutError(f"{model.folder}: a part of the weights is not named by its number")
    if sum(item.length for item in found) != model.length:
        raise LayoutError(f"{model.folder}: the parts do not add up to the signed length")
    if parts == 1 and found[0].sha256 != model.sha256:
        raise LayoutError(f"{model.folder}: the weights are signed with two digests")


def _check_side_files(model: VerifiedModel) -> None:
    for role, name in SIDE_FILES.items():
        if model.file(role).path != f"{model.folder}/{name}":
            raise LayoutError(f"{model.folder}: the file for {role} is not called {name}")
    if model.file("template").sha256 != model.chat_template_sha256:
        raise LayoutError(f"{model.folder}: the chat template is signed with two digests")


def _target(role: FileRole, target: TargetFile, part: int = 1) -> VerifiedTarget:
    digest = target.hashes.get("sha256", "")
    if SHA256_HEX.fullmatch(digest) is None:
        raise LayoutError(f"{target.path} is signed without a SHA-256 digest")
    largest = MAX_BYTES[role]
    if not 0 < target.length <= largest:
        raise LayoutError(f"{target.path} has {target.length} bytes, outside 1-{largest}")
    return VerifiedTarget(target.path, target.length, digest, role, part)


def _custom(target: TargetFile) -> Mapping[str, object]:
    custom = target.custom
    if not isinstance(custom, dict):
        raise LayoutError(f"{target.path} is signed without a description")
    return custom


def _role(custom: Mapping[str, object], path: str) -> FileRole:
    for role in ROLES:
        if custom.get("role") == role:
            return role
    raise LayoutError(f"{path} is signed for a use that this appliance does not know")


def _text(custom: Mapping[str, object], key: str, pattern: re.Pattern[str], where: str) -> str:
    value = custom.get(key)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise LayoutError(f"{where}: the signed {key} is missing or malformed")
    return value


def _words(custom: Mapping[str, object], key: str, where: str) -> str:
    value = custom.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise LayoutError(f"{where}: the signed {key} is missing or malformed")
    return value


def _whole(custom: Mapping[str, object], key: str, where: str, low: int, high: int) -> int:
    value = custom.get(key)
    if type(value) is not int or not low <= value <= high:
        raise LayoutError(f"{where}: the signed {key} is missing or malformed")
    return value
