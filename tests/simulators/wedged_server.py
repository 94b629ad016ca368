"""A stand-in for a model's process that answers /status and never writes a token.

Simulated, because a real worker cannot be made to hang from outside: the threads of one process
stop all together. It speaks the wire of a model's process over a Unix socket, counts steps only
while `steps_grow`, and counts the questions that it leaves without an answer.
"""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

SIGN_OF_LIFE_S = 0.05


class Wedged:
    """One such process as its parent sees it, in threads of this one; see `ModelProcess`."""

    def __init__(self, socket: Path, digest: str, *, steps_grow: bool) -> None:
        self.digest, self.steps_grow = digest, steps_grow
        self.asked = 0
        self.steps = 1
        self.ending = threading.Event()
        outer = self

        class Handler(_Handler):
            wedged = outer

        self._server = _Server(str(socket), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def status(self) -> dict[str, Any]:
        self.steps += self.steps_grow
        return {
            "state": "ready", "digest": self.digest, "context_tokens": 512,
            "running": 1, "waiting": 0, "steps": self.steps,
        }  # fmt: skip

    def end(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    wedged: Wedged

    def do_GET(self) -> None:
        body = json.dumps(self.wedged.status()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wedged.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            while not self.wedged.ending.wait(SIGN_OF_LIFE_S):
                self.wfile.write(b": working\n\n")
        except OSError:
            return

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        pass
