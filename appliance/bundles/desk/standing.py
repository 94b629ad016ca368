"""What a new bundle must agree with: the root, the list so far, withdrawals, pins and epochs.

Each check ends in words for the person at the desk, before anything is signed. Not here: copying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from tuf.api.metadata import Root, TargetFile

from appliance.bundles import listing
from appliance.bundles.building import ModelSource
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.plan import Sizes
from appliance.bundles.manifest import Denied, folder_of
from appliance.errors import BadInputError, ConflictError


def check_root(root: Root, now: datetime) -> None:
    """Raise ConflictError when the root has expired."""
    if root.is_expired(now):
        raise ConflictError(
            f"the root expired on {root.expires:%Y-%m-%d}, so no hospital takes what follows",
            hint="renew it: `appliance publisher rotate DESK`, then `appliance publisher sign`",
        )


def published(desk: Desk) -> tuple[list[TargetFile], tuple[Denied, ...]]:
    """Return the files of every good model so far, and every withdrawal, also new ones."""
    former = desk.listing()
    denied = (*(listing.read_denied(former) if former is not None else ()), *desk.state.denied)
    if former is None:
        return [], denied
    digests = {item.sha256 for item in denied}
    gone = {model.folder for model in listing.read_models(former) if model.sha256 in digests}
    kept = [item for path, item in former.targets.items() if path.partition("/")[0] not in gone]
    return kept, denied


def check_new(sizes: Sequence[Sizes], kept: Sequence[TargetFile], denied: Sequence[Denied]) -> None:
    """Raise unless the models may be published under their names and versions."""
    if not (sizes or kept or denied):
        raise BadInputError(
            "there is nothing to publish yet", hint="name a model: bundle build DESK MODEL.gguf"
        )
    folders = [item.folder for item in sizes]
    if len(set(folders)) != len(folders):
        raise BadInputError("two of the cards name the same model and version")
    listed = {item.path.partition("/")[0] for item in kept}
    withdrawn = {folder_of(item.model, item.version) for item in denied}
    for folder in folders:
        if folder in listed:
            raise ConflictError(
                f"{folder} is published already, and nothing was written",
                hint="raise the version in its card; or carry it once more with --again",
            )
        if folder in withdrawn:
            raise ConflictError(
                f"{folder} was withdrawn, and nothing was written",
                hint="a corrected model gets a new version in its card",
            )


def with_epoch(desk: Desk, source: ModelSource, model: str, epoch: int | None) -> ModelSource:
    """Return the source under an epoch that hospitals which know the model still take."""
    floor = desk.state.epochs.get(model, 0)
    if epoch is not None and epoch < floor:
        raise ConflictError(
            f"{model} was published under security epoch {floor}, and {epoch} is lower",
            hint="nothing was written; hospitals take no lower one, so leave --epoch out",
        )
    return replace(source, security_epoch=max(floor, source.security_epoch) if epoch is None
                   else epoch)  # fmt: skip


def check_pins(
    desk: Desk,
    new: Sequence[TargetFile],
    kept: Sequence[TargetFile],
    denied: Sequence[Denied],
) -> None:
    """Refuse another file under a known name, and a known file under another or withdrawn."""
    withdrawn = {item.sha256 for item in denied}
    published = {digest: folder for folder, digest in digests(kept).items()}
    for folder, digest in digests(new).items():
        pinned = desk.state.pins.get(folder, digest)
        if pinned != digest:
            raise ConflictError(
                f"the file of {folder} is not the one of this version that was built before "
                f"(SHA-256 {digest[:16]}…, pinned is {pinned[:16]}…)",
                hint="nothing was kept; raise the version in the card, or find the first file",
            )
        twin = published.get(digest, folder)
        if twin != folder:
            raise ConflictError(
                f"these weights are published as {twin}, and nothing of {folder} was kept",
                hint="one file has one name and version; a corrected card needs a file of its own, "
                "for example with another general.version in its header",
            )
        if digest in withdrawn:
            raise ConflictError(f"the weights of {folder} were withdrawn; nothing was kept")


def digests(files: Sequence[TargetFile]) -> dict[str, str]:
    """Return the SHA-256 of the whole weights by the model's folder."""
    customs = ((item.path.partition("/")[0], item.custom or {}) for item in files)
    return {folder: str(custom["sha256"]) for folder, custom in customs if custom.get("part") == 1}
