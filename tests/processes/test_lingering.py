"""Clients that are told goodbye and do not hang up."""

from __future__ import annotations

import socket

from appliance.cli.lingering import MOST_IN_A_ROW
from tests.simulators.stack import Stack

KEPT = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
# One alone would hold the door for two seconds, so all of these for over half a minute.
STUBBORN = 20
PATIENCE_S = 10.0


def asked(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    client.sendall(REQUEST)
    return client


def answer_of(client: socket.socket) -> bytes:
    """Read to the end, and stay on the line."""
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def test_clients_that_do_not_hang_up_do_not_shut_the_door(stack: Stack) -> None:
    """However many stay on the line after their answer, the others are answered at once."""
    clients = [asked(stack.port) for _ in range(STUBBORN)]
    assert all(b'"parts"' in answer_of(client) for client in clients)
    for client in clients:
        client.close()


def test_a_kept_connection_is_answered_however_often_it_asks(stack: Stack) -> None:
    """The thread that stays with it lets go of it in between, and no request is lost."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE_S) as client:
        for _ in range(2 * MOST_IN_A_ROW):
            client.sendall(KEPT)
            received = b""
            while b'"parts"' not in received or not received.endswith(b"}\n"):
                received += client.recv(65_536)
            assert received.startswith(b"HTTP/1.1 200 ")
        client.sendall(REQUEST)
        assert b'"parts"' in answer_of(client)
