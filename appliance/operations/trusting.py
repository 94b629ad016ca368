"""Whose model bundles are accepted: trust a publisher, follow its new keys, take trust back.

Guarantees: a first root counts only with the fingerprint that a person read off another channel,
a later one only when it follows from the trusted one by signatures; a publisher that lost trust
answers no question from that moment on, nor after a restart. Every change is recorded, and so is
each model that it takes out of use.
Not here: bundles (`imports`), what a root is and when it counts (`bundles/trust.py`).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.assembly import Appliance
from appliance.bundles import trust
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.states import State
from appliance.errors import ConflictError, NotFoundError
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations import floors
from appliance.operations.quarantining import Quarantining
from appliance.operations.reasons import reason_of
from appliance.operations.recording import Recorder, system

# A retired model answers nobody any more, and stays what it is.
OUT_OF_USE = frozenset({State.QUARANTINED, State.RETIRED})


@dataclass(frozen=True)
class Revoked:
    """A publisher that is trusted no more, and the models that were quarantined for it."""

    publisher: PublisherInfo
    models: tuple[ModelInfo, ...]


class Trusting:
    """What the person at the console decides about publishers."""

    def __init__(self, appliance: Appliance) -> None:
        self._library = appliance.library
        self._ledger = appliance.ledger
        self._recorder = Recorder(appliance.ledger)
        self._quarantining = Quarantining(appliance)

    def add(self, actor: Actor, name: str, root: bytes, fingerprint: str) -> PublisherInfo:
        """Accept a publisher whose root file has the SHA-256 that a person read off paper."""
        with self._recorder.change(
            # That of the file; what a person typed may be anything, and the record is for ever.
            actor, Permission.PUBLISHERS_TRUST, "publisher.trust",
            fingerprint=trust.fingerprint(root),
        ) as change:  # fmt: skip
            if trust.fingerprint(root) in floors.revoked(self._ledger):
                raise ConflictError(
                    "trust in this root was taken back here before, by the record",
                    hint="nothing was changed; ask the publisher for a newer root",
                )
            publisher = self._library.add_publisher(name, root, fingerprint, actor.user)
            change.entity = publisher.id
        return publisher

    def rotate(self, actor: Actor, name: str, roots: Mapping[str, bytes]) -> PublisherInfo:
        """Follow a publisher to its newest root without waiting for a bundle.

        `roots` maps names such as `2.root.json` to their bytes; each must follow from the one
        before it. Raises SignatureError, RollbackError, or ConflictError when none is newer.
        """
        with self._recorder.change(
            actor, Permission.PUBLISHERS_TRUST, "publisher.rotate"
        ) as change:
            publisher = self.named(name)
            change.entity = publisher.id
            if publisher.revoked is not None:
                raise ConflictError(
                    f"{name} is not trusted any more, so its keys are not followed",
                    hint="nothing was changed",
                )
            known = trust.reload(publisher.root)
            newest = trust.advance(known, roots)
            change.facts.update({"from": known.version, "to": newest.version})
            if newest.version == known.version:
                raise ConflictError(
                    f"root {known.version} of {name} is known, and none that follows it was given",
                    hint=f"nothing was changed; give the file {known.version + 1}.root.json",
                )
            self._library.keep_root(publisher.id, newest)
        return self.named(name)

    def stopping(self, actor: Actor, name: str) -> builtins.list[ModelInfo]:
        """Return the models that revoking this publisher would take out of use."""
        require(actor, Permission.MODELS_LIST)
        return self._of(self.named(name))

    def revoke(self, actor: Actor, name: str, reason: str) -> Revoked:
        """Accept nothing of this publisher any more, and quarantine its models at once.

        The row comes first: after a crash in between, `settle` quarantines the rest.
        """
        with self._recorder.change(
            actor, Permission.PUBLISHERS_TRUST, "publisher.revoke"
        ) as change:
            words = reason_of(reason)
            publisher = self.named(name)
            change.entity = publisher.id
            change.facts["reason"] = words
            publisher = self._library.revoke_publisher(publisher.id, actor.user)
            why = f"trust in its publisher {name} was taken back: {words}"
            stopped = [self._quarantining.take(actor, m, why) for m in self._of(publisher)]
            change.facts["models"] = [model.id for model in stopped]
        return Revoked(publisher, tuple(stopped))

    def catch_up(self) -> builtins.list[ModelInfo]:
        """Take out of use what the record says is so, and the database does not; return it.

        Called at each start: a database that was put back from an older backup knows nothing of
        what was revoked or quarantined since. Does nothing when the two agree.
        """
        gateway = system("gateway")
        gone = floors.revoked(self._ledger)
        for publisher in self._library.publishers():
            if publisher.revoked is None and publisher.root_sha256 in gone:
                with self._recorder.change(gateway, None, "publisher.revoke", publisher.id) as done:
                    done.facts["reason"] = "by the record, trust was taken back before"
                    self._library.revoke_publisher(publisher.id, gateway.user)
        taken = floors.out_of_use(self._ledger)
        return [
            self._quarantining.take(gateway, model, f"by the record: {taken[model.digest]}"[:1000])
            for model in self._library.models()
            if model.digest in taken and model.state not in OUT_OF_USE
        ]

    def settle(self) -> builtins.list[ModelInfo]:
        """Quarantine what publishers have withdrawn, or nobody vouches for; return those models.

        Called at each start and every minute: what an import began and a crash cut off is
        finished here. Does nothing when nothing is amiss.
        """
        gateway = system("gateway")
        return [self._quarantining.take(gateway, m, why) for m, why in self._library.withdrawn()]

    def named(self, name: str) -> PublisherInfo:
        """Return a publisher by its name here; raise NotFoundError."""
        for publisher in self._library.publishers():
            if publisher.name == name:
                return publisher
        raise NotFoundError(
            f"no publisher is called {name!r} here", hint="`appliance trust list` shows them"
        )

    def _of(self, publisher: PublisherInfo) -> builtins.list[ModelInfo]:
        models: Sequence[ModelInfo] = self._library.models()
        return [m for m in models if m.publisher == publisher.id and m.state not in OUT_OF_USE]

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self, actor: Actor) -> builtins.list[PublisherInfo]:
        """Return every publisher there ever was, by name; `revoked` says which count no more."""
        require(actor, Permission.MODELS_LIST)
        return self._library.publishers()
