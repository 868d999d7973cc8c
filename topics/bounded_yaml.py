"""YAML with bounded nesting, read by libyaml.

PyYAML's C loader builds nodes by recursion on the C stack and without a check: 100,000 ``[`` in
a row end the process with a segmentation fault (seen with PyYAML 6.0.3). Nesting is therefore counted
on the event stream, which is flat, before anything is built.
"""

from __future__ import annotations

from typing import Any

import yaml

MAX_DEPTH = 200
"""Deeper than any Kubernetes object or chart; Go's decoder gives up far later."""

_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def check_depth(text: str) -> None:
    """Raise ``ValueError`` if the YAML text nests deeper than ``MAX_DEPTH``, ``yaml.YAMLError`` if it is none."""
    if _at_most(text) <= MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, _OPENING):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, _CLOSING):
            depth -= 1


def load(data: bytes) -> Any:
    """The first document of YAML bytes, by PyYAML's safe rules.

    Raises ``ValueError`` (not UTF-8, nested too deeply) or ``yaml.YAMLError``.
    """
    text = data.decode("utf-8-sig")
    check_depth(text)
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _at_most(text: str) -> int:
    """An upper bound of the nesting that costs one look at each line: most texts need no event stream."""
    flow = text.count("[") + text.count("{")
    block = 0
    for line in text.splitlines():
        block = max(block, len(line) - len(line.lstrip()) + line.count("-") + line.count("?") + 1)
    return flow + block
