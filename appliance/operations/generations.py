"""What an engine is asked for one question: the turns, the sampling, the tools, and for whom.

A chat's oldest turns give way when the context is short; what a caller of the API gave is sent as
it stands or not at all. A raw prompt gets neither a system prompt nor a history. Not here: whether
it may be asked, and when it is asked again (`answering.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial

from appliance.assembly import Appliance
from appliance.config import Engine as Settings
from appliance.inference.engine import Generation, Message, Sampling
from appliance.inference.limits import fit_history
from appliance.operations.answer_run import AnswerRun
from appliance.operations.persons import opaque
from appliance.operations.questions import Question, SamplingWish


@dataclass(frozen=True)
class Asked:
    """A request as the engine gets it, and how many turns of the conversation were left out."""

    generation: Generation
    dropped_turns: int = 0


def asked_of_engine(
    appliance: Appliance, run: AnswerRun, question: Question, context_tokens: Callable[[], int]
) -> Asked:
    """Return the request for a question; `context_tokens` is asked only where turns must fit."""
    sampling = sampling_of(question.sampling, appliance.config.engine)
    messages, dropped = _messages(appliance, run, question, context_tokens)
    generation = Generation(
        digest=run.model.digest,
        messages=messages,
        sampling=sampling,
        tools=question.tools,
        prompt=question.raw,
        person=opaque(run.user),
    )
    return Asked(generation, dropped)


def sampling_of(wish: SamplingWish, settings: Settings) -> Sampling:
    """Return what the caller chose; the site's choice where the caller made none."""
    most = min(settings.max_answer_tokens, wish.max_tokens or settings.max_answer_tokens)
    usual = Sampling(max_tokens=most, temperature=settings.temperature_percent / 100)
    wishes = {item.name: getattr(wish, item.name) for item in fields(Sampling)}
    chosen = {name: value for name, value in wishes.items() if value is not None}
    return replace(usual, **{**chosen, "max_tokens": most})


def _messages(
    appliance: Appliance, run: AnswerRun, question: Question, context_tokens: Callable[[], int]
) -> tuple[tuple[Message, ...], int]:
    if question.raw is not None:
        return (), 0
    given = question.messages
    if any(turn.role == "system" for turn in given):
        return given, 0
    system_turn = Message("system", appliance.config.policy.system_prompt)
    if question.conversation_id is None:
        return (system_turn, *given), 0
    turns = (system_turn, *_history(appliance, run), *given)
    context = context_tokens()
    # Room for an answer stays free, up to a third of the context.
    budget = context - min(appliance.config.engine.max_answer_tokens, context // 3)
    count = partial(appliance.engine.count_tokens, run.model.digest)
    fitted = fit_history(turns, count, budget)
    return fitted.messages, fitted.dropped


def _history(appliance: Appliance, run: AnswerRun) -> Iterator[Message]:
    """Yield earlier questions of this conversation that have an answer, with the answer."""
    stored = appliance.conversations.messages(run.conversation_id, run.user)
    for asked, answered in itertools.pairwise(stored):
        if asked.role == "user" and answered.role == "assistant":
            if answered.id == run.answer_id:
                return
            if answered.state in {"complete", "stopped"} and answered.text:
                yield Message("user", asked.text)
                yield Message("assistant", answered.text)
