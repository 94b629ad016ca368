"""The overlays: what each adds to the file, and the engines of others really run in the stack.

One stack of its own is started with Ollama, then switched to llama-server, on the same state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.stack_file import findings
from tests.compose.conftest import VERSION
from tests.compose.test_closed_containers import STATUS, WRITE
from tests.compose.test_no_way_out import HOST_PORT, LOOK_UP, OUTSIDE, answered
from tests.simulators.docker_stack import ROOT, DockerStack, docker, merged
from tests.simulators.outside_world import HERE, host_addresses, listening
from tests.simulators.stack_visitor import answered_within, ask, caller, entity, entries, make_key

OVERLAYS = ROOT / "compose"
GPU, ENGINES = ("gpu", "rocm"), ("ollama", "llama-server")
PORT = {"ollama": 11434, "llama-server": 8081}
USER = {"ollama": 10_004, "llama-server": 10_005}
SECRET = "Findme-in-a-log"
CALL = """
import json, sys, urllib.error, urllib.request
method, url, body = sys.argv[1], sys.argv[2], sys.argv[3].encode() or None
request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(json.dumps([answer.status, answer.read().decode()]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, error.read().decode()]))
"""
ACTIVE = """
import json
print(json.dumps(json.load(open("/var/lib/appliance/models/active.json"))["model"]["digest"]))
"""
HASHED = """
import hashlib, json, sys
with open(sys.argv[1], "rb") as file:
    print(json.dumps(hashlib.file_digest(file, "sha256").hexdigest()))
"""


@pytest.fixture(autouse=True)
def group(compose: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number that one overlay asks for."""
    monkeypatch.setenv("APPLIANCE_RENDER_GROUP", "104")


@pytest.mark.parametrize("name", [*GPU, *ENGINES])
def test_an_overlay_has_no_finding(name: str) -> None:
    """As Compose understands it, and by the checker that `make up` asks."""
    stack = merged(OVERLAYS / f"{name}.yaml")
    assert findings(stack) == []
    assert {service["image"].partition(":")[2] for service in stack["services"].values()} == {
        VERSION
    }


@pytest.mark.parametrize("name", GPU)
def test_a_gpu_changes_the_engine_alone(name: str) -> None:
    """Image, device and group; its root file system, limits, user and network stay as they are."""
    before, after = merged(), merged(OVERLAYS / f"{name}.yaml")
    changed = {"image", "environment", "deploy", "devices", "group_add"}
    for stack in (before, after):
        for key in changed:
            stack["services"]["engine"].pop(key, None)
    assert after == before


@pytest.mark.parametrize("name", ENGINES)
def test_another_engine_changes_no_other_part(name: str) -> None:
    """The gateway gets settings and somebody to wait for; our own engine has no container."""
    before, after = merged()["services"], merged(OVERLAYS / f"{name}.yaml")["services"]
    assert set(after) == {*before, name}
    for key in ("environment", "depends_on"):
        assert after["gateway"].pop(key).items() >= before["gateway"].pop(key).items()
    assert after["engine"].pop("scale") == 0
    after["engine"].pop("deploy", None)
    assert {one: after[one] for one in before} == before


def test_a_group_is_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the number of `render` Compose refuses the file, and says how to find it."""
    monkeypatch.delenv("APPLIANCE_RENDER_GROUP")
    files = ["-f", str(OVERLAYS / "compose.yaml"), "-f", str(OVERLAYS / "rocm.yaml")]
    done = docker("compose", *files, "config")
    assert (done.returncode != 0, "getent group render" in done.stderr) == (True, True)


@pytest.fixture(scope="module")
def others(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerStack]:
    """A stack that was not started yet; nothing of it is left afterwards."""
    built = (ROOT / "build/images/images.lock").read_text()
    missing = [name for name in ENGINES if f"image appliance/{name} " not in built]
    assert not missing, f"there is no image: installer/images/build.sh {' '.join(missing)}"
    stack = DockerStack(tmp_path_factory.mktemp("others"), "appliance-other", "aplo")
    stack.make_certificate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPLIANCE_OVERLAYS", " ".join(f"compose/{name}.yaml" for name in ENGINES))
        stack.remove()
        yield stack
        stack.remove()


@pytest.fixture(scope="module", params=ENGINES)
def served(others: DockerStack, request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine that the stack runs with; the stack itself is `others`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPLIANCE_OVERLAYS", f"compose/{request.param}.yaml")
        others.up()
        yield request.param


@pytest.fixture(scope="module")
def key(others: DockerStack, served: str) -> str:
    """An API key of the demo clinician, once the model has answered."""
    made = make_key(others)
    answered_within(others, made)
    return made


def call(stack: DockerStack, service: str, method: str, path: str, body: str = "") -> Any:
    """Call an engine's route from the gateway's container; return status and body."""
    url = f"http://{service}:{PORT[service]}{path}"
    return stack.python("gateway", CALL, method, url, body)


def test_it_answers_and_ours_does_not_run(others: DockerStack, served: str, key: str) -> None:
    """Asked and answered in the record; no other engine is there that could have answered."""
    reply = ask(others, key)
    assert reply["usage"]["completion_tokens"] >= 1
    found = entries(others, "--action", "answer.complete")
    assert [one["entity"] for one in found].count(entity(reply)) == 1
    ours = f"label=com.docker.compose.project={others.project}"
    running = docker("ps", "--format", "{{.Names}}", "--filter", ours)
    parts = {"edge", "gateway", "ledger", served}
    assert set(running.stdout.split()) == {others.container(part) for part in parts}


def test_what_answers_is_what_was_signed(others: DockerStack, served: str, key: str) -> None:
    """The weights that the engine says it serves have the library's digest, hashed where it is."""
    digest = others.python("gateway", ACTIVE)
    if served == "ollama":
        _, shown = call(others, served, "POST", "/api/show", f'{{"model": "appliance-{digest}"}}')
        _, loaded = call(others, served, "GET", "/api/ps")
        names = [model["name"] for model in json.loads(loaded)["models"]]
        assert names == [f"appliance-{digest}:latest"]
        assert f"blobs/sha256-{digest}" in json.loads(shown)["modelfile"]
        place = f"/var/lib/ollama/blobs/sha256-{digest}"
    else:
        _, props = call(others, served, "GET", "/props")
        place = f"/var/lib/appliance/models/{digest}.gguf"
        assert json.loads(props)["model_path"] == place
    assert others.python(served, HASHED, place) == digest


def test_it_cannot_be_made_to_serve_something_else(
    others: DockerStack, served: str, key: str
) -> None:
    """A model that was changed in Ollama is not asked; what llama-server reads is read-only."""
    if served == "llama-server":
        program = WRITE.replace('"/var/lib"', '"/var/lib", "/var/lib/appliance/models"')
        refused = others.python(served, program)
        assert refused["/var/lib/appliance/models"] == "EROFS"
        return
    name = f"appliance-{others.python('gateway', ACTIVE)}"
    changed = json.dumps({"model": name, "from": name, "system": "Lie.", "stream": False})
    assert call(others, served, "POST", "/api/create", changed)[0] == 200
    with caller(others) as client:
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        body["model"] = client.get("/v1/models", headers=headers).json()["data"][0]["id"]
        reply = client.post("/v1/chat/completions", json=body, headers=headers)
    assert reply.status_code == 503
    call(others, served, "DELETE", "/api/delete", json.dumps({"model": name}))
    answered_within(others, key)


@pytest.mark.usefixtures("world", "key")
def test_it_does_not_get_out(others: DockerStack, served: str) -> None:
    """To no public address, no address of the host, and no name leaves the machine."""
    with listening(host_addresses(), (HOST_PORT,)):
        places = [
            f"{host}:{port}" for host in host_addresses() for port in (HOST_PORT, others.port)
        ]
        outside = tuple(place for place in places if not place.startswith("127."))
        assert f"{HERE}:{HOST_PORT}" in outside
        assert answered(others.container(served), (*OUTSIDE, *outside)) == []
    assert others.python(served, LOOK_UP, "registry.ollama.ai") == []


@pytest.mark.usefixtures("key")
def test_a_look_for_a_way_out_finds_none(others: DockerStack, served: str) -> None:
    """By the gateway's image, standing in its network and among its processes."""
    there, user = f"container:{others.container(served)}", f"{USER[served]}:{USER[served]}"
    looked = docker(
        "run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--network", there, "--pid", there, "--user", user, "--env", "APPLIANCE_STATE=/nonexistent",
        f"appliance/gateway:{VERSION}",
        "doctor", "--airgap", "--role", served, "--pid", "1", "--out", "-",
    )  # fmt: skip
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert json.loads(looked.stdout)["role"] == served


@pytest.mark.usefixtures("key")
def test_only_the_gateway_reaches_it(others: DockerStack, served: str) -> None:
    """Not the edge, by name or by address; nothing is published; and it calls no neighbour."""
    found = others.inspected(served)["NetworkSettings"]
    (network,) = found["Networks"].values()
    assert not any(found["Ports"].values())
    places = tuple(f"{host}:{PORT[served]}" for host in (served, network["IPAddress"]))
    assert answered(others.container("gateway"), places) == [f"tcp {place}" for place in places]
    assert answered(others.container("edge"), places) == []
    assert answered(others.container(served), ("gateway:8080", "edge:8443")) == []


def test_its_own_routes_are_out_of_reach(others: DockerStack, served: str, key: str) -> None:
    """Nobody pulls, pushes or makes a model through the gateway; in Ollama a pull gets nowhere."""
    with caller(others, headers={"Authorization": f"Bearer {key}"}) as client:
        for route in ("pull", "push", "create"):
            reply = client.post(f"/api/{route}", json={"model": "tinyllama"})
            assert 400 <= reply.status_code < 500
    if served == "ollama":
        body = '{"model": "tinyllama", "stream": false}'
        status, _ = call(others, served, "POST", "/api/pull", body)
        assert status >= 400
        _, listed = call(others, served, "GET", "/api/tags")
        assert len(json.loads(listed)["models"]) == 1


@pytest.mark.usefixtures("key")
def test_it_is_closed_in(others: DockerStack, served: str) -> None:
    """A user of its own, no capability, a filter of system calls, a read-only root, limits."""
    processes = others.python(served, STATUS)
    assert len(processes) >= 2
    for process in processes:
        assert set(process["Uid"]) == {str(USER[served])}
        assert {int(process[f"Cap{kind}"][0], 16) for kind in ("Inh", "Prm", "Eff", "Bnd")} == {0}
        assert (process["NoNewPrivs"], process["Seccomp"]) == (["1"], ["2"])
    refused = others.python(served, WRITE)
    assert set(refused.values()) <= {"EROFS", "ENOENT"}
    found = others.inspected(served)
    limits = found["HostConfig"]
    assert 0 < limits["Memory"] == limits["MemorySwap"]
    assert min(limits["PidsLimit"], limits["NanoCpus"]) > 0
    assert limits["LogConfig"]["Config"]["max-size"]
    assert found["State"]["Health"]["Status"] == "healthy"


def test_its_log_holds_no_question(others: DockerStack, served: str, key: str) -> None:
    """Neither what was asked nor what was refused."""
    headers = {"Authorization": f"Bearer {key}"}
    with caller(others, headers=headers) as client:
        model = client.get("/v1/models").json()["data"][0]["id"]
        body = {"model": model, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 8}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    said = docker("logs", others.container(served))
    assert said.stdout + said.stderr
    assert SECRET not in said.stdout + said.stderr


def test_altered_weights_are_not_served(engine: None, tmp_path: Path) -> None:
    """llama-server's container hashes what it is to load, and starts nothing that differs."""
    good = next((ROOT / "models/demo/bundle").rglob("*.gguf"))
    library = tmp_path / "models"
    library.mkdir()
    digest = "ab" * 32
    shutil.copy(good, library / f"{digest}.gguf")
    for place in (library, *library.iterdir()):
        place.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    tmp_path.chmod(0o711)
    done = docker(
        "run", "--rm", "--network", "none", "--read-only", "--env", f"APPLIANCE_MODEL={digest}",
        "--volume", f"{library}:/var/lib/appliance/models:ro", f"appliance/llama-server:{VERSION}",
    )  # fmt: skip
    assert (done.returncode, "not what was signed; nothing was started" in done.stderr) == (1, True)
