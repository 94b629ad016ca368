"""Whether the program at the other end is still there, while it waits for a whole answer.

gunicorn hands its socket to the application; a caller that hung up makes it readable with
nothing to read. Where no socket is offered (other servers, tests), nobody ever hangs up.
"""

from __future__ import annotations

import select
import socket

from flask import request


def has_hung_up() -> bool:
    """Tell whether the caller has closed the connection."""
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
