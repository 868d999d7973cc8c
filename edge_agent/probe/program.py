"""Asks an installed program something and gets its first line, within a time and a size."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

_LIMIT = 64 * 1024
_LONGEST_LINE = 100
_GRACE_SECONDS = 1.0
"""How long a killed program may take to be gone; one that hangs in the kernel is left behind."""


def first_line(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> str:
    """The first line that the command prints, at most 100 printable characters.

    Empty if the program is not installed, fails, says nothing, or has not ended after ``seconds``: it
    is then killed with everything it started.
    """
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        return ""
    try:
        process = subprocess.Popen(  # noqa: S603  # commands of the probe's own, no shell
            [program, *command[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=dict(environment), start_new_session=True,
        )  # fmt: skip
    except OSError:
        return ""  # not for this processor, or no memory for it
    deadline = time.monotonic() + seconds
    try:
        output = _read(process, deadline)
        ended_well = process.wait(max(0.0, deadline - time.monotonic())) == 0
    except subprocess.TimeoutExpired:
        return ""
    finally:
        _end(process)
    return _line(output) if ended_well else ""


def _read(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Everything up to the end of the output, the limit, or the deadline."""
    assert process.stdout is not None
    output = b""
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    while len(output) < _LIMIT and poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
        piece = os.read(process.stdout.fileno(), _LIMIT - len(output))
        if not piece:
            break
        output += piece
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind: the session's processes are ended while its first one still holds the number."""
    assert process.stdout is not None
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    process.stdout.close()


def _line(output: bytes) -> str:
    for line in output.decode(errors="replace").splitlines():
        if shown := "".join(filter(str.isprintable, line)).strip():
            return shown[:_LONGEST_LINE]
    return ""
