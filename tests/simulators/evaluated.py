"""An evaluation as it is kept, without the minutes that a real one takes."""

from __future__ import annotations

from appliance.assembly import Appliance
from appliance.bundles.evaluations.results import Conditions, EvaluationInfo, PromptResult
from appliance.bundles.inventory import ModelInfo
from appliance.bundles.properties import Verdict
from appliance.clock import new_id

CONDITIONS = Conditions(
    engine="tests", system_prompt_sha256="0" * 64, template_sha256="",
    context_tokens=2048, max_answer_tokens=64,
)  # fmt: skip


def mark_evaluated(
    appliance: Appliance, model: ModelInfo, *, passed: int = 1, failed: int = 0,
    prompts: str | None = None, by: str = "os:test",
) -> EvaluationInfo:  # fmt: skip
    """Keep a finished evaluation of this model and note that it was tried."""
    started = EvaluationInfo(
        id=new_id("evl"), model=model.id, digest=model.digest,
        prompts_sha256=model.files.get("eval", "") if prompts is None else prompts,
        engine=CONDITIONS.engine, by=by, state="running", reason="",
        started=appliance.clock.now(), finished=None, passed=0, failed=0,
    )  # fmt: skip
    appliance.evaluations.start(started)
    found = [_result(f"prompt-{n}", n >= failed) for n in range(passed + failed)]
    done = appliance.evaluations.finish(started.id, CONDITIONS, tuple(found), appliance.clock.now())
    if appliance.library.get(model.id).state in {"imported", "evaluated"}:
        appliance.library.set_evaluated(model.id)
    return done


def _result(name: str, passed: bool) -> PromptResult:
    verdict = Verdict("contains", passed, "everything expected is in it" if passed else "it lacks")
    return PromptResult(
        id=name, required=False, why="a test", answer="An answer.", ended="stop",
        answer_tokens=3, verdicts=(verdict,),
    )  # fmt: skip
