"""Erase content, keep it from being erased, and prove the erasure; for a privacy officer.

Erasing destroys keys, so what was sealed under them is gone from wherever it was copied. It runs
in steps that a crash may cut anywhere: planned, recorded as meant, marked, destroyed, recorded as
done. `resume` goes on from where it stopped. One process at a time does any of this. The record
gets pseudonyms, ids and the legal basis, never a patient's reference (`scopes.py`).

Not here: schedules (`retention.py`), a new key-encryption key (`rewrapping.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.canonical import sha256
from appliance.conversations.erasures.store import ERASE, MARKED, PURGE, Erasure
from appliance.conversations.retention import ALL, PATIENT, Hold, Scope, stated
from appliance.errors import ApplianceError, BadInputError, ConflictError, UnavailableError
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations import readings
from appliance.operations.alone import alone, traces
from appliance.operations.certificates import Certificate
from appliance.operations.readings import UNSTATED, Reading
from appliance.operations.recording import REFUSALS, Recorder, system
from appliance.operations.scopes import Wanted, facts_of, scope_of, worded

log = structlog.get_logger(__name__)

# More key ids would not fit into an entry; beyond, it holds a digest over all of them.
MOST_NAMED = 1_000
ACTIONS = {ERASE: "content.erase", PURGE: "content.purge"}


class Content:
    """What a privacy officer does with content that they cannot read."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._custody = appliance.conversations.custody
        self._recorder = Recorder(appliance.ledger)

    # --- holds

    def hold(self, actor: Actor, wanted: Wanted, reason: str) -> Hold:
        """Keep content from being erased, purged or pruned until the hold is released.

        A patient of whom nothing is kept yet can be held too: it counts for what comes.
        """
        with self._recorder.change(actor, Permission.CONTENT_HOLD, "content.hold") as change:
            words = worded(reason, "the reason", wanted)
            scope = scope_of(self._appliance, wanted, make=True)
            change.facts = {"reason": words, **facts_of(scope)}
            with alone(self._appliance):
                hold = self._custody.place_hold(scope, words, actor.user)
            change.entity = hold.id
        return hold

    def release(self, actor: Actor, hold_id: str, reason: str) -> Hold:
        """End a hold, for a reason; what it kept is due like anything else from now on."""
        with self._recorder.change(
            actor, Permission.CONTENT_HOLD, "content.release", hold_id
        ) as change:
            words = stated(reason, "the reason")
            change.facts = {"reason": words}
            return self._custody.release_hold(hold_id, words, actor.user)

    def holds(self, actor: Actor) -> Sequence[Hold]:
        """Return every hold, the newest first, released ones too."""
        require(actor, Permission.CONTENT_HOLD)
        return self._custody.holds()

    def pseudonym(self, actor: Actor, reference: str, reading: Reading = UNSTATED) -> str:
        """Return under which pseudonym the record holds a patient; looking it up is recorded.

        Whether a patient is known here is worth a reason: a privacy officer must give one. Raises
        NotFoundError when nothing was ever asked under this reference, or it was erased.
        """
        self._recorder.authorise(actor, Permission.CONTENT_HOLD, "record.read")
        try:
            readings.check(self._appliance.config.policy, actor, reading)
            subject = scope_of(self._appliance, Wanted(PATIENT, reference)).target
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.read", error)
            raise
        facts = {"filters": {"subject": subject}, "count": 0, **reading.facts()}
        self._recorder.note(
            actor, "record.read", Outcome.SUCCESS, purpose=reading.purpose, content=facts
        )
        return subject

    # --- erasing

    def erase(self, actor: Actor, wanted: Wanted, basis: str) -> Erasure:
        """Destroy the keys of what is kept about a patient, by a person, or in one conversation.

        Raises ConflictError naming the holds that forbid it, NotFoundError when nothing is kept,
        BadInputError for a basis that cannot stand in the record. UnavailableError means that it
        is decided and will be finished by itself.
        """
        self._recorder.authorise(actor, Permission.CONTENT_ERASE, "content.erase")
        try:
            words = worded(basis, "the legal basis", wanted)
            scope = scope_of(self._appliance, wanted)
            if scope.kind == ALL:
                raise BadInputError("name a patient, a conversation or a person to erase")
        except REFUSALS as error:
            self._recorder.refuse(actor, "content.erase", error)
            raise
        with alone(self._appliance):
            erasure = self._custody.plan(ERASE, scope, words, actor.user)
            self._intend(actor, erasure)
            return self._carry_out(actor, erasure)

    def purge(self, actor: Actor, before: Mapping[str, float], basis: str, limit: int) -> Erasure:
        """Destroy the keys of content whose time is over, `limit` conversations at most.

        To be called by the schedule alone, which has asked for permission, inside `alone`.
        """
        erasure = self._custody.plan(PURGE, Scope(ALL), basis, actor.user)
        self._intend(actor, erasure)
        marked = self._custody.mark_due(erasure, before, limit)
        return self._destroy(actor, marked)

    def erasures(self, actor: Actor) -> list[Erasure]:
        """Return the erasures that were carried out, the newest first."""
        require(actor, Permission.CONTENT_ERASE)
        return self._custody.finished()

    def certificate(self, actor: Actor, erasure_id: str) -> Certificate:
        """Return the signed proof that an erasure is in the record; getting it is recorded."""
        self._recorder.authorise(actor, Permission.CONTENT_ERASE, "record.prove", erasure_id)
        try:
            erasure = self._custody.erasure(erasure_id)
            if erasure.outcome_seq is None:
                raise ConflictError("this erasure is not finished", hint="look again in a minute")
            found = Certificate.read(self._appliance.ledger.prove(erasure.outcome_seq))
        except REFUSALS as error:
            self._recorder.refuse(actor, "record.prove", error, erasure_id)
            raise
        self._recorder.note(
            actor, "record.prove", Outcome.SUCCESS,
            entity=erasure.id, content={"entry": erasure.outcome_seq},
        )  # fmt: skip
        return found

    # --- after a crash

    def resume(self) -> int:
        """Finish what a crash cut off; return how many erasures that were.

        Does nothing while another process erases: what is open may be that one's.
        """
        if not any(open_.kind in ACTIONS for open_ in self._custody.unfinished()):
            return 0
        try:
            with alone(self._appliance, wait_s=0):
                left = [found for found in self._custody.unfinished() if found.kind in ACTIONS]
                for erasure in left:
                    # One that cannot be finished must not keep the others, or the schedule, back.
                    try:
                        self._resume(erasure)
                    except ApplianceError as error:
                        log.warning("erasure stays open", erasure=erasure.id, code=error.code)
                return len(left)
        except ConflictError:
            return 0

    def _resume(self, erasure: Erasure) -> None:
        seen = [
            entry
            for entry in traces(self._appliance, erasure.id)
            if entry["action"] in ACTIONS.values()
        ]
        ends = {entry["outcome"]: entry["seq"] for entry in seen}
        if str(Outcome.SUCCESS) in ends:
            self._custody.finish(erasure.id, ends[str(Outcome.SUCCESS)])
        elif erasure.state == MARKED:
            # Whatever the record says: closed conversations are not opened again.
            self._destroy(system("retention"), erasure)
        elif not seen or str(Outcome.REFUSED) in ends:
            self._custody.finish(erasure.id, None, void=True)
        elif erasure.kind == PURGE:
            # Nothing was chosen yet; the next run of the schedule chooses anew.
            self._end_badly(system("retention"), erasure, Outcome.FAILURE, "interrupted")
        else:
            with contextlib.suppress(*REFUSALS):  # a hold that came meanwhile; it is recorded
                self._carry_out(system("retention"), erasure)

    # --- the steps

    def _intend(self, actor: Actor, erasure: Erasure) -> None:
        self._recorder.note(
            actor, ACTIONS[erasure.kind], Outcome.INTENT,
            entity=erasure.id, content=self._facts(actor, erasure),
        )  # fmt: skip

    def _carry_out(self, actor: Actor, erasure: Erasure) -> Erasure:
        if erasure.state != MARKED:
            try:
                erasure = self._custody.mark(erasure)
            except REFUSALS as error:
                self._end_badly(actor, erasure, Outcome.REFUSED, error.code)
                raise
        return self._destroy(actor, erasure)

    def _destroy(self, actor: Actor, erasure: Erasure) -> Erasure:
        try:
            keys = self._custody.destroy(erasure)
        except UnavailableError as error:
            raise UnavailableError(
                f"the content is closed, but its keys are not gone yet: {error.message}",
                hint="the appliance goes on by itself every minute until they are",
            ) from error
        facts = {
            **self._facts(actor, erasure),
            "conversations": erasure.conversations,
            "keys_destroyed": len(keys),
            **_named(keys),
        }
        action = ACTIONS[erasure.kind]
        seq = self._recorder.note(
            actor, action, Outcome.SUCCESS, entity=erasure.id, content=facts
        ).seq
        return self._custody.finish(erasure.id, seq)

    def _end_badly(self, actor: Actor, erasure: Erasure, outcome: Outcome, code: str) -> None:
        facts = {**self._facts(actor, erasure), "code": code}
        self._recorder.note(actor, ACTIONS[erasure.kind], outcome, entity=erasure.id, content=facts)
        self._custody.finish(erasure.id, None, void=True)

    def _facts(self, actor: Actor, erasure: Erasure) -> dict[str, Any]:
        facts: dict[str, Any] = {"basis": erasure.basis}
        if erasure.kind == ERASE:
            facts |= facts_of(Scope(erasure.scope, erasure.target))
        if actor.user != erasure.person:
            facts["requested_by"] = erasure.person
        return facts


def _named(keys: Sequence[str]) -> dict[str, Any]:
    if len(keys) <= MOST_NAMED:
        return {"keys": list(keys)}
    return {"keys_sha256": sha256("\n".join(keys).encode()).hex()}
