"""The Compose file as Compose understands it, whole and broken on purpose."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from appliance.stack_file import findings
from tests.simulators.docker_stack import ROOT, DockerStack, merged

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


def test_an_image_from_elsewhere_does_not_run(stack: DockerStack, tmp_path: Path) -> None:
    """Whoever may edit an overlay could else put a program of their own in the gateway's place."""
    overlay = tmp_path / "foreign.yaml"
    overlay.write_text("services: {gateway: {image: elsewhere/gateway:1}}")
    more = {"APPLIANCE_OVERLAYS": str(overlay)}
    done = stack.script("up.sh", check=False, more=more)
    assert done.returncode == 1
    assert "elsewhere/gateway:1 is no image that was built here" in done.stderr
    assert stack.inspected("gateway")["Config"]["Image"].startswith("appliance/gateway:")
