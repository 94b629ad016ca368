"""Ask an engine golden prompts, one after the other, and judge each answer.

Guarantee: it ends. An answer that takes longer than the site allows is cut off and fails as a
prompt; an engine that writes nothing in that time, breaks off, or uses up the time for the whole
run ends the run with an error. Decoding is greedy with a fixed seed, so that the same model on
the same engine and machine gives the same answers again.
Not here: which engine (`inference.trial`), what is kept and recorded (`evaluation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from appliance.bundles.evaluations.results import PromptResult
from appliance.bundles.golden import MAX_ANSWER_CHARACTERS, GoldenPrompt
from appliance.bundles.properties import Verdict, check
from appliance.clock import Clock
from appliance.errors import AnswerTimeoutError, BadInputError, EngineUnavailableError
from appliance.inference.engine import Delta, Engine, Finished, Generation, Message, Sampling

Progress = Callable[[int, int], None]
SEED = 0
TEMPERATURE = 0.0
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class TimeLimits:
    """Seconds for one answer, and for all of them together."""

    prompt_s: float
    whole_s: float


@dataclass(frozen=True)
class Said:
    """One answer as it came: its text, why it ended, how many tokens it has (0: not known)."""

    text: str
    ended: str
    tokens: int


class GoldenRun:
    """Golden prompts for one model (SHA-256 in hex) on one engine; `system` is the site's."""

    def __init__(
        self, engine: Engine, digest: str, system: str, limits: TimeLimits, clock: Clock
    ) -> None:
        self._engine = engine
        self._digest = digest
        self._system = system
        self._limits = limits
        self._clock = clock
        self._whole = clock.monotonic_ns() + int(limits.whole_s * NANOSECONDS)

    def ask_all(
        self, prompts: Sequence[GoldenPrompt], progress: Progress
    ) -> tuple[PromptResult, ...]:
        """Return a result per prompt, in order; `progress` gets (prompts done, prompts in all).

        Raises EngineUnavailableError when the engine is of no use any more, AnswerTimeoutError
        when the time for the whole is used up.
        """
        results = []
        for done, prompt in enumerate(prompts):
            progress(done, len(prompts))
            results.append(self._ask(prompt))
        progress(len(prompts), len(prompts))
        return tuple(results)

    def _ask(self, prompt: GoldenPrompt) -> PromptResult:
        verdicts: tuple[Verdict, ...]
        try:
            said = self._answer(prompt)
        except BadInputError as error:
            # The model cannot take the prompt (too long, or its template refuses): that is a
            # finding about the model, not a failure of the engine.
            said, verdicts = Said("", "refused", 0), (Verdict("asked", False, error.message),)
        else:
            verdicts = check(prompt, said.text, self._system)
        if said.ended == "time":
            late = f"there was no whole answer within {self._limits.prompt_s:g} seconds"
            verdicts = (*verdicts, Verdict("time", False, late))
        return PromptResult(
            id=prompt.id,
            required=prompt.required,
            why=prompt.why,
            answer=said.text,
            ended=said.ended,
            answer_tokens=said.tokens,
            verdicts=verdicts,
        )

    def _answer(self, prompt: GoldenPrompt) -> Said:
        pieces: list[str] = []
        size = 0
        until = self._clock.monotonic_ns() + int(self._limits.prompt_s * NANOSECONDS)
        with closing(self._engine.generate(self._generation(prompt))) as stream:
            for item in stream:
                if isinstance(item, Finished):
                    return Said("".join(pieces), item.reason, item.answer_tokens)
                if self._clock.monotonic_ns() >= min(until, self._whole):
                    break
                if isinstance(item, Delta):
                    pieces.append(item.text)
                    size += len(item.text)
                if size > MAX_ANSWER_CHARACTERS:
                    return Said("".join(pieces)[:MAX_ANSWER_CHARACTERS], "length", 0)
        self._require_alive(prompt, size)
        return Said("".join(pieces), "time", 0)

    def _require_alive(self, prompt: GoldenPrompt, size: int) -> None:
        """Raise when it was not one answer that took too long, but the engine or the whole."""
        if self._clock.monotonic_ns() >= self._whole:
            raise AnswerTimeoutError(
                f"the golden prompts took longer than {self._limits.whole_s:g} seconds in all; "
                f"the last one asked was {prompt.id}",
                hint="evaluate the model on a faster machine, or with fewer golden prompts",
            )
        if size == 0:
            raise EngineUnavailableError(
                f"the engine wrote nothing within {self._limits.prompt_s:g} seconds "
                f"when asked {prompt.id}",
                hint="look at the engine's log; the model may be too large for this machine",
            )

    def _generation(self, prompt: GoldenPrompt) -> Generation:
        system = self._system if prompt.system is None else prompt.system
        turns = [Message(turn.role, turn.content) for turn in prompt.turns]
        if system:
            turns.insert(0, Message("system", system))
        sampling = Sampling(prompt.max_tokens, temperature=TEMPERATURE, seed=SEED)
        return Generation(self._digest, tuple(turns), sampling)
