"""A small hospital: real state folder, real record, real engine with a tiny model, real gateway.

The gateway runs in this process, so that a test can look at the record beside it; the engine is a
process of its own, as it always is. The model came in through a signed bundle and two people.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from appliance import config as configuration
from appliance.assembly import assemble
from appliance.audit.query import Query
from appliance.clock import System
from appliance.identity import passwords
from appliance.identity.permissions import Actor
from appliance.identity.roles import ASSIGNABLE, Role
from appliance.operations import operations_for
from appliance.operations.imports import Imports
from appliance.operations.setup import initialise
from appliance.web import create_app
from tests.simulators.bundle_forge import BundleForge, card_text
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.tiny_gguf import TEMPLATE, write_tiny_gguf

CONSOLE = Actor("os:test", "test", Role.CONSOLE, "console", None, "console")
PASSWORD = "correct horse battery staple"
CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
ONCE = re.compile(r'name="once" value="([^"]+)"')
ENGINE_WITHIN_S = 60.0


class Quiet(WSGIRequestHandler):
    """Serves without printing every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Clinic:
    """Everything behind one gateway; `browser(role)` is a person of that role, signed in."""

    def __init__(self, *, answer_tokens: int = 1024, **gateway: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clinic-"))
        config = configuration.load(
            self.folder / "state", file=self.folder / "none", environment={}
        )
        self.config = replace(
            config,
            gateway=replace(config.gateway, **gateway),
            engine=replace(config.engine, max_answer_tokens=answer_tokens),
        )
        initialise(self.config, CONSOLE)
        self.appliance = assemble(self.config, System())
        self.operations = operations_for(self.appliance)
        self.app = create_app(self.operations)
        self.engine: subprocess.Popen[bytes] | None = None
        for role in sorted(ASSIGNABLE):
            self.person(str(role), role)

    def person(self, name: str, role: Role) -> None:
        """Add an account with the password that all people of this hospital have."""
        self.appliance.people.add(name, role, _hashed(PASSWORD), name.title())

    def bring_model(
        self,
        name: str = "tiny",
        version: str = "1.0",
        *,
        card: str = "",
        context: int = 2048,
        template: str = TEMPLATE,
        approve: bool = True,
    ) -> None:
        """Import a tiny model through a signed bundle; let a second person agree."""
        forge = BundleForge(self.folder / f"desk-{name}-{version}")
        source = forge.add_model(name, version)
        write_tiny_gguf(source.gguf, sum(name.encode()), context=context, template=template)
        source.card.write_text(card_text(name, version, demo=True) + card)
        bundle = forge.good(expires=datetime.now().astimezone() + timedelta(days=30))
        root = (bundle / "metadata" / "1.root.json").read_bytes()
        self.operations.trusting.add(CONSOLE, f"publisher of {name}", root, _sha256(root))
        Imports(self.appliance, None).import_bundle(CONSOLE, [bundle])
        if not approve:
            return
        mark_evaluated(self.appliance, self.appliance.library.by_name(name, version))
        self.operations.models.approve(self.actor("approver"), name, version)
        # Not through `activation`: it wakes the engine, which is not running yet.
        self.appliance.library.set_active(self.appliance.library.by_name(name, version).id)

    def actor(self, name: str) -> Actor:
        user = self.appliance.people.by_name(name)
        assert user is not None
        return Actor(user.id, user.name, Role(user.role), "password", None, "127.0.0.1")

    def start_engine(self) -> None:
        """Start the real engine on the library of this state folder."""
        longest = str(self.config.engine.max_answer_tokens)
        settings = {
            "APPLIANCE_ENGINE__THREADS": "1",
            "APPLIANCE_ENGINE__MAX_ANSWER_TOKENS": longest,
        }
        program = [sys.executable, "-P", "-m", "appliance.cli.main"]
        with (self.folder / "engine.log").open("wb") as log:
            self.engine = subprocess.Popen(
                [*program, "--state", str(self.config.state), "serve", "engine"],
                env={**os.environ, **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + ENGINE_WITHIN_S
        while self.appliance.engine.status().state != "ready":
            if time.monotonic() > deadline:
                raise AssertionError((self.folder / "engine.log").read_text())
            time.sleep(0.05)

    def browser(self, name: str) -> Browser:
        """Return a browser in which this person has signed in."""
        browser = Browser(self)
        browser.sign_in(name)
        return browser

    @contextlib.contextmanager
    def served(self) -> Iterator[str]:
        """Serve the gateway on a free loopback port while the block runs; yield its address."""
        server = make_server("127.0.0.1", 0, self.app, threaded=True, request_handler=Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def key(self, name: str = "clinician") -> str:
        """Return a fresh API key of this person."""
        _, secret = self.operations.people.create_key(self.actor(name), name, "test")
        return secret

    def record(self, **filters: Any) -> list[dict[str, Any]]:
        """Return matching entries of the record, newest first."""
        return list(self.appliance.ledger.search(Query(**filters, limit=1000)).entries)

    def head(self) -> int:
        """Return how many entries the record has."""
        return self.appliance.ledger.head().size

    def close(self) -> None:
        self.operations.asking.shutdown()
        self.appliance.close()
        if self.engine is not None:
            self.engine.send_signal(signal.SIGTERM)
            self.engine.wait(ENGINE_WITHIN_S)
        shutil.rmtree(self.folder)


class Browser:
    """A browser as far as the gateway can tell: cookies, forms with their tokens, fetch headers."""

    def __init__(self, clinic: Clinic) -> None:
        self.client: FlaskClient = clinic.app.test_client()

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.submit("/sign-in", {"name": name, "password": password}, page="/sign-in")

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def submit(
        self, path: str, fields: Mapping[str, Any] | None = None, *, page: str = "/account",
        **options: Any,
    ) -> TestResponse:  # fmt: skip
        """Send a form as the page that has it would, with that page's token."""
        shown = self.client.get(page, follow_redirects=True).get_data(as_text=True)
        token = CSRF.search(shown)
        assert token is not None, f"{page} has no form"
        once = ONCE.search(shown)
        sent = {"csrf": token[1], "once": once[1] if once else "", **(fields or {})}
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": "null", **options.pop("headers", {})}
        return self.client.post(path, data=sent, headers=headers, **options)


@functools.cache
def _hashed(password: str) -> str:
    """Hash a password once for all hospitals of a test run; argon2id is slow on purpose."""
    return passwords.hash_password(password)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
