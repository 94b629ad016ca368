"""What a verified bundle says it holds: values that only `trust.verify` hands out.

Names come from signed metadata, and even so must fit a strict lower-case pattern: a signature
does not make a name safe to open. Pure: reads no file and no clock.
Not here: whether the signatures are good (`trust`), whether the bytes match (`media`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tuf.api.metadata import TargetFile, Targets  # type: ignore[attr-defined]  # see trust

from appliance.bundles.refusals import LayoutError

FileRole = Literal["weights", "card"]
ROLES: tuple[FileRole, ...] = ("weights", "card")

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]|[a-z0-9]")
MODEL_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,3}(-[a-z0-9.]{1,20})?")
DOTTED = re.compile(r"[0-9]+(\.[0-9]+){0,3}")
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
TARGET_PATH = re.compile(f"{PLAIN_NAME.pattern}/{PLAIN_NAME.pattern}")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")

MAX_WEIGHTS_BYTES = 2**42
MAX_CARD_BYTES = 65_536
MAX_TARGETS = 256
MAX_EPOCH = 2**31


@dataclass(frozen=True)
class VerifiedTarget:
    """One signed file: its path inside the signed name space, exact length and digest (hex)."""

    path: str
    length: int
    sha256: str
    role: FileRole

    @property
    def stored_path(self) -> str:
        """Return the path below `targets/`: the digest stands before the file's name."""
        folder, _, name = self.path.partition("/")
        return f"{folder}/{self.sha256}.{name}"


@dataclass(frozen=True)
class VerifiedModel:
    """One signed model: who it is, what its file must turn out to be, and its files."""

    name: str
    version: str
    security_epoch: int
    min_engine: str
    architecture: str
    chat_template_sha256: str
    licence: str
    files: tuple[VerifiedTarget, ...]

    @property
    def weights(self) -> VerifiedTarget:
        return next(item for item in self.files if item.role == "weights")

    @property
    def card(self) -> VerifiedTarget:
        return next(item for item in self.files if item.role == "card")


@dataclass(frozen=True)
class VerifiedManifest:
    """Everything a bundle may hold, and the versions of the metadata that vouch for it.

    `timestamp`, `snapshot` and `targets` are the exact trusted bytes, to be kept as the floor
    for the next bundle.
    """

    root_version: int
    timestamp_version: int
    snapshot_version: int
    targets_version: int
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    models: tuple[VerifiedModel, ...]

    @property
    def metadata_names(self) -> frozenset[str]:
        """Return the file names under `metadata/` that belong to the bundle, roots apart."""
        return frozenset(
            {
                "timestamp.json",
                f"{self.snapshot_version}.snapshot.json",
                f"{self.targets_version}.targets.json",
            }
        )


def read_models(targets: Targets) -> tuple[VerifiedModel, ...]:
    """Return the models that verified targets metadata describes; raise LayoutError otherwise.

    `targets` must have been verified by the caller: this is the one place that turns its free
    custom data into typed values.
    """
    if targets.delegations is not None:
        raise LayoutError("the bundle delegates to further roles, which is not supported")
    if not 0 < len(targets.targets) <= MAX_TARGETS:
        raise LayoutError(f"the bundle names {len(targets.targets)} files, outside 1-{MAX_TARGETS}")
    folders: dict[str, dict[FileRole, TargetFile]] = {}
    for path, target in targets.targets.items():
        if TARGET_PATH.fullmatch(path) is None or ".." in path:
            raise LayoutError(f"the signed name {path!r} is not a plain lower-case file name")
        files = folders.setdefault(path.partition("/")[0], {})
        role = _role(_custom(target), path)
        if role in files:
            raise LayoutError(f"the folder of {path} has two files for {role}")
        files[role] = target
    models = tuple(_model(folder, files) for folder, files in sorted(folders.items()))
    if len({(model.name, model.version) for model in models}) != len(models):
        raise LayoutError("the bundle holds one version of a model twice")
    if len({model.weights.sha256 for model in models}) != len(models):
        raise LayoutError("the bundle holds the same weights under two names")
    return models


def _model(folder: str, files: Mapping[FileRole, TargetFile]) -> VerifiedModel:
    missing = [role for role in ROLES if role not in files]
    if missing:
        raise LayoutError(f"the model in {folder} has no signed {' and no '.join(missing)}")
    custom = _custom(files["weights"])
    name = _text(custom, "model", MODEL_NAME, folder)
    version = _text(custom, "version", MODEL_VERSION, folder)
    if folder != f"{name}-{version}":
        raise LayoutError(f"the folder {folder} is not that of {name} {version}")
    if _whole(custom, "parts", folder, 1, MAX_TARGETS) != 1:
        raise LayoutError(f"{folder}: weights in several parts are not supported")
    licence = custom.get("licence")
    if not isinstance(licence, str) or not 0 < len(licence) <= 200 or not licence.isprintable():
        raise LayoutError(f"{folder}: the signed licence is missing or malformed")
    return VerifiedModel(
        name=name,
        version=version,
        security_epoch=_whole(custom, "security_epoch", folder, 0, MAX_EPOCH),
        min_engine=_text(custom, "min_engine", DOTTED, folder),
        architecture=_text(custom, "architecture", MODEL_NAME, folder),
        chat_template_sha256=_text(custom, "chat_template_sha256", SHA256_HEX, folder),
        licence=licence,
        files=tuple(_target(role, files[role]) for role in ROLES),
    )


def _target(role: FileRole, target: TargetFile) -> VerifiedTarget:
    digest = target.hashes.get("sha256", "")
    if SHA256_HEX.fullmatch(digest) is None:
        raise LayoutError(f"{target.path} is signed without a SHA-256 digest")
    largest = MAX_WEIGHTS_BYTES if role == "weights" else MAX_CARD_BYTES
    if not 0 < target.length <= largest:
        raise LayoutError(f"{target.path} has {target.length} bytes, outside 1-{largest}")
    return VerifiedTarget(path=target.path, length=target.length, sha256=digest, role=role)


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


def _whole(custom: Mapping[str, object], key: str, where: str, low: int, high: int) -> int:
    value = custom.get(key)
    if type(value) is not int or not low <= value <= high:
        raise LayoutError(f"{where}: the signed {key} is missing or malformed")
    return value
