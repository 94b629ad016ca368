"""The ledger through its socket: the same answers and the same errors as in its own process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from appliance import errors
from appliance.audit.access import open_ledger
from appliance.audit.client import LedgerClient
from appliance.audit.connections import Connection, classes, error_of
from appliance.audit.intake import socket_beside, stated
from appliance.audit.log import Log
from appliance.audit.query import Query
from appliance.audit.service import STATUS, _status, create_app
from appliance.clock import System
from appliance.config import Config, Paths
from appliance.errors import (
    BadInputError,
    TamperedError,
    TooLargeError,
)
from tests.simulators.ledger_service import LedgerService
from tests.unit.audit import samples


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerService]:
    """A ledger process that the tests of this file share; its record is not empty."""
    folder = tmp_path_factory.mktemp("service")
    running = LedgerService(samples.make(folder), folder / "ledger.sock").start()
    first = LedgerClient(running.socket)
    first.append(samples.event(0))
    first.close()
    yield running
    running.stop()


@pytest.fixture
def client(service: LedgerService) -> Iterator[LedgerClient]:
    """A client of it."""
    connected = LedgerClient(service.socket)
    yield connected
    connected.close()


def raw(service: LedgerService, path: str, body: bytes, method: str = "POST") -> tuple[int, Any]:
    with (
        contextlib.closing(Connection(service.socket, 10)) as connection,
        connection.send(method, path, body) as response,
    ):
        return response.status, json.loads(response.read())


def test_appended_event_is_in_the_file(client: LedgerClient, service: LedgerService) -> None:
    """A receipt that came through the socket names what lies in the file."""
    receipt = client.append(samples.event(1))
    seq, data, leaf = samples.rows(service.record)[receipt.seq]
    assert (receipt.seq, receipt.leaf, receipt.t) == (seq, leaf, json.loads(data)["t"])


def test_head_search_and_verify_agree(client: LedgerClient) -> None:
    """Head, newest entry and verification say the same of the same record."""
    receipt = client.append(samples.event(entity="msg_agree"))
    page = client.search(Query(entity="msg_agree", limit=1))
    verified = client.verify()
    assert page.entries[0]["leaf"] == receipt.leaf.hex()
    assert client.head() == verified.head
    assert verified.head.leaf == receipt.leaf


def test_many_threads_append_through_the_socket(client: LedgerClient) -> None:
    """Thirty-two callers get a receipt each, all different."""
    with ThreadPoolExecutor(32) as pool:
        seqs = list(pool.map(lambda n: client.append(samples.event(n)).seq, range(320)))
    assert len(set(seqs)) == 320


def test_export_streams_the_exact_bytes(client: LedgerClient, service: LedgerService) -> None:
    """An export through the socket is the file's bytes."""
    client.append(samples.event())
    lines = b"".join(client.export("ndjson", samples.ANY)).splitlines()
    assert lines == [data for _, data, _ in samples.rows(service.record)]


def test_append_during_an_export_does_not_wait(client: LedgerClient) -> None:
    """A thread that is reading an export can append meanwhile."""
    chunks = client.export("csv", samples.ANY)
    first = next(chunks)
    client.append(samples.event())
    assert len(first) > 0
    chunks.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda client: client.append(samples.event(action="answer.invent")), BadInputError),
        (lambda client: client.append(samples.event(entity="x" * 65_535)), TooLargeError),
        (lambda client: client.append(samples.event(entity="x" * 600_000)), TooLargeError),
        (lambda client: client.append(samples.event(entity="\ud800")), BadInputError),
        (lambda client: client.export("pdf", samples.ANY), BadInputError),
    ],
)
def test_refusal_comes_back_as_its_error(client: LedgerClient, call: Any, kind: type) -> None:
    """What the ledger refuses is raised at the caller as the class it was."""
    with pytest.raises(kind) as caught:
        call(client)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/prove", b"{", 400),
        ("/prove", b"[]", 400),
        ("/prove", b"\xff", 400),
        ("/prove", b"[" * 100_000, 400),
        ("/prove", b"", 400),
        ("/prove", b'{"seq": "1"}', 400),
        ("/prove", b'{"seq": -1}', 400),
        ("/prove", b'{"seq": true}', 400),
        ("/prove", b'{"seq": 1e3}', 400),
        ("/prove", b'{"seq": 99999999999999999999999}', 404),
        ("/handover", b"{}", 400),
        ("/handover", b'{"number": 0}', 404),
        ("/handover", b'{"number": 99999999999999999999999}', 404),
        ("/consistency", b"{}", 400),
        ("/consistency", b'{"old_size": 1}', 400),
        ("/consistency", b'{"old_size": 1, "note": []}', 400),
        ("/consistency", b'{"old_size": 1, "note": "x\\n1\\nx\\n\\n"}', 400),
        ("/prune", b"{}", 400),
        ("/prune", b'{"before": 256, "agent": [], "basis": "x"}', 400),
        ("/prune", b'{"before": 256, "agent": {"user": "u"}, "basis": "x"}', 400),
        (
            "/prune",
            b'{"before": 256, "agent": {"user": 1, "role": "r", "method": "m"}, "basis": "x"}',
            400,
        ),
        (
            "/prune",
            b'{"before": 256, "agent": {"user": "u", "role": "r", "method": "m"}, "basis": 1}',
            400,
        ),
        (
            "/prune",
            b'{"before": 255, "agent": {"user": "u", "role": "r", "method": "m"}, "basis": "x"}',
            400,
        ),
        ("/search", b"[]", 400),
        ("/search", b'{"nonsense": 1}', 400),
        ("/search", b'{"limit": 1e3}', 400),
        ("/export", b'{"format": "csv"}', 400),
        ("/export", b'{"format": "csv", "query": []}', 400),
        ("/export", b'{"format": "pdf", "query": {}}', 400),
        ("/nothing", b"{}", 404),
    ],
)
def test_bad_request_gets_code_message_and_hint(
    service: LedgerService, path: str, body: bytes, status: int
) -> None:
    """A request that cannot work gets a status and a JSON error, never a stack trace."""
    got, told = raw(service, path, body)
    assert got == status
    assert set(told) == {"code", "message", "hint"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed_through_the_socket(service: LedgerService, method: str) -> None:
    """There is no method that changes or removes an entry."""
    for path in ("/events", "/search", "/keys", "/prune"):
        assert raw(service, path, b"{}", method)[0] in {404, 405}


def test_every_error_class_has_a_status() -> None:
    """Each error that the ledger may raise has an HTTP status, its own or its parent's."""
    assert all(
        _status(kind("x")) in STATUS.values() for kind in classes(errors.ApplianceError).values()
    )


def test_errors_come_back_as_they_were() -> None:
    """Every error class of the appliance survives the way over the socket by its code."""
    for code, kind in classes(errors.ApplianceError).items():
        there = kind("what happened", hint="what next")
        back = error_of(json.dumps(stated(there)).encode())
        assert (type(back), back.code, back.message, back.hint) == (
            kind, code, "what happened", "what next",
        )  # fmt: skip


def test_finding_of_the_verifier_comes_back_whole() -> None:
    """A tampered record is named with entry and finding through the socket too."""
    back = error_of(json.dumps(stated(TamperedError(7, "it is missing"))).encode())
    assert isinstance(back, TamperedError)
    assert (back.seq, back.what) == (7, "it is missing")


def test_open_ledger_uses_the_running_one(service: LedgerService, tmp_path: Path) -> None:
    """While the ledger answers, commands speak to it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ledger.sock").symlink_to(service.socket)
    (tmp_path / "run" / "ledger.add").symlink_to(socket_beside(service.socket))
    ledger = open_ledger(Paths(tmp_path), Config(tmp_path), System())
    assert isinstance(ledger, LedgerClient)
    ledger.close()


@pytest.mark.parametrize("path", ["/prove", "/search", "/export"])
def test_oversized_request_is_refused_by_the_service(log: Log, path: str) -> None:
    """The service has its own limit, whatever the client's."""
    response = create_app(log).test_client().post(path, data=b"x" * 600_000)
    assert response.status_code == 413
    assert response.json is not None
    assert response.json["code"] == "too_large"


def pruned(log: Log, before: int, limit: str) -> tuple[int, str]:
    """Ask a service that keeps what was written from `limit` on to let go of a prefix."""
    agent = {"user": "u", "role": "r", "method": "m"}
    wish = {"before": before, "agent": agent, "source": None, "basis": "schedule"}
    response = create_app(log, lambda: limit).test_client().post("/prune", json=wish)
    return response.status_code, response.get_data(as_text=True)


@pytest.mark.parametrize("limit", ["", "2000-01-01T00:00:00.000Z"])
def test_nobody_makes_the_ledger_forget_what_it_keeps(log: Log, limit: str) -> None:
    """Whoever took the gateway over may ask: entries that are too young stay, or all for ever."""
    log.append_many([samples.event(number) for number in range(300)])
    status, said = pruned(log, 256, limit)
    assert (status, "not old enough" in said) == (400, True)
    assert log.verify().pruned == 0


def test_the_ledger_lets_go_of_what_is_old_enough(log: Log) -> None:
    """Every entry before the one that is asked for was written before the limit."""
    log.append_many([samples.event(number) for number in range(300)])
    assert pruned(log, 256, "9999-01-01T00:00:00.000Z")[0] == 200
    assert log.verify().pruned == 256
