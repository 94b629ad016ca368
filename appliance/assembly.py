"""`assemble(config) -> Appliance`: the only place where the parts are built and joined.

Nothing here decides or records. Whoever wants something done goes through `operations`.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.audit.access import open_ledger
from appliance.audit.ledger import Ledger
from appliance.bundles.activations.store import Activations
from appliance.bundles.evaluations.store import Evaluations
from appliance.bundles.library import Library
from appliance.bundles.pins.store import Pins
from appliance.bundles.staging import KEEP_FREE_BYTES
from appliance.clock import Clock, System
from appliance.config import Config
from appliance.conversations.keys.store import KeyRing
from appliance.conversations.store import Conversations
from appliance.database import Database
from appliance.errors import NotInitialisedError
from appliance.identity.searches.store import Searches
from appliance.identity.store import People
from appliance.inference.engine import Engine
from appliance.inference.engine_choice import choose_engine
from appliance.inference.safe_text import Writing
from appliance.llama.rendering import RefusedByTemplateError, Renderer
from appliance.llama.text import Neutraliser
from appliance.sealing import KeyWrapper

# One way to write a prompt, whichever engine reads it. Neither part loads llama.cpp.
WRITING = Writing(Neutraliser, Renderer, RefusedByTemplateError)


@dataclass(frozen=True)
class Appliance:
    """Every part, ready to use; close it when done."""

    config: Config
    clock: Clock
    ledger: Ledger
    people: People
    searches: Searches
    conversations: Conversations
    library: Library
    activations: Activations
    pins: Pins
    evaluations: Evaluations
    engine: Engine
    databases: tuple[Database, Database]

    def close(self) -> None:
        """Release files and connections; what was acknowledged is durable already."""
        self.engine.close()
        self.ledger.close()
        for database in self.databases:
            database.close()


def assemble(config: Config, clock: Clock | None = None, ledger: Ledger | None = None) -> Appliance:
    """Join the parts over an initialised state folder.

    Without `ledger`, the running ledger is used, or the record is opened in this process when
    none runs. The gateway passes its client, so that it can never take the record for itself.

    Raises NotInitialisedError when the folder or a part of it is missing, and
    VerificationError when the record or a key was altered.
    """
    paths = config.paths
    if not paths.state.is_dir():
        raise NotInitialisedError(f"there is no state folder {paths.state}")
    clock = clock or System()
    wrapper = KeyWrapper.from_file(paths.content_key)
    main, keys = Database(paths.appliance_db), Database(paths.keys_db)
    main.migrate("appliance")
    keys.migrate("keys")
    conversations = Conversations(main, keys, wrapper, clock)
    conversations.check_key()
    return Appliance(
        config=config,
        clock=clock,
        ledger=ledger or open_ledger(paths, config, clock),
        people=People(main, clock, config.gateway),
        searches=Searches(main, KeyRing(keys, wrapper, clock), clock),
        conversations=conversations,
        library=Library(
            main,
            paths.library,
            paths.staging,
            clock,
            # The record takes its reserve again only where twice as much is free.
            keep_free=KEEP_FREE_BYTES + 2 * config.ledger.reserve_bytes,
        ),
        activations=Activations(main),
        pins=Pins(main),
        evaluations=Evaluations(main),
        engine=choose_engine(
            config.engine,
            library=paths.library,
            control=paths.engine_socket,
            sockets=paths.engines,
            writing=WRITING,
        ),
        databases=(main, keys),
    )
