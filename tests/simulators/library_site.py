"""A hospital's library beside a publisher's desk: real bundles, a real record, no engine.

Quick, for tests of what people decide about models. Not here: browsers and answers (`clinic`).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.bundles.inventory import ModelInfo
from appliance.config import load
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import operations_for
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.fresh_state import fresh_state
from tests.simulators.known_forge import KnownForge

PUBLISHER = "acme"
CONSOLE = Actor("os:root", "root", Role.CONSOLE, "console", None, "console")
EXPIRES = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(days=30)


def person(role: Role, name: str = "") -> Actor:
    """Return somebody who has signed in."""
    who = name or str(role)
    return Actor(f"usr_{who}", who, role, "password", None, "127.0.0.1")


STEWARD, APPROVER = person(Role.STEWARD), person(Role.APPROVER)


class LibrarySite:
    """One state folder; `bring` lets the steward import a further model of the publisher."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="library-"))
        config = load(self.folder / "state", file=self.folder / "none", environment={})
        fresh_state(config, CONSOLE)
        self.appliance = assemble(config)
        self.verbs = operations_for(self.appliance)
        self.library = self.appliance.library
        self.forge = KnownForge(self.folder / "desk")
        self.bundles = 0

    def trust(self) -> None:
        """Trust the publisher, as a person with the paper in hand would."""
        root = self.forge.roots[0]
        self.verbs.trusting.add(CONSOLE, PUBLISHER, root, hashlib.sha256(root).hexdigest())

    def bundle(self) -> Path:
        """Build the publisher's next bundle, with everything that lies on its desk."""
        self.bundles += 1
        return self.forge.good(f"bundle-{self.bundles}", version=self.bundles, expires=EXPIRES)

    def take(self, bundle: Path, by: Actor = STEWARD) -> None:
        """Import a bundle without evaluating what it brings."""
        self.library.import_bundle([bundle], self.appliance.clock.now(), by.user)

    def bring(
        self, name: str = "tiny", version: str = "1.0", *, seed: int = 0, epoch: int = 1,
        template: str | None = None, by: Actor = STEWARD,
    ) -> ModelInfo:  # fmt: skip
        """Put a model on the desk and import the bundle with it."""
        source = self.forge.add_model(name, version, seed=seed, epoch=epoch)
        if template is not None:
            path = source.gguf.with_name("chat_template.jinja")
            path.write_text(template)
            self.forge.models[-1] = type(source)(
                source.gguf, source.card, source.prompts, template=path, security_epoch=epoch
            )
        if not self.verbs.trusting.list(CONSOLE):
            self.trust()
        self.take(self.bundle(), by)
        return self.library.by_name(name, version)

    def agree(self, model: ModelInfo, *, activate: bool = False) -> ModelInfo:
        """Let the second person agree; with `activate`, let it be the one that answers."""
        mark_evaluated(self.appliance, model)
        self.verbs.models.approve(APPROVER, model.name, model.version)
        if activate:
            self.verbs.activation.activate(APPROVER, model.name, model.version)
        return self.library.get(model.id)

    def record(self, action: str) -> list[dict[str, Any]]:
        """Return what the record has of an action, oldest first."""
        return list(reversed(self.appliance.ledger.search(Query(action=action)).entries))

    def close(self) -> None:
        self.appliance.close()
        shutil.rmtree(self.folder)
