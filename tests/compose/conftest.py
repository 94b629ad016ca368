"""One stack on a real Docker engine, started once and shared by tests that leave it whole."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators import docker_stack
from tests.simulators.docker_stack import DockerStack
from tests.simulators.outside_world import outside_world

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="session")
def compose() -> None:
    """Docker Compose v2, which reads files without an engine."""
    if docker_stack.docker("compose", "version").returncode:
        # .ci/run accepts these words: it installs Compose wherever an engine can run.
        pytest.skip("no Docker engine answers here: Docker Compose v2 is not installed")


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine; without one, nothing here can run."""
    reason = docker_stack.why_not()
    if reason is not None:
        pytest.skip(reason)  # a machine that can run no engine; .ci/run accepts these words


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerStack]:
    """The running stack, of images that `make images` has built."""
    assert (ROOT / "build/images/images.lock").exists(), "there are no images: make images"
    running = DockerStack(tmp_path_factory.mktemp("stack"))
    running.make_certificate()
    running.remove()  # what a run that was killed has left
    running.up()
    yield running
    running.remove()


@pytest.fixture(scope="session")
def world(engine: None) -> Iterator[None]:
    """Public addresses that answer, on this machine's network."""
    with outside_world():
        yield


@pytest.fixture(scope="session")
def open_container(engine: None, world: None) -> Iterator[str]:
    """A container that nobody closed in: what it cannot do proves nothing about the others."""
    image = f"appliance/edge:{VERSION}"
    network = f"{docker_stack.PROJECT}-open"
    docker_stack.docker("network", "create", network)
    started = docker_stack.docker(
        "run", "--detach", "--rm", "--init", "--network", network, "--pull", "never",
        "--dns", "8.8.8.8", "--entrypoint", "sleep", image, "3600",
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()
    yield name
    docker_stack.docker("rm", "--force", name)
    docker_stack.docker("network", "rm", network)
