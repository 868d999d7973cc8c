"""The bytes of a pull, references to images, credentials, and what is said when it fails."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.compose.credentials import auth_header, registry_of
from edge_agent.appliers.compose.failures import failure
from edge_agent.appliers.compose.options import ComposeOptions
from edge_agent.appliers.compose.pulling import Layers, split_reference
from edge_agent.appliers.port import ApplyError, OptionError


def line(layer: str, status: str, current: int | None = None, total: int | None = None) -> dict[str, Any]:
    return {
        "id": layer,
        "status": status,
        "progressDetail": {} if current is None else {"current": current, "total": total},
    }


def test_bytes_of_layers_are_added_up_and_the_total_is_known_when_all_are() -> None:
    """As an engine tells it: a layer's size comes when it begins with it."""
    layers = Layers()
    seen = []
    for item in (
        {"status": "Pulling from press/app", "id": "1.0"}, line("a", "Pulling fs layer"), line("b", "Pulling fs layer"),
        line("c", "Already exists"), line("a", "Downloading", 10, 100), line("b", "Waiting"),
        line("b", "Downloading", 5, 50), line("a", "Downloading", 100, 100), line("a", "Download complete"),
        line("b", "Downloading", 50, 50), line("b", "Verifying Checksum"), line("a", "Extracting", 7, 100),
        line("b", "Pull complete"), {"status": "Status: Downloaded newer image"},
    ):  # fmt: skip
        layers.take(item)
        seen.append((layers.done, layers.total))
    assert seen[5] == (10, None)
    assert seen[6] == (15, 150)
    assert seen[-1] == (150, 150)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "status", "progressDetail", "error"]),
            st.none()
            | st.text()
            | st.integers()
            | st.dictionaries(st.sampled_from(["current", "total"]), st.none() | st.integers() | st.text()),
        )
    )
)
def test_any_line_is_taken(lines: list[dict[str, Any]]) -> None:
    """Whatever the engine says, nothing breaks."""
    layers = Layers()
    for item in lines:
        layers.take(item)
    assert layers.done is not None


@pytest.mark.parametrize(
    ("image", "name", "tag", "registry"),
    [
        ("debian", "debian", "latest", "docker.io"), ("a/b:1", "a/b", "1", "docker.io"),
        ("localhost:5000/a", "localhost:5000/a", "latest", "localhost:5000"),
        ("r.example/a/b:1", "r.example/a/b", "1", "r.example"), ("[::1]:5000/a:1", "[::1]:5000/a", "1", "[::1]:5000"),
        ("r.example:5000/a:1@sha256:00", "r.example:5000/a", "sha256:00", "r.example:5000"),
    ],
)  # fmt: skip
def test_a_reference_has_a_name_a_tag_and_a_registry(image: str, name: str, tag: str, registry: str) -> None:
    """Without a tag it is latest; a digest counts before a tag."""
    assert (*split_reference(image), registry_of(image)) == (name, tag, registry)


def test_credentials_are_those_of_the_registry(tmp_path: Path) -> None:
    """Of ``docker login``; none for others, none without a file."""
    config = tmp_path / "config.json"
    assert auth_header("r.example/a", config) is None
    config.write_text(json.dumps({"auths": {
        "r.example": {"auth": base64.b64encode(b"ada:se:cret").decode()},
        "https://index.docker.io/v1/": {"identitytoken": "token"},
    }}))  # fmt: skip
    found = json.loads(base64.urlsafe_b64decode(auth_header("r.example/a:1", config) or ""))
    assert found == {"username": "ada", "password": "se:cret", "serveraddress": "r.example"}
    hub = json.loads(base64.urlsafe_b64decode(auth_header("debian", config) or ""))
    assert hub["identitytoken"] == "token"
    assert auth_header("other.example/a", config) is None


def test_credentials_come_from_a_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper is a program; one that is not there is said."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"r.example": "press", "s.example": "none"}}))
    helper = tmp_path / "docker-credential-press"
    helper.write_text('#!/bin/sh\nread server\nprintf \'{"Username":"ada","Secret":"%s"}\' "$server"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = json.loads(base64.urlsafe_b64decode(auth_header("r.example/a:1", config) or ""))
    assert found["password"] == "r.example"
    with pytest.raises(ApplyError, match="docker-credential-none"):
        auth_header("s.example/a", config)


@pytest.mark.parametrize("content", ["{", '{"auths": {"r.example": {"auth": "secret!"}}}'])
def test_a_broken_credentials_file_is_said_without_its_content(tmp_path: Path, content: str) -> None:
    """The path, and what writes it anew."""
    config = tmp_path / "config.json"
    config.write_text(content)
    with pytest.raises(ApplyError, match="docker login") as caught:
        auth_header("r.example/a", config)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "code", "retryable"),
    [
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "engine-down", True),
        ("write /var/lib/docker/x: no space left on device", "disk-full", True),
        ("driver failed programming external connectivity: listen tcp4 0.0.0.0:80: bind: address already in use", "port-in-use", True),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "port-in-use", True),
        ('Conflict. The container name "/x" is already in use by container "1"', "name-in-use", False),
        ("manifest for r.example/a:2 not found: manifest unknown: manifest unknown", "image-not-found", False),
        ("pull access denied for a, repository does not exist or may require 'docker login'", "image-not-found", False),
        ("no such image: a:1: No such image: a:1", "image-not-found", False),
        ("Get https://r/v2/: unauthorized: authentication required", "registry-auth", False),
        ("Get https://r/v2/: x509: certificate signed by unknown authority", "registry-tls", False),
        ("http: server gave HTTP response to HTTPS client", "registry-tls", False),
        ("Get http://r/v2/: dial tcp 127.0.0.1:9: connect: connection refused", "registry-unreachable", True),
        ("dial tcp: lookup r.invalid on 10.0.0.1:53: no such host", "registry-unreachable", True),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "image-platform", False),
        ("validating compose.json: services.db Additional property foo is not allowed", "invalid-project", False),
        ('exec: "nope": executable file not found in $PATH: unknown', "command-not-found", False),
        ('error gathering device information while adding custom device "/dev/x": no such file or directory', "device-missing", False),
        ('invalid mount config for type "bind": bind source path does not exist: /x', "mount-missing", False),
        ("dependency failed to start: container a_b-db-1 is unhealthy", "unhealthy", True),
        ("could not find an available, non-overlapping IPv4 address pool", "no-network-left", True),
        ("unknown flag: --pull", "compose-too-old", False),
        ("filesystem layer verification failed for digest sha256:1", "image-damaged", True),
        ("something new", "compose-failed", True),
        ("", "compose-failed", True),
    ],
)  # fmt: skip
def test_what_an_engine_says_has_a_code(said: str, code: str, retryable: bool) -> None:
    """And what was said stands in the message, with what to do."""
    error = failure(said, "to start the services", component="db")
    assert (error.code, error.retryable, error.component) == (code, retryable, "db")
    assert said in error.message
    assert "; " in error.message


def test_a_long_error_keeps_its_end() -> None:
    """A status has to fit a message."""
    error = failure("step " * 10_000 + "no space left on device", "to x")
    assert len(error.message) < 2_000
    assert "no space left" in error.message


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ({}, {}, "'projects'"), ({"projects": "/p", "engine": "rkt"}, {}, "rkt"), ({"projects": "/p", "x": ""}, {}, "'x'"),
        ({"projects": "/p", "socket": "tcp"}, {}, "Unix socket"), ({"projects": "/p", "settle": "nan"}, {}, "settle"),
        ({"projects": "/p"}, {"DOCKER_HOST": "tcp://far:2375"}, "elsewhere"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_said_at_the_start(options: dict[str, str], environment: dict[str, str], said: str) -> None:
    """Which, and what it must be."""
    with pytest.raises(OptionError, match=said):
        ComposeOptions.parse(options, environment)


def test_the_socket_is_that_of_the_engine() -> None:
    """From the environment where it says so, as the engines' own programs do."""
    assert ComposeOptions.parse({"projects": "/p"}, {}).socket == "/var/run/docker.sock"
    assert ComposeOptions.parse({"projects": "/p"}, {"DOCKER_HOST": "unix:///x.sock"}).socket == "/x.sock"
    podman = {"projects": "/p", "engine": "podman"}
    assert ComposeOptions.parse(podman, {"DOCKER_HOST": "tcp://x", "CONTAINER_HOST": "unix:///y"}).socket == "/y"
