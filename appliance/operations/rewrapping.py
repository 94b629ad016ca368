"""A new key-encryption key: everything wrapped is wrapped anew, then the old key is destroyed.

Steps: 1. plan and intent, 2. the new key in a file beside the old one, 3. every row of keys.db
wrapped anew in one transaction that also states the new key's id, 4. the new file in the old
one's place, the old bytes overwritten, 5. the outcome. Until 4 is over both files are there, so a
crash at any point leaves one that fits; `resume` goes on. A gateway that runs meanwhile notices
the new id with its next reading of a key and loads the new file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance import durable
from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.conversations.erasures.store import REWRAP, Erasure
from appliance.conversations.retention import ALL, Scope
from appliance.errors import ConflictError
from appliance.identity.permissions import Actor, Permission
from appliance.operations.alone import alone, traces
from appliance.operations.recording import Recorder, system
from appliance.sealing import KeyWrapper, next_file, replace_file

ACTION = "content.rewrap"


@dataclass(frozen=True)
class Rewrapped:
    """How many secrets are wrapped under the key `key`, which took the place of `replaced`."""

    rows: int
    key: str
    replaced: str


class Rewrapping:
    """Replaces the key-encryption key."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._custody = appliance.conversations.custody
        self._keys = appliance.conversations.keys
        self._recorder = Recorder(appliance.ledger)

    def rewrap(self, actor: Actor) -> Rewrapped:
        """Replace the key; raises UnavailableError when it will be finished by itself later."""
        self._recorder.authorise(actor, Permission.RETENTION, ACTION)
        with alone(self._appliance):
            self._finish_all()
            old = self._keys.wrapped_under()
            job = self._custody.plan(REWRAP, Scope(ALL), old, actor.user)
            self._recorder.note(
                actor, ACTION, Outcome.INTENT, entity=job.id, content={"replaced": old}
            )
            path = self._appliance.config.paths.content_key
            KeyWrapper.create_file(next_file(path))
            self._keys.rewrap(KeyWrapper.from_file(next_file(path)))
            return self._complete(actor, job)

    def resume(self) -> int:
        """Finish what a crash cut off; return how many replacements that were."""
        if not self._open():
            return 0
        try:
            with alone(self._appliance, wait_s=0):
                return self._finish_all()
        except ConflictError:
            return 0

    def _open(self) -> list[Erasure]:
        return [job for job in self._custody.unfinished() if job.kind == REWRAP]

    def _finish_all(self) -> int:
        jobs = self._open()
        for job in jobs:
            self._finish(job)
        return len(jobs)

    def _finish(self, job: Erasure) -> None:
        actor, path = system("retention"), self._appliance.config.paths.content_key
        ends = [
            entry["seq"]
            for entry in traces(self._appliance, job.id)
            if entry["outcome"] != Outcome.INTENT
        ]
        if ends:
            self._custody.finish(job.id, min(ends))
        elif self._keys.wrapped_under() != job.basis:
            self._keys.rebuild()
            self._complete(actor, job)
        else:
            durable.destroy(next_file(path))
            if traces(self._appliance, job.id):
                self._recorder.note(
                    actor, ACTION, Outcome.FAILURE,
                    entity=job.id, content={"replaced": job.basis, "code": "interrupted"},
                )  # fmt: skip
            self._custody.finish(job.id, None, void=True)

    def _complete(self, actor: Actor, job: Erasure) -> Rewrapped:
        replace_file(self._appliance.config.paths.content_key)
        self._keys.check()
        done = Rewrapped(self._keys.count(), self._keys.wrapped_under(), job.basis)
        facts: dict[str, Any] = {"rows": done.rows, "key": done.key, "replaced": done.replaced}
        if actor.user != job.person:
            facts["requested_by"] = job.person
        seq = self._recorder.note(actor, ACTION, Outcome.SUCCESS, entity=job.id, content=facts).seq
        self._custody.finish(job.id, seq)
        return done
