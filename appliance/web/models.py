"""What the pages about models show, cut to a size that fits a page.

Cards, templates and answers are other people's text: here they become plain strings of bounded
length without hidden characters, and the templates escape them. Not here: what may be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.bundles.evaluations.results import EvaluationInfo, PromptResult
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.states import State
from appliance.identity.store import People
from appliance.inference.engine import EngineIncident
from appliance.operations.dossiers import Dossier, Trial
from appliance.web import markdown

MAX_TEXT = 2_000
MAX_CARD = 12_000
MAX_ITEMS = 20
MAX_ITEM = 400
MAX_ROWS = 40
MAX_ANSWER = 400
UNITS = {"_gb": "GB", "_mib": "MiB", "_tokens": "tokens"}

GROUPS: Sequence[tuple[str, str, frozenset[State]]] = (
    ("waiting", "Waiting for agreement", frozenset({State.IMPORTED, State.EVALUATED})),
    ("active", "Answers at present", frozenset({State.ACTIVE})),
    ("ready", "Approved, not in use", frozenset({State.APPROVED})),
    ("out", "Out of use", frozenset({State.QUARANTINED, State.RETIRED})),
)


@dataclass(frozen=True)
class Group:
    """Models that stand at the same place in their life, in the order they are listed."""

    key: str
    title: str
    models: list[ModelInfo]


@dataclass(frozen=True)
class CardView:
    """What a card says, for people: all of it plain text of bounded length."""

    intended_use: str
    known_limits: list[str]
    hardware: list[tuple[str, str]]
    training: str
    text: str


@dataclass(frozen=True)
class Row:
    """One fact of a model beside the same fact of another; `other` is None without another."""

    name: str
    value: str
    other: str | None

    @property
    def differs(self) -> bool:
        return self.other is not None and self.other != self.value


@dataclass(frozen=True)
class Tried:
    """One golden prompt as shown; `before` says whether the active model passes it."""

    id: str
    required: bool
    why: str
    passed: bool
    before: bool | None
    verdicts: list[str]
    answer: str


def groups(models: Iterable[ModelInfo]) -> list[Group]:
    """Sort models by what is to be done with them; what waits comes first."""
    every = list(models)
    found = [
        Group(key, title, [model for model in every if model.state in states])
        for key, title, states in GROUPS
    ]
    return [group for group in found if group.models]


def restarts(latest: Mapping[str, EngineIncident], now: float) -> dict[str, str]:
    """Say of each model, by digest, when it was last started again by itself, and why."""
    return {
        digest: f"restarted {_ago(now - last.at)}: {_plain(last.reason, MAX_ITEM)}"
        for digest, last in latest.items()
    }


def _ago(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if (count := int(seconds // size)) > 0:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def names_of(people: People, ids: Iterable[str | None]) -> dict[str, str]:
    """Return the names of the people among these ids, as a reader knows them."""
    found = {}
    for each in filter(None, set(ids)):
        if each.startswith("usr_"):
            found[each] = people.get(each).name
        elif each.startswith("os:"):
            found[each] = f"{each.removeprefix('os:')} (at the machine)"
        elif each.startswith("system:"):
            found[each] = "the appliance itself"
    return found


def card_of(model: ModelInfo) -> CardView:
    """Return what the card says."""
    card = model.card
    return CardView(
        intended_use=_text(card.get("intended_use")),
        known_limits=_items(card.get("known_limits")),
        hardware=_pairs(card.get("hardware_floor")),
        training=_text(card.get("training_data")),
        text=_plain(model.card_text, MAX_CARD),
    )


def side_by_side(dossier: Dossier) -> list[Row]:
    """Set the facts of a model beside those of the one that answers at present."""
    other = dossier.active if dossier.active and dossier.active.id != dossier.model.id else None
    mine, theirs = _facts(dossier.model), _facts(other) if other else {}
    return [Row(name, value, theirs.get(name)) for name, value in mine.items()]


def epoch_words(dossier: Dossier) -> str:
    """Say how the security epoch stands to that of the version used before."""
    change, former = dossier.epoch_change, dossier.former
    if change is None or former is None:
        return "no other version of this model was in use here"
    if change == 0:
        return f"the same as {former.name} {former.version}"
    words = f"{change:+d} against {former.name} {former.version}"
    return f"{words}, which does not answer again once this is agreed to" if change > 0 else words


def tried(trial: Trial) -> list[Tried]:
    """Return the prompts to show, failed ones first; see `MAX_ROWS`."""
    return [_tried(result, before) for result, before in trial.compared[:MAX_ROWS]]


def summary(info: EvaluationInfo | None) -> str:
    """Say in a few words how an evaluation ended."""
    if info is None:
        return "not evaluated here"
    if info.state == "running":
        return "being evaluated"
    if info.state == "failed":
        return "the evaluation could not be finished"
    total = info.passed + info.failed
    if info.failed:
        return f"{info.failed} of {total} failed"
    return "the one prompt passed" if total == 1 else f"all {total} prompts passed"


def _tried(result: PromptResult, before: bool | None) -> Tried:
    verdicts = [f"{v.property}: {v.why}" for v in result.verdicts if not v.passed]
    return Tried(
        id=result.id,
        required=result.required,
        why=_plain(result.why, MAX_ITEM),
        passed=result.passed,
        before=before,
        verdicts=[_plain(text, MAX_ITEM) for text in verdicts],
        answer=_plain(result.answer, MAX_ANSWER),
    )


def _facts(model: ModelInfo) -> dict[str, str]:
    facts = {
        "Version": f"{model.name} {model.version}",
        "Architecture": model.architecture,
        "Parameters": _count(model.parameters),
        "Quantisation": model.quantisation,
        "Context": f"{model.context_tokens} tokens",
        "Licence": _plain(model.licence or str(model.card.get("licence", "")), MAX_ITEM),
    }
    return {name: value for name, value in facts.items() if value}


def _count(parameters: int) -> str:
    for unit, factor in (("billion", 10**9), ("million", 10**6)):
        if parameters >= factor:
            return f"{parameters / factor:,.1f} {unit}"
    return f"{parameters:,}" if parameters else ""


def _text(value: Any) -> str:
    return _plain(value, MAX_TEXT) if isinstance(value, str) else ""


def _items(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [_plain(item, MAX_ITEM) for item in found[:MAX_ITEMS] if isinstance(item, str)]


def _pairs(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [("needs", _plain(value, MAX_ITEM))]
    if not isinstance(value, Mapping):
        return []
    return [_need(str(key), item) for key, item in list(value.items())[:MAX_ITEMS]]


def _need(key: str, value: Any) -> tuple[str, str]:
    """Return a line of the hardware floor; the catalogue's own keys get their unit in words."""
    shown = f"{value:,}" if type(value) is int else str(value)
    for ending, unit in UNITS.items():
        if key.endswith(ending):
            name = key.removesuffix(ending)
            return {"gpu": "GPU memory"}.get(name, _plain(name, 60)), f"{_plain(shown, 200)} {unit}"
    return _plain(key.replace("_", " "), 60), _plain(shown, 200)


def _plain(text: str, length: int) -> str:
    shown = markdown.plain(text).strip()
    return shown if len(shown) <= length else shown[: length - 1] + "…"
