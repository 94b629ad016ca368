"""A small state folder with some conversations in it, for tests of erasing and keeping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.assembly import Appliance, assemble
from appliance.audit.actions import Outcome
from appliance.audit.query import Query
from appliance.cli.actor import console_actor
from appliance.config import Config, load
from appliance.conversations.store import ModelUsed
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.recording import Recorder
from tests.simulators.fresh_state import fresh_state
from tests.simulators.manual_clock import ManualClock

MODEL = ModelUsed("demo", "1.0", "ab" * 32)
PROMPT, ANSWER = "Xyloprompt", "Xyloanswer"


@dataclass
class House:
    """An open state folder. `clock` stands still until a test moves it."""

    config: Config
    clock: ManualClock
    appliance: Appliance
    verbs: Operations

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        """Return matching entries, oldest first."""
        page = self.appliance.ledger.search(Query(**filters, limit=1000))
        return list(reversed(page.entries))

    def person(self, name: str, role: Role = Role.CLINICIAN) -> Actor:
        """Return a person with an account."""
        user = self.appliance.people.by_name(name)
        if user is None:
            user = self.appliance.people.add(name, role, "$argon2id$not-used")
        return Actor(user.id, name, role, "password", None, "127.0.0.1")

    def asked(
        self, actor: Actor, reference: str | None = None, origin: str = "chat"
    ) -> tuple[str, int]:
        """Have a question answered as `asking` would; return conversation and outcome's entry."""
        store, recorder = self.appliance.conversations, Recorder(self.appliance.ledger)
        subject = store.subjects.ensure(reference) if reference else None
        made, turn = store.begin(actor.user, "Xylotitle", origin, PROMPT, MODEL, subject)
        facts = {} if subject is None else {"subject": subject}
        content = {"question": turn.sealed_question.for_record(), **facts}
        seq = recorder.note(
            actor, "answer.request", Outcome.INTENT, entity=turn.answer_id, content=content
        ).seq
        sealed = store.finish(turn.answer_id, state="complete", text=ANSWER, intent_seq=seq)
        content = {"answer": sealed.for_record(), "request": seq, **facts}
        end = recorder.note(
            actor, "answer.complete", Outcome.SUCCESS, entity=turn.answer_id, content=content
        ).seq
        store.set_outcome(turn.answer_id, end)
        return made, end

    def erased(self, actor: Actor) -> list[str]:
        """Return the ids of this person's conversations that were erased."""
        found = self.appliance.conversations.list(actor.user)
        return [item.id for item in found if item.erased]


def made(folder: Path, **settings: str) -> Config:
    """Make a fresh state folder."""
    config = load(folder / "state", file=folder / "none", environment=settings)
    fresh_state(config, console_actor())
    return config


@contextmanager
def opened(config: Config, clock: ManualClock | None = None) -> Iterator[House]:
    """Open a state folder with a clock of its own."""
    clock = clock or ManualClock()
    appliance = assemble(config, clock)
    try:
        yield House(config, clock, appliance, operations_for(appliance))
    finally:
        appliance.close()


def everything_in(folder: Path) -> bytes:
    """Return all bytes of all files; only when nothing is open there (POSIX locks)."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
