"""How a command ends: the exit codes that scripts rely on, and the one error that carries them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command. Changing one breaks scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 4
    NOT_FOUND = 5


MEANING: dict[Exit, str] = {
    Exit.OK: "done; with --wait: it is so on every device",
    Exit.FAILED: "rejected, failed, refused, or no device can take it",
    Exit.USAGE: "wrong usage, or a document or file that is not valid; nothing was sent",
    Exit.UNREACHABLE: "the broker cannot be reached or refuses the connection",
    Exit.TIMED_OUT: "no answer, or not finished, within --timeout",
    Exit.NOT_FOUND: "there is nothing of that name on the broker",
}


class CliError(Exception):
    """A command cannot do what was asked: one line of what is wrong, then lines of detail."""

    def __init__(self, code: Exit, message: str, details: Sequence[str] = ()) -> None:
        self.code = code
        self.details = tuple(details)
        super().__init__(message)


def not_found(kind: str, name: str) -> CliError:
    """There is no spec, deployment or device of this name; what there is, ``get`` says."""
    return CliError(
        Exit.NOT_FOUND, f"there is no {kind} {name!r} on this broker", [f"see which there are: fleetbus get {kind}s"]
    )
