"""Try a model with its golden prompts before a person agrees to it, and compare it with another.

A model is tried in a throw-away engine, never in the one that answers questions. One evaluation
runs at a time, for it needs the memory of a whole model. What a crash left `running` is marked as
failed, in the database and in the record, as soon as anybody looks.
Not here: approving (`models`), the validation record (`validation`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import durable
from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.bundles import golden
from appliance.bundles.evaluations.results import Conditions, EvaluationInfo
from appliance.bundles.evaluations.store import RUNNING
from appliance.bundles.inventory import ModelInfo, rival_of
from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.states import State
from appliance.clock import new_id
from appliance.errors import (
    ApplianceError,
    ConflictError,
    EngineUnavailableError,
    NotFoundError,
)
from appliance.identity.permissions import Actor, Permission, require
from appliance.inference.trial import trial_engine
from appliance.operations.activation import engine_model
from appliance.operations.comparison import Comparison, alike, compare
from appliance.operations.golden_run import SEED, TEMPERATURE, GoldenRun, Progress, TimeLimits
from appliance.operations.quarantining import Quarantining
from appliance.operations.recording import Change, Recorder, system

WHOLE_LIMIT_S = 4 * 3600.0
LOCK = "evaluation.lock"
UNTRIED = frozenset({State.IMPORTED, State.EVALUATED})
OUT_OF_USE = frozenset({State.RETIRED, State.QUARANTINED})


@dataclass(frozen=True)
class Shown:
    """What an approver sees of a model: its evaluation, its comparison, and earlier runs.

    `evaluation` is the newest done with the model's own prompts, None before the first; `current`
    says whether it ran under today's engine and settings; `comparison` is with the active model,
    None when there is none or it was not made yet.
    """

    evaluation: EvaluationInfo | None
    comparison: Comparison | None
    runs: tuple[EvaluationInfo, ...]
    current: bool


def _quiet(done: int, total: int) -> None:
    """Show no progress."""


class Evaluations:
    """What is done with golden prompts. `limits` None means the site's limit for an answer."""

    def __init__(self, appliance: Appliance, limits: TimeLimits | None = None) -> None:
        self._config = appliance.config
        self._library = appliance.library
        self._clock = appliance.clock
        self._store = appliance.evaluations
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)
        self._limits = limits or TimeLimits(appliance.config.engine.answer_timeout_s, WHOLE_LIMIT_S)

    def evaluate(
        self, actor: Actor, name: str, version: str | None = None, progress: Progress = _quiet
    ) -> EvaluationInfo:
        """Ask a model its golden prompts and keep what came of it; a new model is then `evaluated`.

        Without `version`, the newest that waits for approval is meant, else the active one. An
        evaluation in which prompts fail is done, and says so. Raises EngineUnavailableError or
        AnswerTimeoutError when it could not be finished (kept as `failed`, with the reason),
        ConflictError while another runs, VerificationError when the weights were altered.
        """
        with self._change(actor) as change:
            model = self._meant(name, version)
            done = self._try(actor, change, model, model, progress)
            if self._library.get(model.id).state in UNTRIED:
                self._library.set_evaluated(model.id)
        return done

    def evaluate_imported(
        self, actor: Actor, model: ModelInfo, progress: Progress = _quiet
    ) -> EvaluationInfo:
        """Evaluate a model that has just come in, and compare it with the active one.

        A comparison that fails is in the record and does not undo the evaluation.
        """
        done = self.evaluate(actor, model.name, model.version, progress)
        with contextlib.suppress(ApplianceError):
            self.compare(actor, model.name, model.version, progress)
        return done

    def compare(
        self, actor: Actor, name: str, version: str | None = None, progress: Progress = _quiet
    ) -> Comparison | None:
        """Return how a model does beside the active one; None when no other model is active.

        The active model is asked the candidate's golden prompts unless it was before under the
        same settings. Raises ConflictError unless the candidate was evaluated under them.
        """
        self._recorder.authorise(actor, Permission.MODELS_EVALUATE, "model.evaluate")
        candidate = self._meant(name, version)
        active = rival_of(candidate, self._library.models())
        if active is None or active.id == candidate.id:
            return None
        done = self._counting(candidate)
        if done is None or not alike(done.conditions, self._conditions(candidate)):
            raise ConflictError(
                f"{candidate.name} {candidate.version} was not evaluated under today's settings",
                hint=f"run `appliance model evaluate {candidate.name} "
                f"--version {candidate.version}` first",
            )
        beside = self._store.newest(active.id, done.prompts_sha256)
        if beside is None or beside.conditions != self._conditions(active):
            with self._change(actor, compared_with=candidate.id) as change:
                beside = self._try(actor, change, active, candidate, progress)
        return compare(done, beside, f"{active.name} {active.version}")

    def of(self, actor: Actor, name: str, version: str | None = None) -> Shown:
        """Return what is known of a model's evaluations; runs nothing."""
        require(actor, Permission.MODELS_LIST)
        self.close_left_over()
        model = self._library.by_name(name, version)
        done = self._counting(model)
        current = done is not None and done.conditions == self._conditions(model)
        runs = self._store.of_model(model.id)
        return Shown(done, self._known_comparison(model, done), runs, current)

    def close_left_over(self) -> None:
        """Mark evaluations that a crash left running as failed, and record that."""
        if self._store.left_over():
            # Held: one of them is alive, and whoever runs it has closed the others. Whoever only
            # reads must not fail because the record is down.
            with contextlib.suppress(ApplianceError), self._alone():
                pass

    def _known_comparison(self, model: ModelInfo, done: EvaluationInfo | None) -> Comparison | None:
        active = rival_of(model, self._library.models())
        if done is None or active is None or active.id == model.id:
            return None
        beside = self._store.newest(active.id, done.prompts_sha256)
        if beside is None or not alike(done.conditions, beside.conditions):
            return None
        return compare(done, beside, f"{active.name} {active.version}")

    def _counting(self, model: ModelInfo) -> EvaluationInfo | None:
        """Return the newest evaluation with the model's own prompts."""
        return self._store.newest(model.id, model.files.get("eval", ""))

    def _meant(self, name: str, version: str | None) -> ModelInfo:
        """Return the version that was named; without one, the newest that waits for approval."""
        found = [m for m in self._library.models() if m.name == name and m.state in UNTRIED]
        return found[0] if version is None and found else self._library.by_name(name, version)

    def _change(self, actor: Actor, **facts: str) -> contextlib.AbstractContextManager[Change]:
        return self._recorder.change(actor, Permission.MODELS_EVALUATE, "model.evaluate", **facts)

    def _try(
        self,
        actor: Actor,
        change: Change,
        model: ModelInfo,
        prompts_of: ModelInfo,
        progress: Progress,
    ) -> EvaluationInfo:
        """Run one model with the golden prompts of one, and keep the results."""
        change.entity = model.id
        change.facts["digest"] = model.digest
        if model.state in OUT_OF_USE:
            raise ConflictError(f"{model.name} {model.version} is {model.state} and was not tried")
        prompts_sha256, prompts = self.prompts_of(prompts_of)
        conditions = self._conditions(model)
        info = EvaluationInfo(
            id=new_id("evl"), model=model.id, digest=model.digest, prompts_sha256=prompts_sha256,
            engine=conditions.engine, by=actor.user, state=RUNNING, reason="",
            started=self._clock.now(), finished=None, passed=0, failed=0,
        )  # fmt: skip
        change.facts |= {
            "evaluation": info.id, "prompts": prompts_sha256, "engine": conditions.engine
        }  # fmt: skip
        with self._alone():
            self._store.start(info)
            try:
                done = self._run(model, prompts, info.id, conditions, progress)
            except EngineUnavailableError:
                # The engine hashes what it loads; altered weights are quarantined by this.
                self._quarantining.verified(actor, model)
                raise
        change.facts |= {"passed": done.passed, "failed": done.failed}
        return done

    def _run(
        self,
        model: ModelInfo,
        prompts: tuple[golden.GoldenPrompt, ...],
        evaluation_id: str,
        conditions: Conditions,
        progress: Progress,
    ) -> EvaluationInfo:
        folder, settings = self._library.folder, self._config.engine
        try:
            with trial_engine(folder, engine_model(model), settings) as engine:
                site = self._config.policy.system_prompt
                run = GoldenRun(engine, model.digest, site, self._limits, self._clock)
                results = run.ask_all(prompts, progress)
            return self._store.finish(evaluation_id, conditions, results, self._clock.now())
        except BaseException as error:
            interrupted = f"it was interrupted ({type(error).__name__})"
            reason = error.message if isinstance(error, ApplianceError) else interrupted
            with contextlib.suppress(ApplianceError):
                self._store.fail(evaluation_id, reason, self._clock.now())
            raise

    def prompts_of(self, model: ModelInfo) -> tuple[str, tuple[golden.GoldenPrompt, ...]]:
        """Return the digest and the golden prompts that came with a model.

        Raises NotFoundError for a model of before there were any, DamagedModelError when the
        file is gone or altered.
        """
        digest = model.files.get("eval")
        if not digest:
            raise NotFoundError(
                f"{model.name} {model.version} came without golden prompts",
                hint="import a newer bundle of its publisher",
            )
        path: Path = self._library.folder / f"{digest}.eval"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedModelError(
                f"the golden prompts of {model.name} {model.version} are gone or were altered"
            )
        return digest, golden.parse(data)

    def _conditions(self, model: ModelInfo) -> Conditions:
        engine, site = self._config.engine, self._config.policy.system_prompt
        return Conditions(
            engine=engine_version(),
            system_prompt_sha256=hashlib.sha256(site.encode()).hexdigest(),
            template_sha256=model.files.get("template", ""),
            context_tokens=engine.context_tokens or model.context_tokens,
            max_answer_tokens=engine.max_answer_tokens,
            temperature=TEMPERATURE,
            seed=SEED,
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the one place to evaluate in; what still counts as running is then dead."""
        self._config.paths.run.mkdir(mode=0o700, exist_ok=True)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(durable.exclusive(self._config.paths.run / LOCK, "evaluation"))
            except ConflictError:
                raise ConflictError(
                    "another evaluation is running; this one was not started",
                    hint="wait until it has ended, then try again",
                ) from None
            for left in self._store.close_left_over(self._clock.now()):
                facts = {"evaluation": left.id, "code": "interrupted"}
                self._recorder.note(
                    system("evaluation"), "model.evaluate", Outcome.FAILURE,
                    entity=left.model, content=facts,
                )  # fmt: skip
            yield


def engine_version() -> str:
    """Return which engine tries models here."""
    try:
        return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
