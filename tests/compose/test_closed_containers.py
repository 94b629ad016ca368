"""What a program in a container may do to its own container, and what it finds there."""

from __future__ import annotations

import pytest

from tests.simulators.docker_stack import SERVICES, DockerStack

USERS = {"edge": 10_000, "ledger": 10_001, "gateway": 10_002, "engine": 10_003}
STATUS = """
import glob, json, re
found = []
for place in glob.glob("/proc/[0-9]*/status"):
    fields = dict(line.split(":", 1) for line in open(place) if ":" in line)
    found.append({key: value.split() for key, value in fields.items()})
print(json.dumps(found))
"""
RECORD = """
import json, os
found = []
for place, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(place, name) not in ("/proc", "/sys")]
    found += [name for name in files if name.startswith("audit.db")]
print(json.dumps(found))
"""
WRITE = """
import errno, json, os
refused = {}
for folder in ("/", "/etc", "/usr/bin", "/opt", "/opt/appliance", "/run", "/var/lib"):
    try:
        open(os.path.join(folder, "mine"), "w")
        refused[folder] = "written"
    except OSError as error:
        refused[folder] = errno.errorcode[error.errno]
print(json.dumps(refused))
"""


@pytest.mark.parametrize("service", SERVICES)
def test_every_process_is_closed_in(stack: DockerStack, service: str) -> None:
    """A user of its own, no capability now or ever, no new privileges, a seccomp filter."""
    processes = stack.python(service, STATUS)
    assert len(processes) >= 2
    for process in processes:
        assert set(process["Uid"]) == {str(USERS[service])}
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(process[kind][0], 16) == 0
        assert (process["NoNewPrivs"], process["Seccomp"]) == (["1"], ["2"])


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_of_the_image_can_be_written(stack: DockerStack, service: str) -> None:
    """The root file system is read-only, whoever owns the folder."""
    refused = stack.python(service, WRITE)
    assert set(refused.values()) <= {"EROFS", "ENOENT"}
    assert refused["/usr/bin"] == refused["/"] == "EROFS"


@pytest.mark.parametrize("service", SERVICES)
def test_limits_are_in_force(stack: DockerStack, service: str) -> None:
    """Memory without swap, processes, processors, the log's size; and Docker's own health check."""
    found = stack.inspected(service)
    limits = found["HostConfig"]
    assert 0 < limits["Memory"] == limits["MemorySwap"]
    assert limits["PidsLimit"] > 0
    assert limits["NanoCpus"] > 0
    assert limits["LogConfig"]["Config"]["max-size"]
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert found["State"]["Health"]["Status"] == "healthy"


@pytest.mark.parametrize("service", SERVICES)
def test_images_hold_no_tool_to_build_or_install(stack: DockerStack, service: str) -> None:
    """No compiler, no apt, no pip; nothing that fetches."""
    tools = "cc gcc c++ make apt apt-get pip pip3 curl wget ssh"
    program = (
        f"import json, shutil; print(json.dumps([t for t in '{tools}'.split() if shutil.which(t)]))"
    )
    assert stack.python(service, program) == []


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_in_image_or_environment(stack: DockerStack, service: str) -> None:
    """No variable but settings, none of them a secret; the names are all that there may be."""
    variables = dict(item.split("=", 1) for item in stack.inspected(service)["Config"]["Env"])
    ours = {name for name in variables if not name.startswith(("APPLIANCE_", "PYTHON"))}
    assert ours <= {"PATH", "LANG"}
    secret = ("KEY", "SECRET", "PASSWORD", "TOKEN")
    named = {name for name in variables if any(word in name for word in secret)}
    assert named <= {"APPLIANCE_LEDGER__WITNESS_KEY"}, "a witness's key is the public one"


def test_the_record_is_mounted_in_the_ledger_alone(stack: DockerStack) -> None:
    """Neither by its volume nor by a folder of the host that holds it."""
    mounts = {name: stack.inspected(name)["Mounts"] for name in SERVICES}
    places = {
        name: {mount["Source"] for mount in mounted if mount["Type"] != "tmpfs"}
        for name, mounted in mounts.items()
    }
    (record,) = (m["Source"] for m in mounts["ledger"] if m["Destination"] == "/var/lib/appliance")
    for name in SERVICES:
        seen = {
            place for place in places[name] if record.startswith(place) or place.startswith(record)
        }
        assert seen == ({record} if name == "ledger" else set())
    found = {name: stack.python(name, RECORD) for name in SERVICES}
    assert {name for name, files in found.items() if files} == {"ledger"}


def test_the_engine_cannot_write_a_model(stack: DockerStack) -> None:
    """It reads the weights that it serves, and its folder is read-only."""
    program = """
import errno, glob, json, os
files = glob.glob("/var/lib/appliance/models/*.gguf")
readable = [len(open(file, "rb").read(16)) for file in files]
try:
    os.open(files[0], os.O_WRONLY)
    refused = "opened"
except OSError as error:
    refused = errno.errorcode[error.errno]
try:
    open("/var/lib/appliance/models/active.json", "a")
    refused += " opened"
except OSError as error:
    refused += " " + errno.errorcode[error.errno]
print(json.dumps([readable, refused]))
"""
    readable, refused = stack.python("engine", program)
    assert readable == [16]
    assert set(refused.split()) <= {"EROFS", "EACCES"}


def test_the_edge_holds_no_data(stack: DockerStack) -> None:
    """Its certificate, and nothing else of this machine."""
    mounted = stack.inspected("edge")["Mounts"]
    assert [
        (mount["Destination"], mount["RW"]) for mount in mounted if mount["Type"] != "tmpfs"
    ] == [("/run/tls", False)]
