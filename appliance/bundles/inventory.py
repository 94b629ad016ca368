"""What is known of a model and of a publisher, as values. Pure.

Not here: the rows they come from (`store`), the files they speak of (`library`).
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.bundles.states import State


@dataclass(frozen=True)
class PublisherInfo:
    """A trusted publisher; `root_sha256` is the fingerprint that a person confirmed.

    The byte fields are the newest trusted metadata, None before the first bundle. `revoked` is
    when, and `revoked_by` by whom, trust was taken back; None while the publisher is trusted.
    """

    id: str
    name: str
    root_sha256: str
    root: bytes
    root_version: int
    timestamp: bytes | None
    snapshot: bytes | None
    targets: bytes | None
    targets_version: int
    added_by: str
    created: float
    revoked: float | None = None
    revoked_by: str | None = None


@dataclass(frozen=True)
class ModelInfo:
    """A model as the rest of the appliance sees it; `card_text` is the TOML as it was signed.

    `files` maps a role (`template`, `eval`, `bom`, `oms`, `card`) to the SHA-256 of its file in
    the library; `signers` are the ids of the keys that signed the targets; `oms_key` is the public
    key (PEM) of the model's own signature, kept here because a publisher's root may drop it;
    `template_from` is `weights` or `publisher`. Rows of before version a0004 have none of these.
    `beside`: it is active, but the second one, which answers only who asks it by name, unless
    there is none that answers by default any more.
    """

    id: str
    name: str
    version: str
    digest: str
    state: State
    reason: str
    roles: frozenset[str]
    card_text: str
    publisher: str
    security_epoch: int
    context_tokens: int
    bytes: int
    demo: bool
    imported_by: str
    approved_by: str | None
    created: float
    changed: float
    files: Mapping[str, str]
    signers: tuple[str, ...]
    oms_key: str
    template_from: str
    architecture: str
    licence: str
    parameters: int
    quantisation: str
    beside: bool = False

    @property
    def card(self) -> dict[str, Any]:
        return tomllib.loads(self.card_text)

    @property
    def oms_key_sha256(self) -> str:
        """Return how tools name the key of the model's own signature; empty where there is none."""
        return hashlib.sha256(self.oms_key.encode()).hexdigest() if self.oms_key else ""


def active_first(models: Iterable[ModelInfo]) -> list[ModelInfo]:
    """Sort models so that the one that answers by default comes first, then the one beside it."""
    return sorted(models, key=lambda model: (model.state is not State.ACTIVE, model.beside))


def rival_of(model: ModelInfo, models: Iterable[ModelInfo]) -> ModelInfo | None:
    """Return the active model to compare one with: that of its name, else the default."""
    known = list(models)
    same = (m for m in known if m.state is State.ACTIVE and m.name == model.name)
    return next(same, default_of(known))


def default_of(models: Iterable[ModelInfo]) -> ModelInfo | None:
    """Return the model that answers who names none; None when no model is active."""
    first = next(iter(active_first(models)), None)
    return first if first is not None and first.state is State.ACTIVE else None
