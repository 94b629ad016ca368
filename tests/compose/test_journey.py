"""From outside: a question over TLS, what the edge refuses, and a stack that comes back."""

from __future__ import annotations

import json
import ssl
from ipaddress import ip_address

import httpx
import pytest

from tests.simulators.docker_stack import NAME, DockerStack, docker
from tests.simulators.stack_visitor import (
    answered_within,
    ask,
    caller,
    entity,
    entries,
    make_key,
    verified,
)


@pytest.fixture(scope="module")
def key(stack: DockerStack) -> str:
    """An API key of the demo clinician."""
    return make_key(stack)


def test_a_question_is_answered_over_tls(stack: DockerStack, key: str) -> None:
    """And stands in the record, asked and answered."""
    reply = ask(stack, key)
    assert reply["choices"][0]["message"]["role"] == "assistant"
    for action in ("answer.request", "answer.complete"):
        found = entries(stack, "--action", action)
        assert [one["entity"] for one in found].count(entity(reply)) == 1


def failing(stack: DockerStack) -> list[str]:
    """Return what the doctor in the gateway's container finds wrong."""
    said = stack.inside("gateway", "appliance", "doctor", "--json", check=False)
    found = {item["check"]: item["verdict"] for item in json.loads(said.stdout)}
    assert {"record", "state folder"} <= set(found)
    return [check for check, verdict in found.items() if verdict == "fail"]


def test_the_doctor_finds_nothing_wrong(stack: DockerStack) -> None:
    """Inside the gateway, whose state is a part of the whole: the ledger looks at its own."""
    assert failing(stack) == []


def test_nothing_older_than_tls_13_is_spoken(stack: DockerStack) -> None:
    """The handshake fails with TLS 1.2, and succeeds with 1.3."""
    trust = ssl.create_default_context(cafile=str(stack.certificate))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=trust, trust_env=False) as old, pytest.raises(httpx.ConnectError):
        old.get(f"{stack.address}/healthz")
    with caller(stack) as client:
        assert client.get("/healthz").status_code == 200


def test_browsers_are_told_to_keep_to_tls(stack: DockerStack) -> None:
    """Once and not twice, on pages of the gateway and on what the edge answers itself."""
    with caller(stack) as client:
        for path in ("/sign-in", "/metrics"):
            headers = client.get(path).headers.get_list("strict-transport-security")
            assert headers == ["max-age=31536000"]


def test_plain_http_is_not_answered(stack: DockerStack) -> None:
    """A password typed in the clear gets no page and no redirect to take it along."""
    with httpx.Client(trust_env=False) as plain:
        reply = plain.get(stack.address.replace("https", "http"))
    assert (reply.status_code, "location" in reply.headers) == (400, False)


def test_a_large_body_ends_at_the_edge(stack: DockerStack, key: str) -> None:
    """And the gateway never sees it: the record has no entry more."""
    before = verified(stack)["entries"]
    with caller(stack) as client:
        reply = client.post(
            "/v1/chat/completions",
            content=b"x" * 1_100_000,
            headers={"Authorization": f"Bearer {key}"},
        )
    assert (reply.status_code, reply.headers["server"]) == (413, "nginx")
    # But for the one that says that the record was verified.
    assert verified(stack)["entries"] == before + 1


def test_a_visitor_cannot_choose_its_address(stack: DockerStack, key: str) -> None:
    """What it claims in headers is replaced by where it comes from, in the record too."""
    claimed = {
        "X-Forwarded-For": "10.9.8.7",
        "Forwarded": "for=10.9.8.7",
        "Authorization": f"Bearer {key}",
    }
    asked = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    with caller(stack) as client:
        reply = client.post("/v1/chat/completions", json=asked, headers=claimed)
    assert reply.status_code == 200
    (entry,) = (
        one
        for one in entries(stack, "--action", "answer.request")
        if one["entity"] == entity(reply.json())
    )
    assert ip_address(entry["source"]) != ip_address("10.9.8.7")


def test_names_of_others_are_refused(stack: DockerStack) -> None:
    """DNS rebinding: a browser that was told that another name leads here."""
    with caller(stack) as client:
        assert client.get("/healthz", headers={"Host": NAME}).status_code == 200
        assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 403


def test_logs_hold_no_content(stack: DockerStack, key: str) -> None:
    """Neither a body nor a query string is in any container's log, also when it was refused."""
    headers = {"Authorization": f"Bearer {key}"}
    place = "/v1/chat/completions"
    asked = {"model": "demo", "messages": [{"role": "user", "content": "Findme-Prompt"}]}
    with caller(stack, headers=headers) as client:
        client.get("/sign-in?patient=Findme-Query")
        assert client.post(place, content=b"Findme-Body" * 200_000).status_code == 413
        assert client.post(place, json={**asked, "n": 2}).status_code == 400
        assert client.post(place, json={**asked, "max_tokens": 8}).status_code == 200
    logs = []
    for service in ("edge", "gateway", "ledger", "engine"):
        said = docker("logs", stack.container(service))
        assert said.returncode == 0, said.stderr
        assert "Findme" not in said.stdout + said.stderr
        logs.append(said.stdout + said.stderr)
    assert any(logs), "a log that is empty in every container would hold nothing either way"


def test_state_survives_down_and_up(stack: DockerStack, key: str) -> None:
    """Accounts, keys and every entry: the record grows, verified, from where it was."""
    ask(stack, key)
    before, passwords = verified(stack), dict(stack.passwords)
    stack.down()
    assert "first passwords" not in stack.up()
    assert stack.passwords == passwords
    answered_within(stack, key)
    after = verified(stack)
    assert (after["first"], after["entries"] > before["entries"]) == (before["first"], True)
    assert failing(stack) == []
