"""One outcome for each intent: written once, found again when its writing was uncertain.

An append whose acknowledgement was lost may be in the record or not, so it is never repeated
blindly: the record is asked first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.audit.entry import Event, ModelRef
from appliance.audit.ledger import Ledger
from appliance.audit.query import Query
from appliance.conversations.store import Conversations, UnfinishedAnswer
from appliance.errors import ApplianceError, UnavailableError, VerificationError
from appliance.operations.finding import found
from appliance.operations.recording import event_of, system

ACTION = {"complete": "answer.complete", "stopped": "answer.stop", "failed": "answer.fail"}
EMBEDDING = {"complete": "embedding.complete", "failed": "embedding.fail"}
# By the intent's action: what is asked, and how it can end.
ENDINGS = {"answer.request": ACTION, "embedding.request": EMBEDDING}
ENDED = frozenset({"success", "failure"})
# An answer is asked once and ends once.
FEW = 10
PATIENCE_S = 30.0
RETRY_EVERY_S = 0.25


@contextlib.contextmanager
def failed_unless_begun(store: Conversations, answer_id: str) -> Iterator[None]:
    """End the answer as failed when recording its intent, or starting it, raises.

    An intent may be in the record all the same; `close_interrupted` asks, and closes it.
    """
    try:
        yield
    except BaseException as error:
        code = error.code if isinstance(error, ApplianceError) else "internal"
        with contextlib.suppress(ApplianceError):
            store.finish(answer_id, state="failed", text="", error_code=code)
        raise


def record_once(ledger: Ledger, event: Event) -> int:
    """Append an answer's outcome and return its number, waiting while the ledger restarts.

    Raises UnavailableError when the record stays away for 30 seconds.
    """
    deadline = time.monotonic() + PATIENCE_S
    uncertain = False
    while True:
        try:
            if uncertain and (seq := recorded(ledger, str(event.entity))) is not None:
                return seq
            return ledger.append(event).seq
        except UnavailableError:
            uncertain = True
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_EVERY_S)


def recorded(ledger: Ledger, answer_id: str) -> int | None:
    """Return the number of the entry that ends this answer, or null."""
    # By action, not among everything about the answer: whoever asks for its receipt often writes
    # as many entries that name it, and the one wanted would not be among the newest.
    ends = [
        entry["seq"]
        for actions in ENDINGS.values()
        for action in actions.values()
        for entry in found(ledger, Query(entity=answer_id, action=action, limit=FEW))
        if entry["outcome"] in ENDED
    ]
    return min(ends, default=None)


def asked(ledger: Ledger, answer_id: str) -> tuple[str, int] | None:
    """Return action and number of this answer's intent in the record; null when there is none."""
    for action in ENDINGS:
        intents = found(ledger, Query(entity=answer_id, action=action, limit=FEW))
        if intents:
            return action, min(entry["seq"] for entry in intents)
    return None


def close_interrupted(appliance: Appliance, answer: UnfinishedAnswer) -> bool:
    """Record the outcome of an answer that a crash cut off; return whether one was missing.

    What was never recorded as asked never reached a model, so it needs no outcome.
    """
    store = appliance.conversations
    if (seq := recorded(appliance.ledger, answer.answer_id)) is not None:
        # The row's state is set even when its key is gone, and the record is complete already.
        with contextlib.suppress(VerificationError):
            store.close_unfinished(answer.answer_id, "interrupted")
        store.set_outcome(answer.answer_id, seq)
        return False
    if (intent := asked(appliance.ledger, answer.answer_id)) is None:
        store.abandon(answer.answer_id, "record_unavailable")
        return False
    try:
        closed = store.close_unfinished(answer.answer_id, "interrupted", intent[1])
        event = _late(answer, intent, closed.state, closed.sealed.for_record())
    except VerificationError:
        # Its key is gone or altered: the outcome is stated without a commitment to the text.
        event = _late(answer, intent, "failed", None)
    store.set_outcome(answer.answer_id, appliance.ledger.append(event).seq)
    return True


def _late(
    answer: UnfinishedAnswer,
    intent: tuple[str, int],
    state: str,
    commitment: dict[str, str | int] | None,
) -> Event:
    failed, (action, seq) = state == "failed", intent
    return event_of(
        system("gateway"),
        ENDINGS[action][state],
        Outcome.FAILURE if failed else Outcome.SUCCESS,
        entity=answer.answer_id,
        model=ModelRef(answer.model_name, answer.model_version, answer.model_digest),
        content={
            "answer": commitment,
            "reason": "interrupted" if failed else "recorded late",
            "request": seq,
            "person": answer.user_id,
            **about(answer.subject),
        },
    )


def about(subject: str | None) -> dict[str, str]:
    """Return what an entry says of the patient: a pseudonym, or nothing."""
    return {} if subject is None else {"subject": subject}
