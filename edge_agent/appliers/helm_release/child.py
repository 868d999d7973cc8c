"""Runs Helm in a process of its own: a crash is contained, its memory is given back, and it can be stopped.

The process ends with the thread that waits for it, even when the agent is killed with -9 (Linux: the parent-death
signal), so that an agent which was started again does not find its own older half still at work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled

_POLL_SECONDS = 0.1

# A program and not a preexec_fn: that one may deadlock in a process with threads. 1 is PR_SET_PDEATHSIG, kept across
# exec. A parent that died before the call is noticed, too.
_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

_PASSED = (
    "PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HELM_C_LIB",
)  # fmt: skip


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    output: bytes
    errors: bytes


def environment(home: Path) -> dict[str, str]:
    """What Helm sees: a home of its own, so that neither a person's repositories nor plug-ins take part."""
    return {
        **{name: os.environ[name] for name in _PASSED if name in os.environ},
        "HOME": str(home),
        "TMPDIR": str(home),
        **{f"HELM_{name}_HOME": str(home) for name in ("CACHE", "CONFIG", "DATA")},
    }


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """The command, changed so that it is killed when the calling thread or its process ends."""
    return [sys.executable, "-I", "-S", "-c", _WITH_PARENT, str(os.getpid()), *command]


def run(
    command: Sequence[str],
    *,
    given: bytes,
    variables: Mapping[str, str],
    seconds: float,
    cancelled: CancelCheck,
    executable: str | None = None,
) -> Ended:
    """Run a command to its end. Raises ``Cancelled``, and ``ApplyError`` when it takes longer than ``seconds``.

    Either way it is killed: what it left half done is what a killed agent would leave, and is repaired the same way.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell; the program is the operator's
            list(command), executable=executable, env=dict(variables),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ApplyError("helm-missing", f"Helm cannot be started: {error}; install it anew", retryable=True) from error
    deadline = time.monotonic() + seconds
    with process:
        try:
            pending: bytes | None = given
            while True:
                try:
                    output, errors = process.communicate(pending, timeout=_POLL_SECONDS)
                    return Ended(process.returncode, output, errors)
                except subprocess.TimeoutExpired:
                    pending = None
                if cancelled():
                    raise Cancelled("Helm was stopped in the middle; the next call goes on from there")
                if time.monotonic() > deadline:
                    raise ApplyError(
                        "timed-out", f"Helm did not end within {seconds:g} s; it was stopped", retryable=True
                    )
        finally:
            if process.poll() is None:
                # With what it started: a credential plug-in of the kubeconfig may be what it waits for.
                os.killpg(process.pid, signal.SIGKILL)
