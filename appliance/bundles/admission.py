"""Which models of a verified bundle may enter a library that already holds others. Pure.

Guarantees: a version never changes its content, a name never changes its publisher, and the
security epoch of a model never goes down, whatever a valid signature says.
Not here: signatures and the versions of metadata (`trust`), the files (`media`).
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.manifest import VerifiedManifest, VerifiedModel
from appliance.bundles.refusals import EngineTooOldError, RollbackError
from appliance.bundles.states import State
from appliance.errors import ConflictError


def new_models(
    known: Sequence[ModelInfo],
    publisher: PublisherInfo,
    manifest: VerifiedManifest,
    engine: str | None,
) -> tuple[VerifiedModel, ...]:
    """Return the models of the bundle that the library lacks, or holds damaged.

    `engine` is the version of the engine here, None when it runs elsewhere. Raises RollbackError,
    ConflictError or EngineTooOldError when the bundle contradicts what is known.
    """
    new = []
    for model in manifest.models:
        same_name = [info for info in known if info.name == model.name]
        _check_owner(model, known, publisher)
        _check_engine(model, engine)
        twin = next((info for info in same_name if info.version == model.version), None)
        if twin is None:
            _check_epoch(model, max((info.security_epoch for info in same_name), default=0))
        elif (twin.digest, twin.security_epoch) != (model.weights.sha256, model.security_epoch):
            raise RollbackError(
                f"{model.name} {model.version} is in the library with other content",
                hint="nothing was imported; a changed model needs a new version",
            )
        if twin is None or twin.state is State.QUARANTINED:
            new.append(model)
    return tuple(new)


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
        if info.digest == model.weights.sha256 and not same_model:
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
