"""Tells by its exit code whether a program in this container answers its health page.

Usage: healthy.py PATH_OF_SOCKET, or healthy.py PORT [PAGE]. A gateway whose model is still loading
is well: it says 503 for the whole and names itself ok. Not here: whether a model answers.
"""

import http.client
import json
import socket
import sys

TIMEOUT_S = 4


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def is_well(place: str, page: str = "/healthz") -> bool:
    """Ask the health page at a socket's path or a port of this container."""
    if place.isdigit():
        connection = http.client.HTTPConnection("127.0.0.1", int(place), timeout=TIMEOUT_S)
    else:
        connection = UnixConnection(place)
    connection.request("GET", page)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status < 300:
        return True
    parts = json.loads(body).get("parts", {})
    return parts.get("gateway") == "ok" and parts.get("ledger") == "ok"


if __name__ == "__main__":
    try:
        sys.exit(0 if is_well(*sys.argv[1:3]) else 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"no answer: {type(error).__name__}")
        sys.exit(1)
