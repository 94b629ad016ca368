"""Connections on their way out, kept away from the thread that lets others in.

gunicorn's threaded worker waits up to two seconds, on its accepting thread, for each client that
was told goodbye and does not hang up (RFC 9112, 9.6). A handful of such clients would shut the
door for everybody, so here one thread of its own waits for all of them at once.
Guarantee: the accepting thread never waits for a client; at most `MOST` clients are waited for.

A program that asks one question after the other is answered by the thread that has just answered
it: to hand its connection to the accepting thread and back costs three changes of threads.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

MOST = 256
LINGER_S = 2.0
LOOK_EVERY_S = 0.25
READ_BYTES = 65_536
# So long a thread stays with a connection, so many threads at most do, and for so many requests:
# then others that wait for a thread have their turn.
NEXT_WITHIN_MS = 5
MOST_STAYING = 16
MOST_IN_A_ROW = 32


class Lingering:
    """Half-closed sockets, each until its client hangs up or `LINGER_S` is over."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._until: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._some = threading.Event()
        threading.Thread(target=self._run, name="lingering", daemon=True).start()

    def take(self, client: socket.socket) -> None:
        """Say goodbye to a client, and close its connection when it has heard it."""
        with contextlib.suppress(OSError):
            client.setblocking(False)
            client.shutdown(socket.SHUT_WR)
            with self._lock:
                if len(self._until) < MOST:
                    self._selector.register(client, selectors.EVENT_READ)
                    self._until[client] = time.monotonic() + LINGER_S
                    self._some.set()
                    return
        client.close()

    def _run(self) -> None:
        while True:
            self._some.wait()
            for key, _ in self._selector.select(LOOK_EVERY_S):
                if self._has_left(key.fileobj):
                    self._close(key.fileobj)
            now = time.monotonic()
            for client in [client for client, until in list(self._until.items()) if until < now]:
                self._close(client)

    def _has_left(self, client: Any) -> bool:
        try:
            return not client.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _close(self, client: Any) -> None:
        with self._lock:
            if self._until.pop(client, None) is None:
                return
            self._selector.unregister(client)
            client.close()
            if not self._until:
                self._some.clear()


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's threaded worker, which waits for nobody at the door."""

    def init_process(self) -> None:
        self._lingering = Lingering()  # after the fork: threads do not survive one
        self._staying = threading.Semaphore(MOST_STAYING)
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that follow at once on the same connection."""
        for _ in range(MOST_IN_A_ROW):
            kept = super().handle(conn)
            if kept is not True or not self._asks_again(conn):
                break
        return kept

    def _asks_again(self, conn: Any) -> bool:
        """Tell whether there is something to read, were it only the end, within a moment."""
        if not (self.alive and self._staying.acquire(blocking=False)):
            return False
        try:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(NEXT_WITHIN_MS))
        finally:
            self._staying.release()

    def finish_request(self, conn: Any, fs: Any) -> None:
        if not isinstance(conn.close, partial):  # a kept connection comes here again
            conn.close = partial(self._part, conn, conn.close)
        super().finish_request(conn, fs)

    def _part(self, conn: Any, close: Any, graceful: bool = False) -> None:
        """Take the place of gunicorn's own `close` of this connection."""
        if graceful and isinstance(conn.sock, socket.socket):
            self._lingering.take(conn.sock)
        else:
            close()
