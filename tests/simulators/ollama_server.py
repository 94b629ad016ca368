"""A real Ollama without a network beside this machine, and a proxy that notes what it is asked."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.simulators.peers import Peer, peer


class OllamaServer(Peer):
    """Holds no model when it starts."""

    def start(self, *, slots: int = 2) -> Self:
        environment = {
            "OLLAMA_HOST": f"127.0.0.1:{self.port}",
            "OLLAMA_MODELS": str(self.folder / "ollama"),
            "OLLAMA_NUM_PARALLEL": str(slots),
            "OLLAMA_NOPRUNE": "1",
            "OLLAMA_REMOTES": "nowhere.invalid",
        }
        self.launch([peer("ollama"), "serve"], environment, "/api/version")
        return self


@contextmanager
def recording_proxy(port: int) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """Yield an address that passes everything on to `port`, and the list of what was asked."""
    asked: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self._body()
            asked.append((self.command, self.path, body))
            onward = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            kind = self.headers.get("Content-Type", "application/json")
            onward.request(self.command, self.path, body, {"Content-Type": kind})
            answer = onward.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            onward.close()

        do_POST = do_HEAD = do_DELETE = do_PUT = do_GET  # noqa: N815 - as the base class names them

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
