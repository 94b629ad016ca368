"""Where things lie inside the state folder: every name in one place.

Only sockets may lie outside it, in a folder that containers of several users share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Linux sockaddr_un.sun_path: 108 bytes with the final zero.
MAX_SOCKET_PATH = 107


@dataclass(frozen=True)
class Paths:
    """Where things lie inside the state folder (0700), and sockets that are shared elsewhere."""

    state: Path
    ledger_sockets: Path | None = None
    engine_sockets: Path | None = None

    @property
    def audit_db(self) -> Path:
        return self.state / "audit.db"

    @property
    def appliance_db(self) -> Path:
        return self.state / "appliance.db"

    @property
    def keys_db(self) -> Path:
        return self.state / "keys.db"

    @property
    def content_key(self) -> Path:
        return self.state / "keys" / "content.key"

    @property
    def content_lock(self) -> Path:
        return self.run / "content.lock"

    @property
    def library(self) -> Path:
        return self.state / "models"

    @property
    def trust(self) -> Path:
        return self.state / "trust"

    @property
    def tls(self) -> Path:
        return self.state / "tls"

    @property
    def staging(self) -> Path:
        return self.state / "staging"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def supervisor_lock(self) -> Path:
        return self.run / "run.lock"

    @property
    def ledger_socket(self) -> Path:
        return (self.ledger_sockets or self.run) / "ledger.sock"

    @property
    def engine_socket(self) -> Path:
        return (self.engine_sockets or self.run) / "engine.sock"

    @property
    def engines(self) -> Path:
        return (self.engine_sockets or self.run) / "engines"

    @property
    def activation_lock(self) -> Path:
        return self.run / "activation.lock"
