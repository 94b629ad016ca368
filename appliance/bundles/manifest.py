"""What a verified bundle says it holds: values that only `trust.verify` hands out.

Names come from signed metadata, and even so must fit a strict lower-case pattern: a signature
does not make a name safe to open. Pure: reads no file and no clock.
Not here: whether the signatures are good (`trust`), how the signed fields are read (`listing`),
whether the bytes match (`media`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

FileRole = Literal["weights", "card", "template", "eval", "bom", "oms"]
TemplateFrom = Literal["weights", "publisher"]
# What stands beside the weights: the role of each file, and its name in the model's folder.
SIDE_FILES: dict[FileRole, str] = {
    "card": "card.toml",
    "template": "chat_template.jinja",
    "eval": "eval.jsonl",
    "bom": "bom.cdx.json",
    "oms": "model.oms.sig",
}

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]|[a-z0-9]")
MODEL_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,3}(-[a-z0-9.]{1,20})?")
DOTTED = re.compile(r"[0-9]+(\.[0-9]+){0,3}")
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
TARGET_PATH = re.compile(f"{PLAIN_NAME.pattern}/{PLAIN_NAME.pattern}")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")

MAX_WEIGHTS_BYTES = 2**42
MAX_CARD_BYTES = 65_536
MAX_TEMPLATE_BYTES = 262_144
# Largest accepted files in bytes, by role.
MAX_BYTES: dict[FileRole, int] = {
    "weights": MAX_WEIGHTS_BYTES,
    "card": MAX_CARD_BYTES,
    "template": MAX_TEMPLATE_BYTES,
    "eval": 4_194_304,
    "bom": 4_194_304,
    "oms": 262_144,
}
# FAT32, as most sticks have it, holds no file of 4 GiB; a part keeps well below that.
PART_BYTES = 3_758_096_384
MAX_PARTS = 999
MAX_TARGETS = 4_096
MAX_DENIED = 4_096
MAX_EPOCH = 2**31
DENIED_FIELD = "x-appliance-denied"


@dataclass(frozen=True)
class VerifiedTarget:
    """One signed file: its path inside the signed name space, exact length and digest (hex).

    `part` counts from 1 where the weights come in several files, and is 1 for everything else.
    """

    path: str
    length: int
    sha256: str
    role: FileRole
    part: int = 1

    @property
    def stored_path(self) -> str:
        """Return the path below `targets/`: the digest stands before the file's name."""
        folder, _, name = self.path.partition("/")
        return f"{folder}/{self.sha256}.{name}"


@dataclass(frozen=True)
class VerifiedModel:
    """One signed model: who it is, what its file must turn out to be, and its files.

    `sha256` (hex) and `length` (bytes) are those of the whole weights, whose parts in order are
    `parts`. `template_from` says whose the chat template is: the one inside the weights, or one
    that the publisher puts in its place.
    """

    name: str
    version: str
    security_epoch: int
    min_engine: str
    architecture: str
    chat_template_sha256: str
    template_from: TemplateFrom
    licence: str
    sha256: str
    length: int
    files: tuple[VerifiedTarget, ...]

    @property
    def folder(self) -> str:
        """Return the name of the model's folder below `targets/`."""
        return folder_of(self.name, self.version)

    @property
    def parts(self) -> tuple[VerifiedTarget, ...]:
        """Return the files of the weights in order; most often one."""
        return tuple(item for item in self.files if item.role == "weights")

    def file(self, role: FileRole) -> VerifiedTarget:
        """Return the file beside the weights that has that role."""
        return next(item for item in self.files if item.role == role and role != "weights")

    @property
    def oms_digests(self) -> dict[str, str]:
        """Return what the OMS signature must cover: plain file names and their SHA-256 (hex)."""
        side = {SIDE_FILES[role]: self.file(role).sha256 for role in SIDE_FILES if role != "oms"}
        return {weights_name(self.name): self.sha256, **side}


@dataclass(frozen=True)
class Denied:
    """A model that its publisher has withdrawn by name of its weights' digest (hex), and why."""

    sha256: str
    model: str
    version: str
    reason: str


@dataclass(frozen=True)
class VerifiedManifest:
    """Everything a bundle may hold, and the versions of the metadata that vouch for it.

    `timestamp`, `snapshot` and `targets` are the exact trusted bytes, to be kept as the floor
    for the next bundle. `models` is the publisher's whole list of good models, not only those on
    this medium. `signers` are the key ids whose signatures on the list are good, `threshold` how
    many it takes, `oms_keys` the keys (PEM) that may sign a model, `expires` the first end of
    validity of any of the metadata (seconds since 1970).
    """

    root_version: int
    snapshot_version: int
    targets_version: int
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    expires: float
    signers: tuple[str, ...]
    threshold: int
    oms_keys: tuple[bytes, ...]
    models: tuple[VerifiedModel, ...]
    denied: tuple[Denied, ...] = ()

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


def folder_of(name: str, version: str) -> str:
    """Return the one folder below `targets/` for a version of a model."""
    return f"{name}-{version}"


def weights_name(name: str, part: int = 1, parts: int = 1) -> str:
    """Return the plain name of a model's weights, or of one part of them."""
    return f"{name}.gguf" if parts == 1 else f"{name}.gguf.{part:03}"
