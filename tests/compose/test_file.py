"""The Compose file as Compose understands it, whole and broken on purpose."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from appliance.stack_file import findings
from tests.compose.conftest import VERSION
from tests.simulators.docker_stack import ROOT, DockerStack, docker, merged

pytestmark = pytest.mark.usefixtures("compose")

BROKEN = {
    "service engine: is on the network edge, which leads outside": """
services:
  engine:
    network_mode: !reset null
    networks: [edge]
""",
    "service ledger: publishes port 8080": """
services:
  ledger:
    ports: ["8080:8080"]
""",
    "network front: internal: true is missing: it leads outside": """
networks:
  front:
    internal: false
""",
    "service gateway: mounts ledger-state, which belongs to others": """
services:
  gateway:
    volumes: ["ledger-state:/record:ro"]
""",
    "service engine: device /dev/sda: only engine may have one, a GPU under its own name": """
services:
  engine:
    devices: ["/dev/sda:/dev/sda:rw"]
""",
    "service edge: reserves a device of nvidia: only engine may, an NVIDIA GPU": """
services:
  edge:
    deploy: {resources: {reservations: {devices: [{driver: nvidia, capabilities: [gpu]}]}}}
""",
    "service ollama: is on the network front": f"""
services:
  ollama:
    extends: {{file: {ROOT}/compose/ollama.yaml, service: ollama}}
    networks: [front]
volumes: {{ollama-models: }}
""",
    "service ollama: publishes port 11434": f"""
services:
  ollama:
    extends: {{file: {ROOT}/compose/ollama.yaml, service: ollama}}
    ports: ["11434:11434"]
volumes: {{ollama-models: }}
""",
    "volume models: driver_opts: it would be a folder of the host, or lie elsewhere": """
volumes:
  models:
    driver_opts: {type: none, o: bind, device: /}
""",
}


def test_the_file_has_no_finding() -> None:
    """As it is shipped, also with what newer engines get."""
    assert findings(merged()) == []
    assert findings(merged(ROOT / "compose" / "isolated.yaml")) == []


@pytest.mark.parametrize("said", BROKEN)
def test_a_broken_file_is_told_and_named(said: str, tmp_path: Path) -> None:
    """By an overlay, which is how a site would break it."""
    overlay = tmp_path / "broken.yaml"
    overlay.write_text(BROKEN[said])
    assert findings(merged(overlay)) == [said]


def test_images_are_of_this_version() -> None:
    """The tag that the file names is the version of this source."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tags = {service["image"] for service in merged()["services"].values()}
    assert {tag.partition(":")[2] for tag in tags} == {version}


@pytest.mark.parametrize("script", [("up.sh",), ("tls.sh", "show")], ids=["up", "tls"])
def test_an_image_from_elsewhere_does_not_run(
    stack: DockerStack, script: tuple[str, ...], tmp_path: Path
) -> None:
    """Whoever may edit an overlay could else put a program of their own in the gateway's place."""
    overlay = tmp_path / "foreign.yaml"
    overlay.write_text("services: {gateway: {image: elsewhere/gateway:1}}")
    more = {"APPLIANCE_OVERLAYS": str(overlay)}
    done = stack.script(*script, check=False, more=more)
    assert done.returncode == 1
    assert "elsewhere/gateway:1 is no image that was built here" in done.stderr
    assert stack.inspected("gateway")["Config"]["Image"].startswith("appliance/gateway:")


def test_an_image_that_was_replaced_does_not_run(stack: DockerStack) -> None:
    """Under the same name, by whoever may call Docker; what was built is known by what it holds."""
    edge, ledger = (f"appliance/{name}:{VERSION}" for name in ("edge", "ledger"))
    kept = docker("image", "inspect", "--format", "{{.Id}}", edge).stdout.strip()
    try:
        assert docker("tag", ledger, edge).returncode == 0
        done = stack.script("up.sh", check=False)
    finally:
        assert docker("tag", kept, edge).returncode == 0
    assert done.returncode == 1
    assert f"{edge} is not the image that was built here" in done.stderr


def test_files_that_compose_cannot_read_start_nothing(stack: DockerStack, tmp_path: Path) -> None:
    """Nor are they taken for files without any image."""
    overlay = tmp_path / "odd.yaml"
    overlay.write_text("services: {gateway: [")
    done = stack.script("up.sh", check=False, more={"APPLIANCE_OVERLAYS": str(overlay)})
    assert done.returncode == 1
    assert "Compose cannot read the files of the stack" in done.stderr
