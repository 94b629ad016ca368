"""Somebody has a shell in the gateway: what can be done to the record from there.

The programs below run in the gateway's container, as its user, with everything it has.
"""

from __future__ import annotations

from tests.simulators.docker_stack import DockerStack
from tests.simulators.stack_visitor import verified

APPEND = """
import json
from pathlib import Path
from appliance.audit.actions import Outcome
from appliance.audit.client import LedgerClient
from appliance.audit.entry import Agent, Event
ledger = LedgerClient(Path("/run/appliance/ledger/ledger.sock"))
agent = Agent("intruder", "administrator", "password")
receipt = ledger.append(Event("session.open", Outcome.SUCCESS, agent))
print(json.dumps({"seq": receipt.seq}))
"""
# Every verb on every route that there is, and some that there might be.
ALTER = """
import http.client, json, socket
class Ledger(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect("/run/appliance/ledger/ledger.sock")
agent = {"user": "intruder", "role": "administrator", "method": "password"}
prune = json.dumps({"before": 256, "agent": agent, "source": None, "basis": "schedule"})
done = {}
for verb in ("PUT", "PATCH", "DELETE", "POST"):
    for path in ("/events", "/events/0", "/entries/0", "/search", "/keys", "/head", "/prune",
                 "/keep", "/cosigned", "/anchoring"):
        connection = Ledger("localhost")
        connection.request(verb, path, prune if path == "/prune" else "{}")
        answer = connection.getresponse()
        done[f"{verb} {path}"] = [answer.status, answer.read().decode()]
        connection.close()
print(json.dumps(done))
"""
REPLACE = """
import errno, json, os
refused = []
folder = "/run/appliance/ledger"
attempts = [
    lambda: os.unlink(f"{folder}/ledger.sock"),
    lambda: os.unlink(f"{folder}/ledger.add"),
    lambda: os.rename(f"{folder}/ledger.sock", f"{folder}/other"),
    lambda: open(f"{folder}/mine", "w"),
    lambda: os.chmod(folder, 0o777),
]
for attempt in attempts:
    try:
        attempt()
        refused.append("done")
    except OSError as error:
        refused.append(errno.errorcode[error.errno])
print(json.dumps(refused))
"""


def test_it_can_append(stack: DockerStack) -> None:
    """A lie is possible; it has a number, and stands there for ever."""
    before = verified(stack)["entries"]
    seq = stack.python("gateway", APPEND)["seq"]
    after = verified(stack)
    assert (after["whole"], before <= seq < after["entries"]) == (True, True)


def test_it_cannot_alter_or_delete(stack: DockerStack) -> None:
    """No route changes an entry, and none lets go of one that the ledger's settings keep."""
    # So that there is a whole tile of 256, which is what can be let go of.
    stack.python("gateway", APPEND.replace("receipt =", "for _ in range(256): receipt ="))
    before = verified(stack)
    answers = stack.python("gateway", ALTER)
    searched = {"POST /search"}  # it reads
    assert {words for words, (status, _) in answers.items() if status < 300} <= searched
    status, said = answers["POST /prune"]
    assert (status, "not old enough" in said) == (400, True)
    after = verified(stack)
    assert (after["whole"], after["pruned"], after["first"]) == (True, 0, before["first"])
    assert after["entries"] >= before["entries"]


def test_it_cannot_take_the_ledgers_place(stack: DockerStack) -> None:
    """Its sockets can be called and neither removed nor replaced."""
    assert stack.python("gateway", REPLACE) == ["EROFS"] * 5
    assert verified(stack)["whole"]
