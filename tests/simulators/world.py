"""The world outside of a container: TCP ports that accept, and a name server that knows all.

Usage: world.py tcp:ADDRESS:PORT dns:ADDRESS:PORT ...   prints `ready` when all of them stand
Every name that is asked for has the address 10.9.0.9; the root's name servers are one record.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

NEIGHBOUR = bytes([10, 9, 0, 9])
A, NS = 1, 2


def _answer(question: bytes) -> bytes:
    number = question[:2]
    body = question[12:]
    kind = struct.unpack(">H", body[-4:-2])[0]
    head = struct.pack(">HHHHH", 0x8180, 1, 1 if kind in {A, NS} else 0, 0, 0)
    data = NEIGHBOUR if kind == A else b"\x01a\x00"
    record = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
    return number + head + body + (record if kind in {A, NS} else b"")


def _serve_names(server: socket.socket) -> None:
    while True:
        question, sender = server.recvfrom(4_096)
        server.sendto(_answer(question), sender)


def _accept(server: socket.socket) -> None:
    while True:
        server.accept()[0].close()


def main() -> None:
    for word in sys.argv[1:]:
        kind, _, place = word.partition(":")
        address, _, port = place.rpartition(":")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if kind == "tcp":
            server = socket.create_server((address, int(port)), family=family)
            threading.Thread(target=_accept, args=(server,), daemon=True).start()
        else:
            server = socket.socket(family, socket.SOCK_DGRAM)
            server.bind((address, int(port)))
            threading.Thread(target=_serve_names, args=(server,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
