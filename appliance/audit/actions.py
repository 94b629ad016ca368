"""The closed list of what can be recorded: `noun.verb`, each with its class.

An action that is not listed cannot be appended, so the list is the whole vocabulary that an
auditor has to learn. Names are never reused for another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Outcome(StrEnum):
    """How an event ended; `intent` is written before the thing is done."""

    INTENT = "intent"
    SUCCESS = "success"
    REFUSED = "refused"
    FAILURE = "failure"


class Category(StrEnum):
    """The class of an action; becomes the `type` of an entry and of a FHIR AuditEvent."""

    ANSWER = "answer"
    CONTENT = "content"
    IDENTITY = "identity"
    MODEL = "model"
    RECORD = "record"
    SYSTEM = "system"


ACTIONS: Mapping[str, Category] = {
    # A question and its one outcome.
    "answer.request": Category.ANSWER,
    "answer.complete": Category.ANSWER,
    "answer.stop": Category.ANSWER,
    "answer.fail": Category.ANSWER,
    "answer.refuse": Category.ANSWER,
    # Texts that a program had turned into vectors, and the one outcome of that.
    "embedding.request": Category.ANSWER,
    "embedding.complete": Category.ANSWER,
    "embedding.fail": Category.ANSWER,
    "embedding.refuse": Category.ANSWER,
    # What a person does with stored content.
    "conversation.read": Category.CONTENT,
    "conversation.search": Category.CONTENT,
    "conversation.rename": Category.CONTENT,
    "conversation.archive": Category.CONTENT,
    "conversation.restore": Category.CONTENT,
    # Keys of content destroyed on request or by schedule, kept from that, or wrapped anew.
    "content.erase": Category.CONTENT,
    "content.purge": Category.CONTENT,
    "content.hold": Category.CONTENT,
    "content.release": Category.CONTENT,
    "content.rewrap": Category.CONTENT,
    # People and what they sign in with.
    "session.open": Category.IDENTITY,
    "session.close": Category.IDENTITY,
    "session.expire": Category.IDENTITY,
    "session.refuse": Category.IDENTITY,
    "session.lock": Category.IDENTITY,
    "user.add": Category.IDENTITY,
    "user.disable": Category.IDENTITY,
    "user.enable": Category.IDENTITY,
    "user.unlock": Category.IDENTITY,
    "user.reset": Category.IDENTITY,
    "user.list": Category.IDENTITY,
    "password.change": Category.IDENTITY,
    "key.create": Category.IDENTITY,
    "key.revoke": Category.IDENTITY,
    "key.list": Category.IDENTITY,
    "key.refuse": Category.IDENTITY,
    # Weights on their way to an answer.
    "publisher.trust": Category.MODEL,
    "publisher.rotate": Category.MODEL,
    "publisher.revoke": Category.MODEL,
    "bundle.import": Category.MODEL,
    "bundle.step": Category.MODEL,
    "bundle.verify": Category.MODEL,
    "bundle.inspect": Category.MODEL,
    "model.evaluate": Category.MODEL,
    "model.validation": Category.MODEL,
    "model.approve": Category.MODEL,
    "model.activate": Category.MODEL,
    "model.rollback": Category.MODEL,
    "model.pin": Category.MODEL,
    "model.unpin": Category.MODEL,
    "model.retire": Category.MODEL,
    "model.export": Category.MODEL,
    "model.quarantine": Category.MODEL,
    "model.load": Category.MODEL,
    "model.release": Category.MODEL,
    # What another server's API would let a program do to models: always refused.
    "model.manage": Category.MODEL,
    # Reading and proving the record is itself recorded.
    "record.read": Category.RECORD,
    "record.verify": Category.RECORD,
    "record.export": Category.RECORD,
    "record.prove": Category.RECORD,
    "record.checkpoint": Category.RECORD,
    "record.anchor": Category.RECORD,
    "record.witness": Category.RECORD,
    # An entry is never changed; a later one may correct it.
    "record.correct": Category.RECORD,
    "search.save": Category.RECORD,
    "search.delete": Category.RECORD,
    # The record's own life: a new key each day, old prefixes let go, schedules.
    "record.epoch": Category.RECORD,
    "record.prune": Category.RECORD,
    "retention.plan": Category.RECORD,
    "retention.apply": Category.RECORD,
    # The machine.
    "appliance.init": Category.SYSTEM,
    # The edge's certificate, and whether there is a way out.
    "certificate.request": Category.SYSTEM,
    "certificate.install": Category.SYSTEM,
    "airgap.check": Category.SYSTEM,
    "engine.restart": Category.SYSTEM,
    "appliance.start": Category.SYSTEM,
    "appliance.stop": Category.SYSTEM,
    "disk.full": Category.SYSTEM,
    "request.refuse": Category.SYSTEM,
}
