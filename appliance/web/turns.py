"""What a page shows of a question and its answer, from a live run or from the store.

One value, `AnswerView`, is behind the page, the event stream and the copied text, so that the
three cannot disagree. Pure but for the Markdown renderer: no request, no database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from appliance import errors as known
from appliance.conversations.store import MessageInfo
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.web import markdown

NOTICE = "AI-generated, check before use"
# What a page says of a stored answer, of which only the code of its error is kept.
SENTENCES = {
    "interrupted": "the appliance was restarted while this answer was being written",
    "engine_unavailable": "the model did not answer",
    "context_length_exceeded": "the text is too long for this model",
    "timeout": "the answer took too long and was ended",
    "bad_input": "the model could not work with this text",
    "record_unavailable": "the record could not be written, so the model was not asked",
    "disk_full": "the disk of the appliance is full",
    "internal": "something went wrong on the appliance",
}
PLACES = {0: "next", 1: "second", 2: "third"}
ENDS = {1: "st", 2: "nd", 3: "rd"}
LABELS = {"loading": "Loading the model", "answering": "Writing"}


@dataclass(frozen=True)
class AnswerView:
    """One answer as shown. `state` is one of queued loading answering complete stopped failed."""

    id: str
    state: str
    html: Markup
    text: str
    model: str
    demo: bool
    created: float | None
    record: int | None
    elapsed_ms: int = 0
    version: int = 0
    label: str = ""
    error: str = ""
    hint: str = ""
    note: str = ""

    @property
    def ended(self) -> bool:
        return self.state in {"complete", "stopped", "failed"}

    @property
    def copied(self) -> str:
        """Return what the Copy button copies: the answer, and where it comes from."""
        demo = " (demo model)" if self.demo else ""
        stopped = " · stopped early" if self.state == "stopped" else ""
        record = "" if self.record is None else f" · record {self.record}"
        return f"{self.text}\n\n[{NOTICE} · {self.model}{demo}{record}{stopped}]"


@dataclass(frozen=True)
class Turn:
    """A question, and its answer when there is one."""

    question: str
    answer: AnswerView | None


def of_run(run: AnswerRun, state: AnswerState, created: float | None) -> AnswerView:
    """Show an answer that is under way, or has just ended."""
    return AnswerView(
        id=run.answer_id,
        state=state.state,
        html=markdown.render(state.text),
        text=markdown.plain(state.text),
        model=f"{run.model.name} {run.model.version}",
        demo=run.model.demo,
        created=created,
        record=run.intent_seq if state.record_seq is None else state.record_seq,
        elapsed_ms=state.elapsed_ms,
        version=state.version,
        label=label(state),
        error=state.error.message if state.error else "",
        hint=state.error.hint if state.error else "",
        note=_note(state.finish_reason, state.dropped_turns),
    )


def of_message(message: MessageInfo, demo_digests: frozenset[str]) -> AnswerView:
    """Show an answer as it is kept."""
    model = message.model
    failed = _error_of(message.error_code) if message.state in {"failed", "refused"} else None
    return AnswerView(
        id=message.id,
        state={"pending": "queued", "refused": "failed"}.get(message.state, message.state),
        html=markdown.render(message.text),
        text=markdown.plain(message.text),
        model=f"{model.name} {model.version}" if model else "",
        demo=model is not None and model.digest in demo_digests,
        created=message.created if message.finished is None else message.finished,
        record=message.intent_seq if message.outcome_seq is None else message.outcome_seq,
        elapsed_ms=message.latency_ms or 0,
        label="Waiting",
        error=failed[0] if failed else "",
        hint=failed[1] if failed else "",
        note=_note(message.finish_reason, message.dropped_turns),
    )


def of_messages(messages: Iterable[MessageInfo], demo_digests: frozenset[str]) -> list[Turn]:
    """Pair each question with the answer that follows it."""
    turns: list[Turn] = []
    for message in messages:
        if message.role == "user":
            turns.append(Turn(markdown.plain(message.text), None))
        elif message.role == "assistant" and turns:
            turns[-1] = Turn(turns[-1].question, of_message(message, demo_digests))
    return turns


def label(state: AnswerState) -> str:
    """Say in words what the answer is waiting for."""
    if state.state == "queued" and state.position is not None:
        return f"Waiting: {_place(state.position)}"
    if state.state == "queued":
        return "Reading the question"
    return LABELS.get(state.state, "")


def _place(before: int) -> str:
    """Return the place of an answer that so many go before."""
    number = before + 1
    end = "th" if number % 100 in {11, 12, 13} else ENDS.get(number % 10, "th")
    return f"{PLACES.get(before, f'{number}{end}')} in line"


def _note(reason: str | None, dropped_turns: int) -> str:
    notes = []
    if reason == "length":
        notes.append(
            "The answer is cut off here: it reached its length limit, or the chat what the model "
            "can hold. Ask it to go on, or begin a new chat."
        )
    if dropped_turns:
        notes.append("The oldest turns no longer fit and were not shown to the model.")
    return " ".join(notes)


def _error_of(code: str | None) -> tuple[str, str]:
    """Return the sentence and the hint for an answer that is known to have failed by its code."""
    families: list[type[known.ApplianceError]] = [known.ApplianceError]
    for family in families:
        families.extend(family.__subclasses__())
    hints = {family.code: family.hint for family in reversed(families)}
    words = SENTENCES.get(code or "", "this answer could not be finished")
    return words, hints.get(code or "", "ask again; the record shows this answer as failed")
