"""The answer of a readiness rule."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 500  # characters of a message: it comes from the cluster and ends in a status that must fit a packet


@dataclass(frozen=True, slots=True)
class Readiness:
    """``ready``; or not yet; or ``failed``: it will not become ready without a change of the object.

    ``message`` says for a person what is missing, without the object's name; it is empty when ready.
    """

    ready: bool
    failed: bool = False
    message: str = ""


READY = Readiness(ready=True)


def waiting(message: str) -> Readiness:
    """Not ready yet, and why."""
    return Readiness(ready=False, message=_short(message))


def failed(message: str) -> Readiness:
    """Not ready, and it will not become so by waiting."""
    return Readiness(ready=False, failed=True, message=_short(message))


def _short(message: str) -> str:
    return message if len(message) <= _MOST else message[: _MOST - 1] + "…"
