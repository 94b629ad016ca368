"""Somebody on the hospital's network who asks the stack through its edge, over TLS.

The certificate is verified in every call. What was recorded is read in the containers themselves.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.simulators.docker_stack import DockerStack

ANSWER_WITHIN_S = 60
ASKED = "Reply with one word."


def caller(stack: DockerStack, trusted: Path | None = None, **more: Any) -> httpx.Client:
    """Return a client that trusts one certificate and no other; the stack's own by default."""
    trust = ssl.create_default_context(cafile=str(trusted or stack.certificate))
    return httpx.Client(
        base_url=stack.address, verify=trust, timeout=ANSWER_WITHIN_S, trust_env=False, **more
    )


def make_key(stack: DockerStack, user: str = "demo") -> str:
    """Return a fresh API key of a user."""
    made = stack.inside("gateway", "appliance", "key", "create", "--user", user, "--json")
    return str(json.loads(made.stdout)["key"])


def ask(stack: DockerStack, key: str, trusted: Path | None = None) -> dict[str, Any]:
    """Ask one question through the edge; return the reply."""
    body = {"model": "demo", "messages": [{"role": "user", "content": ASKED}], "max_tokens": 8}
    with caller(stack, trusted) as client:
        models = client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        body["model"] = models.json()["data"][0]["id"]
        reply = client.post(
            "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        )
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def entity(reply: Mapping[str, Any]) -> str:
    """Return what the record calls an answer, or a piece of one, that came over the API."""
    return str(reply["id"]).removeprefix("chatcmpl-")


def answered_within(stack: DockerStack, key: str, trusted: Path | None = None) -> None:
    """Return once a question is answered; fail with the last refusal when none is in time."""
    until, refusal = time.monotonic() + ANSWER_WITHIN_S, "never tried"
    while time.monotonic() < until:
        try:
            ask(stack, key, trusted)
        except (AssertionError, httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            refusal = str(error)
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"no answer: {refusal}")


def verified(stack: DockerStack) -> dict[str, Any]:
    """Return what verifying the whole record says, where its file is."""
    said = stack.inside("ledger", "appliance", "audit", "verify", "--json")
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def entries(stack: DockerStack, *filters: str) -> list[dict[str, Any]]:
    """Return the newest entries that these options of `audit list` select, a hundred at most."""
    said = stack.inside("gateway", "appliance", "audit", "list", *filters, "--json")
    found: list[dict[str, Any]] = json.loads(said.stdout)["entries"]
    return found


def record(stack: DockerStack) -> list[dict[str, Any]]:
    """Return every entry of the record, oldest first."""
    said = stack.inside("gateway", "appliance", "audit", "export", "--format", "ndjson")
    return [json.loads(line) for line in said.stdout.splitlines()]
