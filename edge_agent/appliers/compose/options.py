"""The options of the compose applier, checked when the agent starts and not when it first deploys."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.appliers.port import OptionError

ENGINES: Mapping[str, tuple[str, ...]] = {
    "docker": ("docker", "compose", "--ansi", "never", "--progress", "plain"),
    "podman": ("podman", "compose"),
    "podman-compose": ("podman-compose",),
}
"""What runs Compose, by the engine's name."""

_KNOWN = ("projects", "engine", "socket", "device", "settle", "registry-config")
_DOCKER_SOCKET = "/var/run/docker.sock"
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ComposeOptions:
    """``projects``: a folder in the agent's data folder. ``engine``: ``docker``, ``podman`` or ``podman-compose``.

    ``socket``: the engine's API; it is there for Podman too (``podman.socket``). ``device``: id of this device.
    ``settle`` (seconds): how long a container without a health check has to run before it counts as running.
    ``registry_config``: the file in which ``docker login`` keeps credentials.
    """

    projects: Path
    engine: str
    socket: str
    device: str
    settle: float
    registry_config: Path

    @classmethod
    def parse(cls, options: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> ComposeOptions:
        """Read the options; raises ``OptionError`` for unknown, missing and unusable ones."""
        unknown = sorted(set(options) - set(_KNOWN))
        if unknown:
            raise OptionError(f"the compose applier has no option {unknown[0]!r}; it has {', '.join(_KNOWN)}")
        if not options.get("projects"):
            raise OptionError("the compose applier needs the option 'projects': a folder in the agent's data folder")
        engine = options.get("engine", "docker")
        if engine not in ENGINES:
            raise OptionError(f"'engine' is {engine!r}, but it is one of {', '.join(ENGINES)}")
        socket = options.get("socket") or _socket(engine, environment)
        if not socket.startswith("/"):
            raise OptionError(f"'socket' is {socket!r}, but it is the path of a Unix socket such as {_DOCKER_SOCKET}")
        home = environment.get("HOME") or "/root"
        folder = environment.get("DOCKER_CONFIG") or f"{home}/.docker"
        return cls(
            projects=Path(options["projects"]).absolute(),
            engine=engine,
            socket=socket,
            device=options.get("device", ""),
            settle=_seconds(options.get("settle", str(_SETTLE_SECONDS))),
            registry_config=Path(options.get("registry-config") or f"{folder}/config.json"),
        )


def _socket(engine: str, environment: Mapping[str, str]) -> str:
    given = environment.get("DOCKER_HOST" if engine == "docker" else "CONTAINER_HOST", "")
    if given:
        scheme, _, path = given.partition("://")
        if scheme != "unix":
            raise OptionError(
                f"{given!r} is an engine elsewhere; the compose applier works with the device's own, by a Unix socket"
            )
        return path
    if engine == "docker":
        return _DOCKER_SOCKET
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    return f"{runtime}/podman/podman.sock" if runtime and os.geteuid() != 0 else "/run/podman/podman.sock"


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 600:
        raise OptionError(f"'settle' is {value!r}, but it is a number of seconds from 0 to 600")
    return seconds
