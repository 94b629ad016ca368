"""Two evaluations of the same golden prompts, prompt by prompt. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.bundles.evaluations.results import Conditions, EvaluationInfo

IMPROVED, SAME, WORSE = "improved", "same", "worse"


@dataclass(frozen=True)
class ComparedPrompt:
    """How one prompt went with the candidate and with the active model."""

    id: str
    required: bool
    why: str
    candidate_passed: bool
    active_passed: bool

    @property
    def change(self) -> str:
        if self.candidate_passed == self.active_passed:
            return SAME
        return IMPROVED if self.candidate_passed else WORSE


@dataclass(frozen=True)
class Comparison:
    """The candidate's golden prompts, answered by the candidate and by the active model.

    `active_name` is name and version of the model that was active when it was made.
    """

    candidate: EvaluationInfo
    active: EvaluationInfo
    active_name: str
    prompts: tuple[ComparedPrompt, ...]

    def count(self, change: str) -> int:
        """Return how many prompts are `improved`, `same` or `worse`."""
        return sum(item.change == change for item in self.prompts)


def alike(one: Conditions | None, other: Conditions | None) -> bool:
    """Say whether two evaluations ran under the same settings, the models' own apart."""
    if one is None or other is None:
        return False
    own = {"template_sha256": one.template_sha256, "context_tokens": one.context_tokens}
    return vars(one) == {**vars(other), **own}


def compare(candidate: EvaluationInfo, active: EvaluationInfo, active_name: str) -> Comparison:
    """Return the comparison; both must be done, with the same prompts."""
    passed = {item.id: item.passed for item in active.results}
    return Comparison(
        candidate,
        active,
        active_name,
        tuple(
            ComparedPrompt(item.id, item.required, item.why, item.passed, passed[item.id])
            for item in candidate.results
        ),
    )
