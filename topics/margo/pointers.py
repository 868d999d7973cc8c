r"""Where a parameter's value goes: into Helm values by a dotted pointer, into a Compose environment by a name.

The form of a Helm pointer is that of ``helm install --set``: names joined by dots, ``\.`` for a dot within a
name, ``[2]`` for an entry of a list. Margo's ``pointer`` is defined by it.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_POINTER = 500
"""Most characters of a pointer."""

MAX_STEPS = 16
"""Most names and indexes of a pointer."""

MAX_INDEX = 63
"""Largest index: the entries before it are filled up, so a large one would be a large document."""

_STEP = re.compile(r"(?P<name>(?:[^.\[\]\\=,{}\x00-\x1f]|\\.)+)|\[(?P<index>[0-9]{1,5})\]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_OLD_PREFIX = "ENV."


def parse_pointer(pointer: str) -> tuple[str | int, ...]:
    """The steps of a pointer: names of members and indexes of lists, a name first.

    Raises ``ValueError`` saying why it is none.
    """
    if not pointer or len(pointer) > MAX_POINTER:
        raise ValueError(f"a pointer has 1 to {MAX_POINTER} characters, such as settings.log.level")
    steps: list[str | int] = []
    at = 0
    while at < len(pointer):
        if steps and pointer[at] == ".":
            at += 1
            wanted = "name"
        else:
            wanted = "index" if steps else "name"
        match = _STEP.match(pointer, at)
        if match is None or match.lastgroup != wanted:
            raise ValueError(f"{_shown(pointer)} is not a pointer such as settings.log.level or hosts[0].name")
        steps.append(_step(match))
        at = match.end()
    if len(steps) > MAX_STEPS:
        raise ValueError(f"{_shown(pointer)} has more than {MAX_STEPS} steps")
    return tuple(steps)


def set_value(values: dict[str, Any], pointer: str, value: Any) -> None:
    """Put ``value`` where ``pointer`` leads in ``values``, as ``helm --set`` would; makes what is missing.

    Raises ``ValueError``: no pointer, or it leads through something that has no members.
    """
    steps = parse_pointer(pointer)
    place: Any = values
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            if not isinstance(place, list):
                raise _leads_nowhere(pointer, f"[{step}] is an entry of a list, and there is none")
            place.extend([None] * (step + 1 - len(place)))
        elif not isinstance(place, dict):
            raise _leads_nowhere(pointer, "leads through a value that has no members")
        if following is None:
            place[step] = value
            return
        there = place[step] if isinstance(step, int) else place.get(step)
        if there is None:
            there = place[step] = [] if isinstance(following, int) else {}
        place = there


def variable_name(pointer: str) -> str:
    """The environment variable that a pointer of a Compose component names.

    ``ENV.NAME``, the form of 2024, is ``NAME``. Raises ``ValueError`` for what is no variable's name.
    """
    name = pointer.removeprefix(_OLD_PREFIX)
    if len(name) > MAX_POINTER or not _VARIABLE.match(name):
        raise ValueError(f"{_shown(pointer)} is not the name of an environment variable such as POLL_SECONDS")
    return name


def is_old_variable(pointer: str) -> bool:
    """Whether the pointer is in the form of 2024 (``ENV.NAME``)."""
    return pointer.startswith(_OLD_PREFIX)


def variable_text(value: object) -> str:
    """A value as the text of an environment variable: ``true``, ``1.5``; the entries of a list joined by commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return ",".join(variable_text(item) for item in value)
    return json.dumps(value, ensure_ascii=False)


def _step(match: re.Match[str]) -> str | int:
    index = match["index"]
    if index is None:
        return re.sub(r"\\(.)", r"\1", match["name"], flags=re.DOTALL)
    if int(index) > MAX_INDEX:
        raise ValueError(f"[{index}] is larger than the largest index, {MAX_INDEX}")
    return int(index)


def _leads_nowhere(pointer: str, why: str) -> ValueError:
    return ValueError(f"{_shown(pointer)}: {why}")


def _shown(pointer: str) -> str:
    return repr(pointer if len(pointer) <= 80 else pointer[:77] + "...")
