"""What engines, registries and Compose say when they cannot, as the port's errors: a code, and what to do.

They have no codes of their own, only sentences. Those matched here are of Docker 20 to 28, Podman 4 and 5, and Compose
2.26 and later; the first match counts. What nobody knows is ``compose-failed`` and is tried again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_agent.appliers.port import ApplyError

_MAX_TEXT = 1500  # characters of what was said; a status has to fit a message


@dataclass(frozen=True, slots=True)
class _Kind:
    pattern: re.Pattern[str]
    code: str
    retryable: bool
    remedy: str


def _kind(code: str, retryable: bool, remedy: str, *patterns: str) -> _Kind:
    return _Kind(re.compile("|".join(patterns), re.IGNORECASE), code, retryable, remedy)


_KINDS = (
    _kind("engine-down", True, "start the engine (systemctl start docker)",
          "cannot connect to the docker daemon", "is the docker daemon running", "cannot connect to podman",
          "error during connect"),
    _kind("disk-full", True, "free some space: docker image prune -a removes images that nothing uses",
          "no space left on device", "disk quota exceeded"),
    _kind("port-in-use", True, "stop what listens there, or publish another port",
          "port is already allocated", "address already in use", "ports are not available"),
    _kind("name-in-use", False, "remove that container, or leave 'container_name' out of the project",
          "container name .* is already in use", "name .* is in use"),
    _kind("image-platform", False, "push an image for this device's architecture",
          "no matching manifest for", "no image found in (?:image index|manifest list)", "does not match the (?:specified|detected host) platform"),
    _kind("image-not-found", False, "check the image's name and tag, and that it was pushed (a private one needs docker login)",
          "manifest unknown", "manifest for .* not found", "no such image", "name unknown", "repository .* not found",
          "repository does not exist", "not found: does not exist", ": not found", "image not known"),
    _kind("registry-auth", False, "run docker login for this registry as the agent's user",
          "unauthorized", "authentication required", "no basic auth credentials", "access denied", "access to the resource is denied", "denied:"),
    _kind("registry-tls", False, "give the engine the registry's certificate authority (/etc/docker/certs.d)",
          "x509:", "http response to https client", "certificate"),
    _kind("image-damaged", True, "the image came damaged; it is fetched again",
          "verification failed", "digest mismatch", "unexpected eof", "unexpected commit digest"),
    _kind("registry-unreachable", True, "check the network and that the registry is up",
          "connection refused", "no such host", "i/o timeout", "tls handshake timeout", "network is unreachable",
          "no route to host", "client.timeout", "toomanyrequests", "service unavailable", "bad gateway", "server error",
          "connection reset", "context deadline exceeded", "temporary failure in name resolution", "\\bEOF\\b"),
    _kind("invalid-project", False, "correct the project; 'docker compose config' shows the same",
          "validating ", "invalid compose project", "undefined (?:network|volume|service|config|secret)", "yaml:",
          "additional propert", "must be a ", "depends on undefined", "invalid reference format", "env file .* not found"),
    _kind("mount-missing", False, "make the file or folder on the device, or correct the mount",
          "bind source path does not exist", "error mounting", "invalid mount config", "not a directory", "statfs .* no such file"),
    _kind("device-missing", False, "attach the device, or correct 'devices'",
          "error gathering device information", "could not select device driver"),
    _kind("command-not-found", False, "correct 'command' or 'entrypoint', or the image",
          "executable file not found", "exec format error", "no such file or directory: unknown", "permission denied: unknown"),
    _kind("unhealthy", True, "look at the logs of the container that it waits for",
          "dependency failed to start", "is unhealthy"),
    _kind("no-network-left", True, "remove networks that nothing uses: docker network prune",
          "non-overlapping ipv4 address pool", "pool overlaps with other"),
    _kind("compose-too-old", False, "install Compose 2.20 or later", "unknown flag", "unknown shorthand flag", "unrecognized arguments"),
)  # fmt: skip


def failure(text: str, what: str, *, component: str | None = None, engine_says: bool = False) -> ApplyError:
    """The error for what an engine or Compose said; ``what`` is "to start the services".

    ``engine_says``: the text is about fetching an image, so a refused connection is the registry's.
    """
    said = " ".join(text.split())
    for kind in _KINDS:
        if kind.pattern.search(said):
            return ApplyError(
                kind.code, _sentence(what, said, kind.remedy), retryable=kind.retryable, component=component
            )
    code, remedy = (
        ("pull-failed", "look into the engine's log")
        if engine_says
        else ("compose-failed", "look into the engine's log")
    )
    return ApplyError(code, _sentence(what, said, remedy), retryable=True, component=component)


def _sentence(what: str, said: str, remedy: str) -> str:
    # The end of it says what failed; the beginning is what went well.
    shown = said if len(said) <= _MAX_TEXT else "…" + said[-_MAX_TEXT:]
    return f"it was not possible {what}: {shown or 'nothing was said'}; {remedy}"
