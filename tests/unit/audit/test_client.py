"""The client when the ledger dies, lies or is not there, and how a command gets to the record."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from appliance.audit.access import open_ledger
from appliance.audit.client import LedgerClient
from appliance.audit.connections import Connection
from appliance.audit.intake import LENGTH, socket_beside
from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.clock import System
from appliance.config import Config, Paths
from appliance.errors import (
    ConflictError,
    NotInitialisedError,
    RecordUnavailableError,
)
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples


def test_dead_socket_is_a_record_that_cannot_be_written(tmp_path: Path) -> None:
    """Without a ledger an append is refused."""
    with pytest.raises(RecordUnavailableError):
        LedgerClient(tmp_path / "ledger.sock").append(samples.event())


def test_socket_in_a_deep_folder_is_reached(tmp_path: Path) -> None:
    """A path beyond the 108 bytes of a socket address works for the client."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(folder, os.O_PATH)
    listener.bind(f"/proc/self/fd/{descriptor}/ledger.sock")
    listener.listen()
    Connection(folder / "ledger.sock", 5).close()
    listener.close()
    os.close(descriptor)


class Listener:
    """A socket that takes a request and answers with given bytes, or dies without a word."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.requests = 0
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                if connection.recv(65_536):
                    self.requests += 1
                    connection.sendall(self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.mark.parametrize(
    "answer", [b"", b"\x00\x00", b'\x00\x00\x00\x63{"seq": 1', b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_append_whose_answer_is_lost_is_not_repeated(tmp_path: Path, answer: bytes) -> None:
    """When the ledger dies before it answered, the event is sent once and the caller is told."""
    listener = Listener(tmp_path / "ledger.add", answer)
    with pytest.raises(RecordUnavailableError, match="not known"):
        LedgerClient(tmp_path / "ledger.sock").append(samples.event())
    listener.close()
    assert listener.requests == 1


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"{}", b'{"seq": 1, "leaf": "x", "t": "t"}'])
def test_answer_that_is_not_ours_is_unavailable(tmp_path: Path, body: bytes) -> None:
    """Whatever else listens on the socket for events is not taken for a ledger."""
    listener = Listener(tmp_path / "s.add", LENGTH.pack(len(body)) + body)
    with pytest.raises(RecordUnavailableError, match="understood"):
        LedgerClient(tmp_path / "s.sock").append(samples.event())
    listener.close()
    assert listener.requests == 1


def test_stranger_who_stays_on_the_socket_is_not_waited_for(tmp_path: Path) -> None:
    """An answer that begins as none of ours is given up at once, not when it ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
        stranger.bind(str(tmp_path / "s.add"))
        stranger.listen()
        answered = threading.Thread(target=_answer_and_stay, args=(stranger,))
        answered.start()
        with pytest.raises(RecordUnavailableError, match="not known"):
            LedgerClient(tmp_path / "s.sock", timeout_s=600).append(samples.event())
        answered.join()


def _answer_and_stay(stranger: socket.socket) -> None:
    connection, _ = stranger.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while connection.recv(65_536):  # until the other side gives up
            pass


def test_http_answer_that_is_not_ours_is_unavailable(tmp_path: Path) -> None:
    """Whatever else listens on the socket for reading is not taken for a ledger."""
    listener = Listener(tmp_path / "s", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
    with pytest.raises(RecordUnavailableError):
        LedgerClient(tmp_path / "s").head()
    listener.close()
    assert listener.requests == 1


def test_asking_whether_it_answers_keeps_no_connections(tmp_path: Path) -> None:
    """A ledger that is asked again and again whether it is there costs two connections."""
    running = LedgerService(samples.make(tmp_path), tmp_path / "ledger.sock").start()
    client = LedgerClient(running.socket)
    assert client.answers()
    before = len(os.listdir("/proc/self/fd"))
    assert all(client.answers() for _ in range(20))
    assert len(os.listdir("/proc/self/fd")) == before
    client.close()
    running.stop()


def test_answers_needs_both_sockets(tmp_path: Path) -> None:
    """A ledger that can be read but takes no events is not well."""
    running = LedgerService(samples.make(tmp_path), tmp_path / "ledger.sock").start()
    socket_beside(running.socket).unlink()
    client = LedgerClient(running.socket)
    assert not client.answers()
    client.close()
    running.stop()


def test_export_that_breaks_off_raises(tmp_path: Path) -> None:
    """Half an export is an error, so that nobody keeps it for the whole."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    listener = Listener(tmp_path / "s", head)
    with pytest.raises(RecordUnavailableError, match="incomplete"):
        list(LedgerClient(tmp_path / "s").export("ndjson", samples.ANY))
    listener.close()


def test_killed_ledger_is_used_again_after_its_restart(tmp_path: Path) -> None:
    """After kill -9 the same client appends to the ledger that took its place, none lost."""
    running = LedgerService(samples.make(tmp_path), tmp_path / "ledger.sock").start()
    client = LedgerClient(running.socket)
    acknowledged = [client.append(samples.event(n)).seq for n in range(20)]
    os.kill(running.worker_pid(), signal.SIGKILL)
    while len(acknowledged) < 40:
        try:
            acknowledged.append(client.append(samples.event()).seq)
        except RecordUnavailableError:
            continue
    running.stop()
    client.close()
    assert verify_file(running.record).entries >= 40
    assert len(set(acknowledged)) == 40


def test_open_ledger_opens_the_file_when_none_runs(tmp_path: Path) -> None:
    """While the stack is down, commands open the record themselves."""
    samples.make(tmp_path)
    ledger = open_ledger(Paths(tmp_path), Config(tmp_path), System())
    assert isinstance(ledger, Log)
    assert ledger.append(samples.event()).seq == 0
    ledger.close()


def test_open_ledger_makes_no_record(tmp_path: Path) -> None:
    """Without a record there is nothing to open."""
    with pytest.raises(NotInitialisedError):
        open_ledger(Paths(tmp_path), Config(tmp_path), System())


def test_open_ledger_gives_up_on_one_that_never_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record in use by something that does not answer is said to be in use."""
    monkeypatch.setattr("appliance.audit.access.STARTING_S", 0.2)
    holder = samples.opened(samples.make(tmp_path))
    with pytest.raises(ConflictError):
        open_ledger(Paths(tmp_path), Config(tmp_path), System())
    holder.close()


def test_connection_that_the_ledger_closed_costs_no_event(tmp_path: Path) -> None:
    """A kept connection found closed is replaced before anything is sent."""
    running = LedgerService(samples.make(tmp_path), tmp_path / "ledger.sock").start()
    client = LedgerClient(running.socket)
    client.append(samples.event(0))
    running.stop()
    running.start()
    assert client.append(samples.event(1)).seq == 1
    client.close()
    running.stop()
