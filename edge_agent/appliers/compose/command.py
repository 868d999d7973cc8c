"""Runs Compose's command line: bounded in time, stopped when asked, and never twice at once for a deployment.

A Compose that this agent started may outlive it: after ``kill -9`` it goes on. So every one holds a lock on the
deployment's folder, which it inherits, and whoever wants to change the deployment waits until it is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_agent.appliers.compose.failures import failure
from edge_agent.appliers.compose.options import ENGINES
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled, never
from topics.documents.compose import PROJECT_FILE

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 10.0
_VERSION_SECONDS = 30.0
_KEPT_BYTES = 16 * 1024
_KEPT_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "DOCKER_CONFIG", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    "CONTAINERS_CONF", "CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""What of the agent's own environment Compose may see: the rest could fill in variables of a project."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """For one run: who can cancel it, how many seconds it has, the lock that it inherits, and whose errors it makes."""

    cancelled: CancelCheck
    seconds: float
    component: str | None = None
    lock: int | None = None


class TimedOutError(Exception):
    """The time of the component is over."""


class Compose:
    """The command line of one engine; ``socket`` is the path of its API."""

    def __init__(self, engine: str, socket: str, environment: Mapping[str, str] = os.environ) -> None:
        self._engine = engine
        self._command = ENGINES[engine]
        self._environment = {name: environment[name] for name in _KEPT_VARIABLES if name in environment}
        self._environment["DOCKER_HOST" if engine == "docker" else "CONTAINER_HOST"] = f"unix://{socket}"

    @property
    def shown(self) -> str:
        """The command for messages."""
        return " ".join(self._command[:2])

    def check(self) -> None:
        """Raise ``ApplyError`` unless Compose is there and answers."""
        try:
            self._run(["version"], {}, "to ask for the version of Compose", Bounds(never, _VERSION_SECONDS))
        except TimedOutError as error:
            raise ApplyError(
                "compose-failed", f"{self.shown} did not answer within {_VERSION_SECONDS:g} s; the device may be too busy",
                retryable=True,
            ) from error  # fmt: skip

    def validate(self, name: str, folder: Path, environment: Mapping[str, str], bounds: Bounds) -> None:
        """Raise ``ApplyError`` unless this Compose takes the project in the folder.

        podman-compose has had a command for that only since 1.1; there ``up`` is the first to say it.
        """
        if self._is_podman_compose:
            return
        arguments = [*self._of(name, folder), "config", "--quiet"]
        try:
            self._run(arguments, environment, "to read the project", bounds)
        except TimedOutError as error:
            raise ApplyError(
                "compose-failed", f"{self.shown} did not read the project within {bounds.seconds:g} s; the device may be "
                "too busy", retryable=True, component=bounds.component,
            ) from error  # fmt: skip
        except ApplyError as error:
            if error.code != "compose-failed":
                raise
            # It only reads here, so what it says is about the project.
            message = f"{self.shown} does not take the project: {error.message}"
            raise ApplyError("invalid-project", message, retryable=False, component=bounds.component) from error

    def up(self, name: str, folder: Path, environment: Mapping[str, str], bounds: Bounds) -> str:
        """Create and start what is not as the project says; what Compose said, for one that fails without saying so.

        podman-compose 1.0 does not notice what has changed, so it makes all containers anew. Raises ``ApplyError`` and
        ``TimedOutError``.
        """
        own = ["--force-recreate"] if self._is_podman_compose else ["--pull", "never"]
        arguments = [*self._of(name, folder), "up", "-d", "--remove-orphans", "--no-build", *own]
        return self._run(arguments, environment, "to start the services", bounds)

    def down(self, name: str, folder: Path | None, volumes: bool, bounds: Bounds) -> None:
        """Stop and remove what a project has on the engine; without a folder, what carries its name.

        podman-compose needs the folder, and leaves containers of services that are not in the project any more.
        """
        if self._is_podman_compose and folder is None:
            return
        orphans = [] if self._is_podman_compose else ["--remove-orphans"]
        arguments = [*self._of(name, folder), "down", *orphans, *(["--volumes"] if volumes else [])]
        try:
            self._run(arguments, {}, f"to take down the project {name}", bounds)
        except TimedOutError as error:
            raise ApplyError(
                "compose-timed-out",
                f"the project {name} was not gone after {bounds.seconds:g} s; look which container does not end",
                retryable=True,
                component=bounds.component,
            ) from error

    @property
    def _is_podman_compose(self) -> bool:
        return self._engine == "podman-compose"

    @staticmethod
    def _of(name: str, folder: Path | None) -> list[str]:
        return ["-p", name, *([] if folder is None else ["-f", str(folder / PROJECT_FILE)])]

    def _run(self, arguments: Sequence[str], environment: Mapping[str, str], what: str, bounds: Bounds) -> str:
        with tempfile.TemporaryFile() as output:
            process = self._start(
                [*self._command, *arguments], {**environment, **self._environment}, output, bounds.lock
            )
            try:
                code = _wait(process, bounds.cancelled, bounds.seconds)
            except BaseException:
                _end(process)
                raise
            if code is None:
                _end(process)
                raise Cancelled(f"{self.shown} was stopped", component=bounds.component)
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - _KEPT_BYTES))
            said = output.read().decode("utf-8", "replace")
        if code == 0:
            return said
        raise failure(_without_steps(said), what, component=bounds.component)

    @staticmethod
    def _start(
        command: Sequence[str], environment: Mapping[str, str], output: IO[bytes], lock: int | None
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - the agent's own command; of a manifest come only files
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd="/", start_new_session=True, pass_fds=() if lock is None else (lock,),
            )  # fmt: skip
        except OSError as error:
            raise ApplyError(
                "compose-missing",
                f"{command[0]} cannot be started: {error.strerror}; install it with its compose plugin, or choose "
                "another --compose-engine",
                retryable=False,
            ) from error


@contextlib.contextmanager
def alone(folder: Path, cancelled: CancelCheck, seconds: float) -> Iterator[int]:
    """Hold the deployment's lock; a Compose that inherits the descriptor holds it too, until it ends.

    Raises ``ApplyError`` if another one does not end in time, ``OSError`` passes through.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + seconds
    try:
        while not _locked(descriptor):
            if cancelled():
                raise Cancelled("waiting for an earlier Compose was cancelled")
            if time.monotonic() >= deadline:
                raise ApplyError(
                    "compose-busy", f"a Compose that was started before still works on {folder.name} after {seconds:g} s; "
                    "look with ps what it waits for", retryable=True,
                )  # fmt: skip
            time.sleep(_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(process: subprocess.Popen[bytes], cancelled: CancelCheck, seconds: float) -> int | None:
    """The exit status, or ``None`` when cancelled. Raises ``TimedOutError``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if cancelled():
                return None
            if time.monotonic() >= deadline:
                raise TimedOutError from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Compose and its plugin, which are a process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            return


def _without_steps(said: str) -> str:
    """What Compose said without its lines of progress (`` Container a  Started``), if anything is left."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(" ")]
    return "\n".join(lines) or said
