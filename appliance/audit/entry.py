"""One entry of the record: what is stated, how it is encoded, how it is hashed (pure).

An `Event` is what a caller states. The ledger turns it into an entry by adding version, log,
sequence number, time, boot and the hash of the entry before. The bytes are RFC 8785 JSON of at
most 65,535 bytes; a leaf hash is SHA-256(0x00 ‖ entry) as in RFC 9162 section 2.1.1.

Not here: text. `content` holds digests of ciphertext and key commitments only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance import canonical
from appliance.audit.actions import ACTIONS, Outcome
from appliance.errors import BadInputError, TooLargeError

VERSION = 1
MAX_BYTES = 65_535
LEAF_PREFIX = b"\x00"
GENESIS = bytes(32)
FIELDS = (
    "v", "log", "seq", "t", "boot", "mono", "prev", "type", "action", "outcome", "agent",
    "source", "entity", "purpose", "model", "tokens", "latency_ms", "policy", "content",
)  # fmt: skip


@dataclass(frozen=True)
class Agent:
    """Who did it: one person or one part of the system, never a shared account."""

    user: str
    role: str
    method: str
    credential: str | None = None


@dataclass(frozen=True)
class ModelRef:
    """Which weights: name, version and the SHA-256 of the file in hex."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Event:
    """What a caller states; the ledger adds the rest.

    `tokens` counts {"prompt": n, "answer": n}; `policy` names the rule that decided;
    `content` is a JSON object of commitments (see `sealing.Sealed.for_record`) or facts that
    are not content, such as a count, a file format or an error code.
    """

    action: str
    outcome: Outcome
    agent: Agent
    source: str | None = None
    entity: str | None = None
    purpose: str | None = None
    model: ModelRef | None = None
    tokens: Mapping[str, int] | None = None
    latency_ms: int | None = None
    policy: str | None = None
    content: Mapping[str, Any] | None = field(default=None, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the stated fields; absent ones are null, so that every entry has all fields."""
        return {
            "action": self.action,
            "outcome": str(self.outcome),
            "agent": vars(self.agent),
            "source": self.source,
            "entity": self.entity,
            "purpose": self.purpose,
            "model": None if self.model is None else vars(self.model),
            "tokens": None if self.tokens is None else dict(self.tokens),
            "latency_ms": self.latency_ms,
            "policy": self.policy,
            "content": None if self.content is None else dict(self.content),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Event:
        """Read what `to_json` wrote; raise BadInputError on anything else."""
        try:
            event = cls(
                **{
                    **value,
                    "outcome": Outcome(value["outcome"]),
                    "agent": Agent(**value["agent"]),
                    "model": None if value["model"] is None else ModelRef(**value["model"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"not an event: {error}") from error
        event._check_types()
        return event

    def _check_types(self) -> None:
        # Annotations bind nobody who sends JSON; a number in a text field would be recorded.
        agent, model = self.agent, self.model
        texts = [self.action, agent.user, agent.role, agent.method]
        maybe = [agent.credential, self.source, self.entity, self.purpose, self.policy]
        if model is not None:
            texts += [model.name, model.version, model.digest]
        counts = [] if self.tokens is None else list(_mapping(self.tokens, "tokens").values())
        if self.latency_ms is not None:
            counts.append(self.latency_ms)
        if self.content is not None:
            _mapping(self.content, "content")
        texts += [text for text in maybe if text is not None]
        if not all(type(text) is str for text in texts):
            raise BadInputError("not an event: a text field holds something else")
        if not all(type(count) is int and count >= 0 for count in counts):
            raise BadInputError("not an event: a count is not a whole number of 0 or more")


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInputError(f"not an event: {name} is not an object")
    return value


@dataclass(frozen=True)
class Position:
    """Where and when an entry stands: everything the ledger adds to an event.

    `seq` counts from 0. `t` is RFC 3339 UTC. `mono` is monotonic microseconds within the boot
    named by `boot` (nanoseconds would pass 2^53 after 104 days of uptime). `prev` is the leaf
    hash of the entry before (32 zero bytes before the first).
    """

    log: str
    seq: int
    t: str
    boot: str
    mono: int
    prev: bytes


def encode(event: Event, position: Position) -> bytes:
    """Return the entry's bytes, exactly as they are stored and hashed."""
    category = ACTIONS.get(event.action)
    if category is None:
        raise BadInputError(f"{event.action} is not in the list of actions")
    data = canonical.encode(
        {
            "v": VERSION,
            "log": position.log,
            "seq": position.seq,
            "t": position.t,
            "boot": position.boot,
            "mono": position.mono,
            "prev": position.prev.hex(),
            "type": str(category),
            **event.to_json(),
        }
    )
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"an entry may have {MAX_BYTES} bytes, this one has {len(data)}")
    return data


def leaf_hash(data: bytes) -> bytes:
    """Return the 32-byte leaf hash of an entry's bytes."""
    return canonical.sha256(LEAF_PREFIX, data)
