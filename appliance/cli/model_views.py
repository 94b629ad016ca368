"""How models look on a terminal and as JSON, and what is to be done with them next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from appliance.bundles.evaluations.results import EvaluationInfo
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.pins.store import PinInfo
from appliance.bundles.states import State
from appliance.cli import presenting
from appliance.operations.dossiers import Dossier

SIGNS = {"added": "+", "removed": "-", "same": " ", "gap": "..."}


def kind_of(found: ModelInfo) -> str:
    """Return what a reader must know before anything else."""
    return presenting.DEMO_LABEL if found.demo else "as its card says"


def pinned(found: ModelInfo, pins: Mapping[str, PinInfo]) -> bool:
    """Tell whether the name of this model is pinned to this version."""
    pin = pins.get(found.name)
    return pin is not None and pin.model == found.id


def state_of(found: ModelInfo) -> str:
    """Return where a model stands, and whether it answers only beside another."""
    return f"{found.state}, beside" if found.beside else str(found.state)


def value_of(found: ModelInfo) -> dict[str, object]:
    """Return a model as JSON values."""
    return {
        "id": found.id,
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "state": str(found.state),
        "beside": found.beside,
        "reason": found.reason,
        "demo": found.demo,
        "kind": kind_of(found),
        "roles": sorted(found.roles),
        "bytes": found.bytes,
        "context_tokens": found.context_tokens,
        "publisher": found.publisher,
        "imported_by": found.imported_by,
        "approved_by": found.approved_by,
        "security_epoch": found.security_epoch,
        "signers": list(found.signers),
        "template_from": found.template_from,
        "licence": found.licence,
    }


def dossier_value(dossier: Dossier) -> dict[str, object]:
    """Return what is known of a model as JSON values."""
    difference = dossier.template.difference
    return {
        **value_of(dossier.model),
        "threshold": dossier.threshold,
        "publisher_name": dossier.publisher.name,
        "epoch_change": dossier.epoch_change,
        "pinned": dossier.pin.version if dossier.pin else None,
        "weights": dossier.has_weights,
        "files": dict(dossier.model.files),
        "template_changes": None
        if difference is None
        else {"added": difference.added, "removed": difference.removed},
        "evaluation": _counts(dossier.trial.counts),
        "evaluation_of_active": _counts(dossier.trial.active),
        "card": dossier.model.card_text,
    }


def _own_signature(dossier: Dossier) -> str:
    """Say who signed the model itself: by the same name as in the list, where it is the same."""
    found = dossier.model
    if dossier.own_signer in found.signers:
        return f"by {dossier.own_signer} (called {found.oms_key_sha256} by other tools)"
    return f"by key {found.oms_key_sha256}" if found.oms_key else "none"


def facts(dossier: Dossier) -> dict[str, object]:
    """Return the facts of a model in the order in which a person asks for them."""
    found = dossier.model
    return {
        "name": found.name,
        "version": found.version,
        "kind": kind_of(found),
        "state": f"{found.state}: {found.reason}" if found.reason else found.state,
        "for": found.roles,
        "pinned": _pin(dossier),
        "evaluation": _evaluation(dossier),
        "publisher": dossier.publisher.name
        + (" (not trusted any more)" if dossier.publisher.revoked else ""),
        "signed by": ", ".join(found.signers) or "checked when it came in",
        "needed": f"{dossier.threshold} signature" + ("" if dossier.threshold == 1 else "s"),
        "own signature": _own_signature(dossier),
        "epoch": _epoch(dossier),
        "template": f"from the {found.template_from}{_template(dossier)}",
        "licence": found.licence or str(found.card.get("licence", "")),
        "size": presenting.size(found.bytes)
        + ("" if dossier.has_weights else " (weights deleted)"),
        "context": f"{found.context_tokens} tokens",
        "sha-256": found.digest,
        "imported by": found.imported_by,
        "approved by": found.approved_by,
        "since": presenting.moment(found.changed),
    }


def template_lines(dossier: Dossier) -> Iterator[str]:
    """Yield how the chat template differs from the one in use, nothing when it does not."""
    template = dossier.template
    if template.difference is None or template.against is None or template.difference.none:
        return
    yield ""
    yield f"chat template against {template.against.name} {template.against.version}:"
    for line in template.difference.lines:
        yield f"  {SIGNS[line.kind]} {line.text}".rstrip()
    if template.difference.cut:
        yield "  ... there is more"


def next_steps(models: Iterable[ModelInfo]) -> Iterator[str]:
    """Yield a line for each model that somebody has to do something about."""
    for found in models:
        which = f"{found.name} --version {found.version}"
        if found.state is State.IMPORTED:
            yield f"next: appliance model evaluate {which}"
        elif found.state is State.EVALUATED:
            yield (
                f"next: another person than {found.imported_by} reads `appliance model show "
                f"{which}`, then runs appliance model approve {which}"
            )


def _pin(dossier: Dossier) -> str:
    pin = dossier.pin
    return f"to {pin.version} by {pin.by}: {pin.reason}" if pin else "no"


def _epoch(dossier: Dossier) -> str:
    change, former = dossier.epoch_change, dossier.former
    if change is None or former is None:
        return f"{dossier.model.security_epoch}, no other version was in use here"
    return f"{dossier.model.security_epoch} ({change:+d} against {former.version})"


def _template(dossier: Dossier) -> str:
    template = dossier.template
    if template.difference is None or template.against is None:
        return ""
    against = f"{template.against.name} {template.against.version}"
    if template.difference.none:
        return f", the same as that of {against}"
    return f", {template.difference.added} lines added and {template.difference.removed} removed"


def _evaluation(dossier: Dossier) -> str:
    counts, active = dossier.trial.counts, dossier.trial.active
    if counts is None:
        newest = dossier.trial.newest
        return (
            f"not finished: {newest.reason or newest.state}" if newest else "none on this machine"
        )
    words = f"{counts.passed} passed, {counts.failed} failed"
    beside = f"; the active model: {active.passed} passed, {active.failed} failed" if active else ""
    return f"{words} ({presenting.moment(counts.finished)}){beside}"


def _counts(info: EvaluationInfo | None) -> dict[str, object] | None:
    if info is None:
        return None
    return {
        "id": info.id, "passed": info.passed, "failed": info.failed, "finished": info.finished
    }  # fmt: skip
