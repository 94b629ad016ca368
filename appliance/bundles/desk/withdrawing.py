"""Withdraws a model: names it on the list that the next bundle carries, signed."""

from __future__ import annotations

from appliance.bundles import listing
from appliance.bundles.desk.desk import Desk
from appliance.bundles.listing import MAX_TEXT
from appliance.bundles.manifest import MODEL_NAME, MODEL_VERSION, Denied, folder_of
from appliance.errors import BadInputError, ConflictError, NotFoundError


def withdraw(desk: Desk, model: str, version: str, reason: str) -> Denied:
    """Put a model that was published or built here on the list; call within `desk.held()`."""
    if not MODEL_NAME.fullmatch(model) or not MODEL_VERSION.fullmatch(version):
        raise BadInputError(f"{model!r} {version!r} is no name and version of a model")
    if not 0 < len(reason) <= MAX_TEXT or not reason.isprintable():
        raise BadInputError(f"a reason has 1 to {MAX_TEXT} printable characters, in one line")
    folder = folder_of(model, version)
    former = desk.listing()
    known = {item.folder: item.sha256 for item in listing.read_models(former)} if former else {}
    digest = known.get(folder) or desk.state.pins.get(folder)
    if digest is None:
        raise NotFoundError(
            f"{model} {version} was never built at this desk",
            hint="`appliance publisher show` lists what was published",
        )
    before = (*(listing.read_denied(former) if former else ()), *desk.state.denied)
    if any(item.sha256 == digest for item in before):
        raise ConflictError(f"{model} {version} is withdrawn already", hint="nothing was changed")
    denied = Denied(sha256=digest, model=model, version=version, reason=reason)
    desk.change(denied=(*desk.state.denied, denied))
    return denied
