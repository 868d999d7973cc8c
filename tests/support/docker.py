"""A Docker engine for tests: whether there is one, images made for a test, and a registry to pull them from.

What a test makes carries a label of its own and is removed by that label; nothing else on the engine is touched.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BASE_IMAGE = "local/debian-python:bookworm"
TEST_LABEL = "fleetbus-test"
GROUP = pytest.mark.xdist_group("docker")
"""One worker runs all of these: projects are called after deployments, and every test calls its one alike."""


@functools.cache
def no_engine() -> str | None:
    """Why tests with an engine are skipped; ``None`` if there is everything that they need."""
    if shutil.which("docker") is None:
        return "no docker command; tests/setup/docker-engine.sh installs it"
    for command, missing in (
        (["docker", "info"], "no Docker engine answers; tests/setup/docker-engine.sh starts one"),
        (["docker", "compose", "version"], "docker compose is not there; tests/setup/docker-engine.sh installs it"),
        (["docker", "image", "inspect", BASE_IMAGE], f"no image {BASE_IMAGE}; tests/setup/docker-engine.sh makes it"),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return missing
    return None


def docker(*arguments: str, check: bool = True, stdin: bytes | None = None) -> str:
    """Run ``docker`` and return its output; its errors fail the test with what it said."""
    done = subprocess.run(["docker", *arguments], capture_output=True, check=False, input=stdin)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace").strip()


def containers(label: str) -> dict[str, dict[str, Any]]:
    """All containers with a label, by name, as ``docker inspect`` shows them."""
    ids = docker("ps", "-aq", "--filter", f"label={label}").split()
    found = json.loads(docker("inspect", *ids, check=False) or "[]") if ids else []
    return {item["Name"].lstrip("/"): item for item in found}


def volumes(project: str) -> list[str]:
    """The volumes of a project."""
    return docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={project}").split()


def networks(project: str) -> list[str]:
    """The networks of a project."""
    return docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={project}").split()


@contextmanager
def device_on_engine() -> Iterator[str]:
    """A device id of its own; what its agent left on the engine is removed at the end."""
    device = f"test-{uuid.uuid4().hex[:8]}"
    try:
        yield device
    finally:
        remove_all(f"fleetbus.io/device={device}")
        remove_all(f"{TEST_LABEL}={device}")


def remove_all(label: str) -> None:
    """Remove every container with the label, and the volumes and networks of their projects."""
    found = containers(label)
    projects = {item["Config"]["Labels"].get("com.docker.compose.project", "") for item in found.values()} - {""}
    if found:
        docker("rm", "-f", "-v", *(item["Id"] for item in found.values()), check=False)
    for project in projects:
        for kind, ids in (("volume", volumes(project)), ("network", networks(project))):
            if ids:
                docker(kind, "rm", *ids, check=False)


@contextmanager
def built_image(tag: str, folder: Path, dockerfile: str) -> Iterator[str]:
    """An image built on the base image; untagged again at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\n{dockerfile}\n")
    docker("build", "-q", "-t", tag, str(folder))
    try:
        yield tag
    finally:
        docker("rmi", "-f", tag, check=False)
