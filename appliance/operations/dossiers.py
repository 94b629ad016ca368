"""What a second person reads before agreeing to a model, gathered in one place.

A dossier holds values only; the page and the command line show the same one. Nothing is changed
and no weights are read. Everything that comes from a publisher (card, template, names) is
untrusted text, which whoever shows it must escape.
Not here: agreeing (`models`), running an evaluation (`evaluation`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from appliance.assembly import Appliance
from appliance.bundles import trust
from appliance.bundles.evaluations.results import EvaluationInfo, PromptResult
from appliance.bundles.inventory import ModelInfo, PublisherInfo, rival_of
from appliance.bundles.manifest import MAX_TEMPLATE_BYTES
from appliance.bundles.pins.store import PinInfo
from appliance.bundles.states import State
from appliance.bundles.template_difference import Difference, compare
from appliance.identity.permissions import Actor, Permission, may, require
from appliance.operations.evaluation import Evaluations

IN_USE_BEFORE = frozenset({State.ACTIVE, State.APPROVED, State.RETIRED})


@dataclass(frozen=True)
class Template:
    """The chat template of a model, and how it differs from that of the model `against`.

    `text` is None where no verified copy lies in the library; `difference` where there is
    nothing to compare with.
    """

    text: str | None
    against: ModelInfo | None
    difference: Difference | None


@dataclass(frozen=True)
class Trial:
    """How a model did on this machine.

    `counts` is the newest finished evaluation, the one an approval is about; `newest` the last
    one begun, however it stands; `active` what the model that answers made of the same prompts
    under the same settings. Single results are there for those who may read them.
    """

    counts: EvaluationInfo | None
    newest: EvaluationInfo | None
    active: EvaluationInfo | None

    @property
    def compared(self) -> list[tuple[PromptResult, bool | None]]:
        """Return each result beside whether the active model passed; what failed comes first."""
        before = {item.id: item.passed for item in self.active.results} if self.active else {}
        results = self.counts.results if self.counts else ()
        ordered = sorted(results, key=lambda item: (item.passed, not item.required))
        return [(item, before.get(item.id)) for item in ordered]


@dataclass(frozen=True)
class Dossier:
    """One version of a model with everything around it.

    `active` is the model that answers at present (this one, another, or None); `former` another
    version of the same name whose security epoch this one's is measured against; `threshold` how
    many people must sign for the publisher; `own_signer` the id, among the publisher's keys, of
    who signed the model itself, None when the key is not among them now; `blocking` a pin that
    keeps this version from being activated.
    """

    model: ModelInfo
    publisher: PublisherInfo
    threshold: int
    own_signer: str | None
    active: ModelInfo | None
    former: ModelInfo | None
    template: Template
    trial: Trial
    pin: PinInfo | None
    blocking: PinInfo | None
    has_weights: bool

    @property
    def epoch_change(self) -> int | None:
        """Return by how much the security epoch rises; None for the first version of a name."""
        if self.former is None:
            return None
        return self.model.security_epoch - self.former.security_epoch


class Dossiers:
    """Gathers what is known of a model."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._pins = appliance.pins
        self._evaluations = Evaluations(appliance)

    def of(self, actor: Actor, name: str, version: str | None = None) -> Dossier:
        """Return the dossier of a version; without one the active, else the newest."""
        require(actor, Permission.MODELS_LIST)
        model = self._library.by_name(name, version)
        models = self._library.models()
        active = rival_of(model, models)
        former = _former(model, models)
        publisher = next(p for p in self._library.publishers() if p.id == model.publisher)
        return Dossier(
            model=model,
            publisher=publisher,
            threshold=trust.threshold(publisher.root),
            own_signer=trust.name_of_key(publisher.root, model.oms_key),
            active=active,
            former=former,
            template=self._template(model, _other(model, active) or former),
            trial=self._trial(actor, model),
            pin=self._pins.get(model.name),
            blocking=self._blocking(model, _other(model, active)),
            has_weights=self._library.path_of(model.digest).exists(),
        )

    def trial(self, actor: Actor, model: ModelInfo) -> Trial:
        """Return how a model did, without single results and without comparing."""
        require(actor, Permission.MODELS_LIST)
        return _summed(self._trial(actor, model))

    def template_text(self, model: ModelInfo) -> str | None:
        """Return a model's chat template as text; None when no whole copy of it is here."""
        digest = model.files.get("template")
        if digest is None:
            return None
        try:
            with (self._library.folder / f"{digest}.template").open("rb") as file:
                data = file.read(MAX_TEMPLATE_BYTES + 1)
        except FileNotFoundError:
            return None
        # The engine checks too, before it uses it; here an altered one must not be shown as real.
        if hashlib.sha256(data).hexdigest() != digest:
            return None
        return data.decode("utf-8", errors="replace")

    def _blocking(self, model: ModelInfo, other: ModelInfo | None) -> PinInfo | None:
        """Return the pin on this name at another version, or on the model that answers."""
        own = self._pins.get(model.name)
        if own is not None and own.model != model.id:
            return own
        theirs = self._pins.get(other.name) if other is not None else None
        return theirs if other is not None and theirs and theirs.model == other.id else None

    def _trial(self, actor: Actor, model: ModelInfo) -> Trial:
        shown = self._evaluations.of(actor, model.name, model.version)
        before = shown.comparison.active if shown.comparison else None
        trial = Trial(shown.evaluation, shown.runs[0] if shown.runs else None, before)
        return trial if may(actor, Permission.MODELS_VALIDATION) else _summed(trial)

    def _template(self, model: ModelInfo, against: ModelInfo | None) -> Template:
        text = self.template_text(model)
        before = self.template_text(against) if against is not None else None
        if text is None or before is None:
            return Template(text, None, None)
        return Template(text, against, compare(before, text))


def _summed(trial: Trial) -> Trial:
    """Return a trial without the single results."""

    def without(info: EvaluationInfo | None) -> EvaluationInfo | None:
        return None if info is None else replace(info, results=())

    return Trial(without(trial.counts), without(trial.newest), without(trial.active))


def _other(model: ModelInfo, active: ModelInfo | None) -> ModelInfo | None:
    return None if active is None or active.id == model.id else active


def _former(model: ModelInfo, models: Sequence[ModelInfo]) -> ModelInfo | None:
    """Return the version of the same name that people were told to use: active, else newest."""
    others = [m for m in models if m.name == model.name and m.id != model.id]
    used = [m for m in others if m.state in IN_USE_BEFORE and m.approved_by is not None]
    return next((m for m in used if m.state is State.ACTIVE), used[0] if used else None)
