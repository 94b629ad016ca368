"""What an evaluation found, as values, and their JSON in the database. Pure.

Answers are answers to golden prompts, which are synthetic, so they are kept in the clear. They
are bounded: an answer is cut to `KEPT_CHARACTERS`, all of one evaluation to `KEPT_IN_ALL`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from appliance.bundles.properties import Verdict

KEPT_CHARACTERS = 8_000
KEPT_IN_ALL = 1_000_000


@dataclass(frozen=True)
class PromptResult:
    """One golden prompt: the answer, why it ended, and a verdict per property.

    `ended` is `stop`, `length`, or `time` when the site's limit for an answer ended it. `cut`
    says that `answer` is only the beginning of what was checked.
    """

    id: str
    required: bool
    why: str
    answer: str
    ended: str
    answer_tokens: int
    verdicts: tuple[Verdict, ...]
    cut: bool = False

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True)
class Conditions:
    """Under what an evaluation ran: two with the same conditions and digests give one result.

    `template_sha256` is empty where the weights' own template counts; `context_tokens` and
    `max_answer_tokens` are the site's settings.
    """

    engine: str
    system_prompt_sha256: str
    template_sha256: str
    context_tokens: int
    max_answer_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class EvaluationInfo:
    """One run of golden prompts; `state` is `running`, `done` or `failed` (then see `reason`).

    `passed` and `failed` count prompts. `by` is who asked for it; times are seconds since 1970.
    """

    id: str
    model: str
    digest: str
    prompts_sha256: str
    engine: str
    by: str
    state: str
    reason: str
    started: float
    finished: float | None
    passed: int
    failed: int
    conditions: Conditions | None = None
    results: tuple[PromptResult, ...] = field(default=(), repr=False)

    @property
    def required_failed(self) -> int:
        """How many prompts that the publisher marked as required did not pass."""
        return sum(item.required and not item.passed for item in self.results)


def bounded(results: Iterable[PromptResult]) -> tuple[PromptResult, ...]:
    """Return the results with answers cut to what is kept."""
    left, kept = KEPT_IN_ALL, []
    for item in results:
        room = min(KEPT_CHARACTERS, left)
        answer = item.answer[:room]
        left -= len(answer)
        kept.append(replace(item, answer=answer, cut=item.cut or len(answer) < len(item.answer)))
    return tuple(kept)


def to_text(conditions: Conditions, results: Iterable[PromptResult]) -> str:
    """Return the JSON that is kept in the row."""
    value = {"conditions": asdict(conditions), "prompts": [asdict(item) for item in results]}
    return json.dumps(value, ensure_ascii=False)


def from_text(text: str) -> tuple[Conditions | None, tuple[PromptResult, ...]]:
    """Return what `to_text` wrote; nothing for an empty text."""
    if not text:
        return None, ()
    value: Mapping[str, Any] = json.loads(text)
    return Conditions(**value["conditions"]), tuple(map(_result, value["prompts"]))


def _result(item: Mapping[str, Any]) -> PromptResult:
    verdicts = tuple(Verdict(**verdict) for verdict in item["verdicts"])
    return PromptResult(**{**item, "verdicts": verdicts})
