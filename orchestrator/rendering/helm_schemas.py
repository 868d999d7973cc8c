"""Schemas of a chart's values that lead elsewhere: Helm would fetch them while it renders.

``$ref: https://…`` would make rendering depend on a server, and ``file:///…`` on this machine; a schema that a
chart brings may only refer to itself.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_NAME = "values.schema.json"
_MOST_BYTES = 4 * 1024 * 1024
_MOST_NESTED = 4
"""Charts in charts in charts, packed: deeper ones are not looked into, and Helm's own limits hold."""


@lru_cache(maxsize=4)
def foreign_references(archive: bytes) -> tuple[str, ...]:
    """Each ``file: reference`` of the archive's schemas that leads out of its schema, subcharts included."""
    return tuple(sorted(set(_in_archive(archive, "", _MOST_NESTED))))


def _in_archive(data: bytes, place: str, depth: int) -> Iterator[str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                packed = name.endswith(".tgz") and "/charts/" in f"/{member.name}" and depth > 0
                if not member.isreg() or member.size > _MOST_BYTES or not (packed or name == _NAME):
                    continue
                file = archive.extractfile(member)
                content = file.read() if file else b""
                if packed:
                    yield from _in_archive(content, f"{place}{member.name}: ", depth - 1)
                else:
                    yield from (f"{place}{member.name}: {reference}" for reference in _foreign(content))
    except (tarfile.TarError, EOFError, OSError):
        return  # a packed subchart that is none: Helm refuses it with its own words


def _foreign(content: bytes) -> Iterator[str]:
    try:
        waiting: list[Any] = [json.loads(content)]
    except (ValueError, RecursionError):
        return  # Helm says what is wrong with it
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key in ("$ref", "$dynamicRef", "$recursiveRef"):
                reference = item.get(key)
                if isinstance(reference, str) and not reference.startswith("#"):
                    yield reference[:200]
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
