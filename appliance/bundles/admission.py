"""Which models of a verified bundle may enter a library that already holds others. Pure.

Guarantees: a version never changes its content, a name never changes its publisher, and no new
version of a model has a lower security epoch than one that was here before, whatever a valid
signature says. A model that its publisher denies, or no longer lists, is not used.
Not here: signatures and the versions of metadata (`trust`), the files (`media`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.manifest import Denied, VerifiedManifest, VerifiedModel
from appliance.bundles.refusals import DeniedModelError, EngineTooOldError, RollbackError
from appliance.bundles.states import State
from appliance.errors import ConflictError

# A retired model answers nobody any more, and stays what it is.
OUT_OF_USE = frozenset({State.QUARANTINED, State.RETIRED})
AGREED = frozenset({State.APPROVED, State.ACTIVE, State.RETIRED})


@dataclass(frozen=True)
class Withdrawal:
    """A model of the library that its publisher has taken back, and why, for people."""

    model: ModelInfo
    reason: str


def withdrawn(
    known: Sequence[ModelInfo],
    publisher: PublisherInfo,
    models: Sequence[VerifiedModel],
    denials: Sequence[Denied],
) -> tuple[Withdrawal, ...]:
    """Return the publisher's models that must not be used any more, and still could be.

    The targets are the publisher's complete list of good models: what is missing was taken back
    as much as what is denied by name. What one publisher says of another's models counts nothing.
    """
    denied = {item.sha256: item.reason for item in denials}
    listed = {(model.name, model.version, model.sha256) for model in models}
    found = []
    for info in known:
        if info.publisher != publisher.id or info.state in OUT_OF_USE:
            continue
        if info.digest in denied:
            found.append(Withdrawal(info, f"denied by its publisher: {denied[info.digest]}"))
        elif (info.name, info.version, info.digest) not in listed:
            found.append(Withdrawal(info, "no longer listed by its publisher"))
    return tuple(found)


def new_models(
    known: Sequence[ModelInfo],
    publisher: PublisherInfo,
    manifest: VerifiedManifest,
    carried: Sequence[VerifiedModel],
    engine: str | None,
) -> tuple[VerifiedModel, ...]:
    """Return those of the carried models that the library lacks, or holds quarantined.

    `engine` is the version of the engine here, None when it runs elsewhere. Raises RollbackError,
    ConflictError, DeniedModelError or EngineTooOldError when the bundle contradicts what is known.
    """
    denied = {item.sha256: item.reason for item in manifest.denied}
    new = []
    for model in carried:
        if model.sha256 in denied:
            raise DeniedModelError(
                f"{model.name} {model.version} is denied by its publisher: {denied[model.sha256]}"
            )
        same_name = [info for info in known if info.name == model.name]
        _check_owner(model, known, publisher)
        _check_engine(model, engine)
        twin = next((info for info in same_name if info.version == model.version), None)
        if twin is None or twin.state is State.QUARANTINED:
            _check_epoch(model, max((info.security_epoch for info in same_name), default=0))
        signed = (model.sha256, model.security_epoch)
        if twin is not None and (twin.digest, twin.security_epoch) != signed:
            raise RollbackError(
                f"{model.name} {model.version} is in the library with other content",
                hint="nothing was imported; a changed model needs a new version",
            )
        if twin is None or twin.state is State.QUARANTINED:
            new.append(model)
    return tuple(new)


def outdated_by(model: ModelInfo, known: Sequence[ModelInfo]) -> ModelInfo | None:
    """Return the version of higher security epoch that people here have agreed to, if any.

    Its publisher raised the epoch to say that nobody should go back behind it.
    """
    newer = (
        other
        for other in known
        if other.name == model.name
        and other.security_epoch > model.security_epoch
        and other.state in AGREED
    )
    return max(newer, key=lambda other: other.security_epoch, default=None)


def _check_owner(
    model: VerifiedModel, known: Sequence[ModelInfo], publisher: PublisherInfo
) -> None:
    """A name stays with the publisher that used it first, and content with its name."""
    for info in known:
        if info.name == model.name and info.publisher != publisher.id:
            raise ConflictError(
                f"the model name {model.name} belongs to another publisher",
                hint="nothing was imported; ask the publisher for another name",
            )
        same_model = (info.name, info.version) == (model.name, model.version)
        if info.digest == model.sha256 and not same_model:
            raise ConflictError(
                f"the weights of {model.name} {model.version} are in the library "
                f"as {info.name} {info.version}",
                hint="nothing was imported; use the model under the name it has",
            )


def _check_epoch(model: VerifiedModel, highest: int) -> None:
    if model.security_epoch < highest:
        raise RollbackError(
            f"{model.name} {model.version} has security epoch {model.security_epoch}; "
            f"epoch {highest} of this model was here before"
        )


def _check_engine(model: VerifiedModel, engine: str | None) -> None:
    # Unknown where the engine runs on another machine: it refuses at load what it cannot read.
    if engine is not None and _numbers(model.min_engine) > _numbers(engine):
        raise EngineTooOldError(
            f"{model.name} needs engine {model.min_engine}, and this appliance has {engine}"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:4] if part.isdigit())
