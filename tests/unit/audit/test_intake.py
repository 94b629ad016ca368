"""The socket where events come in: whatever one caller does, the others are served."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.client import LedgerClient
from appliance.audit.intake import LENGTH, Intake, socket_beside
from appliance.audit.ledger import MAX_REQUEST_BYTES
from appliance.audit.log import Log
from appliance.errors import BadInputError, RecordUnavailableError
from tests.unit.audit import samples

TIMEOUT_S = 20


@dataclass(frozen=True)
class Served:
    """A log with an intake in this process."""

    log: Log
    intake: Intake
    path: Path

    def connect(self) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        caller.settimeout(TIMEOUT_S)
        caller.connect(str(self.path))
        return caller


@pytest.fixture
def served(log: Log, tmp_path: Path) -> Iterator[Served]:
    """An intake over an empty record."""
    path = socket_beside(tmp_path / "ledger.sock")
    intake = Intake(log, path)
    yield Served(log, intake, path)
    if path.exists():
        intake.close()


def framed(value: object) -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return LENGTH.pack(len(data)) + data


def answer(caller: socket.socket) -> Any:
    """Return the next answer; None when the connection was ended."""
    data = b""
    while len(data) < LENGTH.size or len(data) < LENGTH.size + LENGTH.unpack_from(data)[0]:
        try:
            chunk = caller.recv(65_536)
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        data += chunk
    return json.loads(data[LENGTH.size :])


def asked(caller: socket.socket, value: object) -> Any:
    caller.sendall(framed(value))
    return answer(caller)


def test_event_is_answered_with_its_receipt(served: Served) -> None:
    """A message is answered with number, leaf hash and time, again and again."""
    with served.connect() as caller:
        for number in range(5):
            got = asked(caller, samples.event(number).to_json())
            seq, data, leaf = samples.rows(served.log.path)[number]
            assert got == {"seq": seq, "leaf": leaf.hex(), "t": json.loads(data)["t"]}


def test_socket_is_private(served: Served) -> None:
    """Nobody but the owner may speak to it."""
    assert served.path.stat().st_mode & 0o777 == 0o600


def test_message_in_many_pieces_is_put_together(served: Served) -> None:
    """However slowly a message comes, it is one event."""
    message = framed(samples.event(content={"x": "y" * 300}).to_json())
    with served.connect() as slow, served.connect() as quick:
        for at in range(0, len(message), 7):
            slow.sendall(message[at : at + 7])
            if at % 210 == 0:
                assert "seq" in asked(quick, samples.event().to_json())
        assert "seq" in answer(slow)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b"[" * 100_000, b'{"action":"x"}',
             b'{"a":1e999}', b"9" * 5_000],
)  # fmt: skip
def test_garbage_is_refused_and_the_connection_goes_on(served: Served, data: bytes) -> None:
    """What is no event is answered with an error; the next message is served."""
    with served.connect() as caller:
        assert asked(caller, data)["code"] == "bad_input"
        assert asked(caller, samples.event().to_json())["seq"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "record.epoch"}, {"action": "record.prune"}, {"action": "disk.full"},
        {"action": "answer.invent"}, {"action": 1}, {"outcome": "maybe"}, {"outcome": []},
        {"agent": None}, {"agent": {"user": 1, "role": "r", "method": "m"}}, {"tokens": [1]},
        {"latency_ms": -1}, {"latency_ms": 1.5}, {"content": 3}, {"more": 1}, {"seq": 4},
        {"content": {"x": float("nan")}}, {"content": {"x": 2**60}}, {"entity": "\ud800"},
    ],
)  # fmt: skip
def test_what_may_not_be_recorded_is_refused(served: Served, changes: dict[str, Any]) -> None:
    """Forged entries of the ledger's own, unknown actions and wrong types leave no entry."""
    with served.connect() as caller:
        assert asked(caller, {**samples.event().to_json(), **changes})["code"] == "bad_input"
    assert served.log.head().size == 0


def test_record_begins_once(served: Served) -> None:
    """A later beginning could name another first key, which no verifier would accept."""
    with served.connect() as caller:
        begun = samples.event(action="appliance.init", content={"key": "another"})
        assert asked(caller, begun.to_json())["code"] == "bad_input"
        assert asked(caller, samples.event().to_json())["seq"] == 0


def test_entry_that_is_too_large_is_refused_by_its_code(served: Served) -> None:
    """The refusal says that it was too large, and the connection goes on."""
    with served.connect() as caller:
        got = asked(caller, samples.event(entity="x" * 65_535).to_json())
        assert got["code"] == "too_large"
        assert asked(caller, samples.event().to_json())["seq"] == 0


@pytest.mark.parametrize("length", [MAX_REQUEST_BYTES + 1, 2**32 - 1])
def test_message_that_would_be_too_long_ends_its_connection(served: Served, length: int) -> None:
    """A length beyond the limit is refused before anything of it is kept."""
    with served.connect() as caller, served.connect() as other:
        caller.sendall(LENGTH.pack(length) + b"x" * 1_000)
        assert answer(caller)["code"] == "too_large"
        assert answer(caller) is None
        assert asked(other, samples.event().to_json())["seq"] == 0


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x00\x00\x10", b"\x00\x00\x00\x10{"])
def test_half_a_message_is_no_event(served: Served, sent: bytes) -> None:
    """Whoever goes away in the middle leaves nothing behind."""
    with served.connect() as caller:
        caller.sendall(sent)
    with served.connect() as other:
        assert asked(other, samples.event().to_json())["seq"] == 0
    assert served.log.head().size == 1


def test_second_message_before_the_answer_is_refused(served: Served) -> None:
    """One message at a time: two at once are not recorded, and end the connection."""
    with served.connect() as caller:
        caller.sendall(framed(samples.event().to_json()) * 2)
        assert answer(caller)["code"] == "bad_input"
        assert answer(caller) is None
    assert served.log.head().size == 0


def test_caller_who_does_not_read_is_dropped(served: Served) -> None:
    """Answers that nobody takes do not hold up the others."""
    message = framed(b"{")
    with served.connect() as deaf, served.connect() as other:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with contextlib.suppress(OSError):
            for number in range(5_000):
                deaf.sendall(message)
                if number % 100 == 0:
                    assert "seq" in asked(other, samples.event().to_json())
        assert "seq" in asked(other, samples.event().to_json())


@contextlib.contextmanager
def writer_held(log: Log) -> Iterator[None]:
    """Keep the writing thread busy, so that whatever comes meanwhile has to wait."""
    begun, end = threading.Event(), threading.Event()

    def job(_: object) -> None:
        begun.set()
        end.wait(TIMEOUT_S)

    thread = threading.Thread(target=log._writing.run, args=(job,))
    thread.start()
    assert begun.wait(TIMEOUT_S)
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_many_callers_share_commits(served: Served) -> None:
    """Two hundred callers who came while the writer was busy share two commits."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.connect()) for _ in range(200)]
        before = served.log.commits
        with writer_held(served.log):
            for number, caller in enumerate(callers):
                caller.sendall(framed(samples.event(number).to_json()))
        seqs = [answer(caller)["seq"] for caller in callers]
        assert sorted(seqs) == list(range(200))
        # The intake has taken some already when the writer is held; all others come together.
        assert served.log.commits - before <= 2


def test_bad_event_among_many_costs_only_itself(served: Served) -> None:
    """In one commit with others, what is refused is refused alone."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(served.connect()) for _ in range(30)]
        for number, caller in enumerate(callers):
            action = "record.epoch" if number % 3 == 0 else "answer.stop"
            caller.sendall(framed(samples.event(action=action).to_json()))
        answers = [answer(caller) for caller in callers]
    assert sum("seq" in got for got in answers) == 20
    assert served.log.head().size == 20


def test_closed_record_is_told_to_every_caller(served: Served) -> None:
    """When the log is closed first, callers are refused and the intake lives on."""
    served.log.close()
    with served.connect() as caller:
        for _ in range(2):
            assert asked(caller, samples.event().to_json())["code"] == "record_unavailable"


def test_close_while_callers_wait(served: Served) -> None:
    """Whoever is answered is in the record, once; whoever is not knows that it is not known."""
    seqs: list[int] = []
    clients = [LedgerClient(served.path.with_suffix(".sock")) for _ in range(8)]

    def work(client: LedgerClient) -> None:
        with contextlib.suppress(RecordUnavailableError):
            while True:
                seqs.append(client.append(samples.event()).seq)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    while len(seqs) < 100:
        threads[0].join(0.01)
    served.intake.close()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not any(thread.is_alive() for thread in threads)
    assert not served.path.exists()
    assert len(set(seqs)) == len(seqs)
    assert served.log.head().size - len(seqs) in range(9)
    for client in clients:
        client.close()


def test_what_came_before_the_end_is_answered(served: Served) -> None:
    """An event that is there when the intake is closed is recorded and answered first."""
    with served.connect() as first, served.connect() as second:
        for caller in (first, second):
            assert "seq" in asked(caller, samples.event().to_json())
        with writer_held(served.log):
            first.sendall(framed(samples.event().to_json()))
            second.sendall(framed(samples.event().to_json()))
            closing = threading.Thread(target=served.intake.close)
            closing.start()
            assert select.select([served.intake._woken], [], [], TIMEOUT_S)[0]
        closing.join()
        assert {answer(first)["seq"], answer(second)["seq"]} == {2, 3}
        assert answer(first) is None


def test_intake_takes_the_place_of_a_dead_one(log: Log, tmp_path: Path) -> None:
    """A socket that a killed ledger left is no hindrance."""
    path = tmp_path / "ledger.add"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    intake = Intake(log, path)
    client = LedgerClient(tmp_path / "ledger.sock")
    assert client.append(samples.event()).seq == 0
    with pytest.raises(BadInputError, match="only the ledger"):
        client.append(samples.event(action="record.epoch"))
    client.close()
    intake.close()
