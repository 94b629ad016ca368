"""What is kept, held and erased, for whoever looks after content without reading it.

Every decision and the mark that closes a conversation are one transaction, with the holds read
inside it: no hold can be placed between the look and the act. Keys are destroyed only of marked
conversations, so a crash leaves nothing half decided.

Not here: who may ask for it, and that it is recorded (`operations/content.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from appliance.clock import Clock, new_id
from appliance.conversations.erasures import store as erasures
from appliance.conversations.erasures.store import Erasure
from appliance.conversations.holds import store as holds
from appliance.conversations.keys.store import KeyRing
from appliance.conversations.messages.store import MessageRow
from appliance.conversations.retention import ALL, CONVERSATION, PATIENT, USER, Hold, Scope
from appliance.conversations.rows import ConversationRow
from appliance.conversations.schedule import store as schedule
from appliance.conversations.schedule.store import ScheduleState
from appliance.database import Database
from appliance.errors import ConflictError, NotFoundError

# Conversations whose sealed bytes go in one transaction: others wait for its end.
BLANKED_AT_ONCE = 500
EMPTY = b""


@dataclass(frozen=True)
class Due:
    """Conversations of one origin whose time is over: how many go, how many a hold keeps."""

    origin: str
    due: int
    held: int


class Custody:
    """Holds, erasures and what is due, over appliance.db and keys.db."""

    def __init__(self, database: Database, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    # --- holds

    def place_hold(self, scope: Scope, reason: str, by: str) -> Hold:
        """Keep content from being erased, from now on."""
        with self._database.session() as session:
            if scope.kind == CONVERSATION:
                _conversation(session, scope.target)
            return holds.place(session, new_id("hld"), scope, reason, by, self._clock.now())

    def release_hold(self, hold_id: str, reason: str, by: str) -> Hold:
        """End a hold; NotFoundError or ConflictError when there is none that holds."""
        with self._database.session() as session:
            return holds.release(session, hold_id, reason, by, self._clock.now())

    def holds(self) -> Sequence[Hold]:
        """Return every hold, the newest first, released ones too."""
        with self._database.reading() as session:
            return holds.every(session)

    # --- erasing: plan, mark, destroy, finish

    def plan(self, kind: str, scope: Scope, basis: str, person: str) -> Erasure:
        """Keep what is about to be done, before it is recorded or done."""
        planned = Erasure(
            id=new_id("ers"), kind=kind, scope=scope.kind, target=scope.target, basis=basis,
            person=person, state=erasures.PLANNED, created=self._clock.now(), finished=None,
            conversations=0, outcome_seq=None,
        )  # fmt: skip
        with self._database.session() as session:
            erasures.add(session, planned)
        return planned

    def mark(self, erasure: Erasure) -> Erasure:
        """Close every conversation in the erasure's scope for good.

        Raises ConflictError naming the holds when one covers any of it, and NotFoundError when
        there is nothing to erase; then nothing is marked.
        """
        scope = Scope(erasure.scope, erasure.target)
        with self._database.session() as session:
            row = erasures.existing(session, erasure.id)
            if row.state != erasures.PLANNED:
                return erasures.value(row)
            chosen = sa.and_(_within(scope), ConversationRow.erased_by.is_(None))
            _refuse_held(session, scope, chosen)
            if scope.kind == CONVERSATION and _conversation(session, scope.target).erased_by:
                raise ConflictError("this conversation was erased before", hint="nothing is left")
            count = _mark(session, chosen, erasure.id)
            if not count and scope.kind != PATIENT:
                raise NotFoundError("there is no content of this person", hint="nothing was erased")
            row.state, row.conversations = erasures.MARKED, count
            return erasures.value(row)

    def mark_due(self, erasure: Erasure, before: Mapping[str, float], limit: int) -> Erasure:
        """Close at most `limit` conversations last used before the time of their origin."""
        with self._database.session() as session:
            row = erasures.existing(session, erasure.id)
            if row.state != erasures.PLANNED:
                return erasures.value(row)
            over = sa.select(ConversationRow.id).where(_over(before), ~_held(session)).limit(limit)
            count = _mark(session, ConversationRow.id.in_(over), erasure.id)
            row.state, row.conversations = erasures.MARKED, count
            return erasures.value(row)

    def key_ids(self, erasure: Erasure) -> list[str]:
        """Return the ids of the keys that this erasure destroys, in order."""
        query = sa.select(ConversationRow.key_id).where(ConversationRow.erased_by == erasure.id)
        with self._database.reading() as session:
            return sorted(session.scalars(query))

    def destroy(self, erasure: Erasure) -> list[str]:
        """Destroy the keys of marked conversations, then their sealed bytes; safe to repeat.

        Returns the ids of the keys, which are in no file any more. Raises UnavailableError to be
        tried again.
        """
        keys = self.key_ids(erasure)
        subject = erasure.target if erasure.scope == PATIENT else None
        self._keys.destroy(keys, subject)
        while self._blank(erasure.id):
            pass
        return keys

    def _blank(self, erasure_id: str) -> bool:
        """Empty the texts of some erased conversations; return whether there may be more."""
        left = (
            sa.select(ConversationRow.id)
            .where(
                ConversationRow.erased_by == erasure_id,
                ConversationRow.sealed_title != EMPTY,
            )
            .limit(BLANKED_AT_ONCE)
        )
        with self._database.session() as session:
            some = session.scalars(left).all()
            session.execute(
                sa.update(MessageRow)
                .where(MessageRow.conversation_id.in_(some))
                .values(sealed=EMPTY)
            )
            session.execute(
                sa.update(ConversationRow)
                .where(ConversationRow.id.in_(some))
                .values(sealed_title=EMPTY)
            )
        return len(some) == BLANKED_AT_ONCE

    def is_erased(self, conversation_id: str) -> bool:
        """Return whether an erasure closed this conversation."""
        query = sa.select(ConversationRow.erased_by).where(ConversationRow.id == conversation_id)
        with self._database.reading() as session:
            return session.scalar(query) is not None

    def finish(self, erasure_id: str, outcome_seq: int | None, *, void: bool = False) -> Erasure:
        """Note how an erasure ended and which entry of the record says so."""
        with self._database.session() as session:
            row = erasures.existing(session, erasure_id)
            row.state = erasures.VOID if void else erasures.DONE
            row.outcome_seq, row.finished = outcome_seq, self._clock.now()
            return erasures.value(row)

    def erasure(self, erasure_id: str) -> Erasure:
        """Return an erasure; raise NotFoundError if there is none."""
        with self._database.reading() as session:
            return erasures.value(erasures.existing(session, erasure_id))

    def unfinished(self) -> list[Erasure]:
        """Return the erasures that a crash left open, the oldest first."""
        with self._database.reading() as session:
            return erasures.unfinished(session)

    def finished(self, limit: int = 200) -> list[Erasure]:
        """Return the erasures that were carried out, the newest first."""
        with self._database.reading() as session:
            return erasures.finished(session, limit)

    # --- schedules

    def due(self, before: Mapping[str, float]) -> list[Due]:
        """Return for each origin how many conversations were last used before its time."""
        with self._database.reading() as session:
            held = sa.case((_held(session), 1), else_=0).label("held")
            query = (
                sa.select(ConversationRow.origin, held, sa.func.count())
                .where(_over(before))
                .group_by(ConversationRow.origin, held)
            )
            counts = {(origin, bool(kept)): n for origin, kept, n in session.execute(query)}
        origins = sorted(before)
        return [Due(o, counts.get((o, False), 0), counts.get((o, True), 0)) for o in origins]

    def schedule(self) -> ScheduleState | None:
        """Return when the schedule last ran; None before its first run."""
        with self._database.reading() as session:
            return schedule.load(session)

    def save_schedule(self, state: ScheduleState) -> None:
        """Keep when the schedule last ran."""
        with self._database.session() as session:
            schedule.save(session, state)

    def last_use(self) -> float | None:
        """Return when any conversation was last used; None when there is none."""
        with self._database.reading() as session:
            return session.scalar(sa.select(sa.func.max(ConversationRow.updated)))

    def oldest_kept(self) -> tuple[float | None, int | None]:
        """Return from when on the record is needed: a time and an entry, None for no limit.

        Needed are the entries of conversations that exist or are held, and of holds that hold.
        """
        with self._database.reading() as session:
            needed = sa.or_(ConversationRow.erased_by.is_(None), _held(session))
            times = [
                session.scalar(sa.select(sa.func.min(ConversationRow.created)).where(needed)),
                *(hold.created for hold in holds.active(session)),
            ]
            entry = session.scalar(
                sa.select(sa.func.min(MessageRow.intent_seq))
                .join(ConversationRow, ConversationRow.id == MessageRow.conversation_id)
                .where(needed)
            )
            if any(hold.scope.kind == ALL for hold in holds.active(session)):
                return 0.0, 0
        return min((time for time in times if time is not None), default=None), entry


def _conversation(session: Session, conversation_id: str) -> ConversationRow:
    row = session.get(ConversationRow, conversation_id)
    if row is None:
        raise NotFoundError("there is no such conversation")
    return row


def _within(scope: Scope) -> sa.ColumnElement[bool]:
    columns: Mapping[str, sa.ColumnElement[str] | sa.ColumnElement[str | None]] = {
        USER: ConversationRow.user_id.expression,
        CONVERSATION: ConversationRow.id.expression,
        PATIENT: ConversationRow.subject.expression,
    }
    return sa.true() if scope.kind == ALL else columns[scope.kind] == scope.target


def _held(session: Session) -> sa.ColumnElement[bool]:
    """Return the condition that a conversation is held by any hold."""
    parts = [_within(hold.scope) for hold in holds.active(session)]
    return sa.func.coalesce(sa.or_(*parts), sa.false()) if parts else sa.false()


def _refuse_held(session: Session, scope: Scope, chosen: sa.ColumnElement[bool]) -> None:
    blocking = [
        hold.id
        for hold in holds.active(session)
        if hold.scope in (scope, Scope(ALL))
        or session.scalar(sa.select(sa.exists().where(chosen, _within(hold.scope))))
    ]
    if blocking:
        raise ConflictError(
            f"a legal hold keeps this content: {', '.join(blocking)}; nothing was erased",
            hint="a hold is released on the page Privacy or with `appliance retention release`, "
            "each time with a reason",
        )


def _mark(session: Session, chosen: sa.ColumnElement[bool], erasure_id: str) -> int:
    marked = sa.update(ConversationRow).where(chosen).values(erased_by=erasure_id)
    result = session.execute(marked.execution_options(synchronize_session=False))
    return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE has one


def _over(before: Mapping[str, float]) -> sa.ColumnElement[bool]:
    parts = [
        sa.and_(ConversationRow.origin == origin, ConversationRow.updated < moment)
        for origin, moment in before.items()
    ]
    return sa.and_(ConversationRow.erased_by.is_(None), sa.or_(sa.false(), *parts))
