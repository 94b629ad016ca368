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
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse

from appliance import config as configuration
from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.clock import System
from appliance.identity import passwords
from appliance.identity.permissions import Actor
from appliance.identity.roles import ASSIGNABLE, Role
from appliance.operations import operations_for
from appliance.operations.imports import Imports
from appliance.operations.recording import Recorder
from appliance.web import create_app
from appliance.web.cookies import SESSION
from tests.simulators.bundle_forge import BundleForge, card_text
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.fresh_state import fresh_state
from tests.simulators.kept_folder import kept_folder
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


class Templates(BytecodeCache):
    """Compiled templates of all hospitals in a process; whose text changed is compiled anew."""

    def __init__(self) -> None:
        self.compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.compiled:
            bucket.bytecode_from_string(self.compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.compiled[bucket.key] = bucket.bytecode_to_string()


TEMPLATES = Templates()


class Clinic:
    """Everything behind one gateway; `browser(role)` is a person of that role, signed in.

    `made` is the state folder of a hospital that is closed, to begin with a copy of it.
    """

    def __init__(
        self, *, made: Path | None = None, answer_tokens: int = 1024, **gateway: Any
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="clinic-"))
        config = configuration.load(
            self.folder / "state", file=self.folder / "none", environment={}
        )
        self.config = replace(
            config,
            gateway=replace(config.gateway, **gateway),
            engine=replace(config.engine, max_answer_tokens=answer_tokens),
        )
        shutil.copytree(made or _with_people(), self.config.state)
        self.appliance = assemble(self.config, System())
        self.operations = operations_for(self.appliance)
        self.app = create_app(self.operations)
        self.app.jinja_env.bytecode_cache = TEMPLATES
        self.engine: subprocess.Popen[bytes] | None = None

    @classmethod
    def with_model(cls) -> Clinic:
        """Return a hospital with a model in its library that was brought in once."""
        return cls(made=_with_model())

    def person(self, name: str, role: Role) -> None:
        """Add an account with the password that all people of this hospital have."""
        _add_person(self.appliance, name, role)

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
        """Return a browser in which this person has signed in.

        The session is opened and recorded as `Sessions.sign_in` does once the password is right;
        hashing it is slow on purpose, and for tests of `Browser.sign_in` alone.
        """
        actor, browser = self.actor(name), Browser(self)
        recorder = Recorder(self.appliance.ledger)
        with recorder.change(actor, None, "session.open", actor.user):
            token = self.appliance.people.open_session(actor.user, actor.source)
        prefix = "__Host-" if self.config.gateway.behind_tls else ""
        browser.client.set_cookie(f"{prefix}{SESSION}", token)
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


def _add_person(appliance: Appliance, name: str, role: Role) -> None:
    appliance.people.add(name, role, _hashed(PASSWORD), name.title())


@functools.cache
def _with_people() -> Path:
    """Make a state folder with one person of each role, once in a process, to be copied."""
    folder = kept_folder()
    config = configuration.load(folder / "state", file=folder / "none", environment={})
    fresh_state(config, CONSOLE)
    appliance = assemble(config, System())
    for role in sorted(ASSIGNABLE):
        _add_person(appliance, str(role), role)
    appliance.close()
    return config.state


@functools.cache
def _with_model() -> Path:
    """Make one with a model besides."""
    clinic = Clinic()
    clinic.bring_model()
    clinic.appliance.close()
    state = kept_folder() / "state"
    shutil.move(clinic.config.state, state)
    clinic.close()
    return state


@functools.cache
def _hashed(password: str) -> str:
    """Hash a password once for all hospitals of a test run; argon2id is slow on purpose."""
    return passwords.hash_password(password)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
