"""Placeholders in a component: ``${device.labels.line:-none}`` becomes what is true of the device.

``${device.id}``, ``${device.labels.KEY}``, ``${device.vendor}``, ``${device.model}``, ``${device.serial}`` and
``${deployment}``, each with an optional ``:-default`` as in a shell. A second ``$`` in front keeps one as it is
written. What is none of these is left alone, for it belongs to the application; only an unknown
``${device.…}`` is refused, because it is a typing error. Values are filled in, keys never; what is filled in is
text and is not looked at again. There is no generation among them: objects would change with every one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.rendering.port import RenderError, Target
from topics.errors import Reason

DEPLOYMENT = "deployment"
_LABELS = "device.labels."
_PROPERTIES: Mapping[str, str] = {"device.vendor": "vendor", "device.model": "model", "device.serial": "serial"}
KNOWN = ("device.id", _LABELS + "KEY", *_PROPERTIES, DEPLOYMENT)

_PLACEHOLDER = re.compile(r"(?P<escape>\$?)\$\{(?P<fact>device\.[^{}:]*|deployment)(?P<default>:-[^{}]*)?\}")

Facts = Mapping[str, str | None]
"""Per fact (``device.labels.line``) what is true of the device; ``None`` where it does not say."""


def facts_in(value: Any) -> frozenset[str]:
    """The facts that the strings of a JSON value ask for, unknown ones among them; the value may nest deeply."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "${" in item:
                found.update(match["fact"] for match in _PLACEHOLDER.finditer(item) if not match["escape"])
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return frozenset(found)


def has_placeholders(value: Any) -> bool:
    """Whether anything in the value is to be filled in or unescaped."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if "${" in item and _PLACEHOLDER.search(item):
                return True
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return False


def depends_on_device(facts: Iterable[str]) -> bool:
    """Whether any of the facts may differ by device."""
    return any(fact != DEPLOYMENT for fact in facts)


def values_of(facts: Iterable[str], target: Target, deployment: str) -> Facts:
    """What is true of the device, for the facts that are asked for."""
    return {fact: _value(fact, target, deployment) for fact in facts}


def filled(value: Any, facts: Facts, target: Target, path: str) -> Any:
    """A copy of the JSON value with its placeholders filled in.

    ``path`` is where the value stands. Raises ``RenderError`` (``placeholder-unknown``, ``placeholder-missing``)
    with a reason for each placeholder that cannot be filled in: its place, and what the device lacks.
    """
    reasons: list[Reason] = []
    made = _filled(value, path, _Filler(facts, target, reasons))
    if reasons:
        raise RenderError(reasons)
    return made


def unknown_in(value: Any, path: str) -> tuple[Reason, ...]:
    """A reason for each placeholder in the value that no device can fill in, whatever it is."""
    try:
        filled(value, dict.fromkeys(facts_in(value), ""), Target(""), path)
    except RenderError as error:
        return error.reasons
    return ()


class _Filler:
    """Fills in one text; notes what is missing, once for each place and fact."""

    def __init__(self, facts: Facts, target: Target, reasons: list[Reason]) -> None:
        self._facts = facts
        self._target = target
        self._reasons = reasons

    def fill(self, text: str, path: str) -> str:
        return _PLACEHOLDER.sub(self._replacement(path), text)

    def _replacement(self, path: str) -> Callable[[re.Match[str]], str]:
        def replacement(match: re.Match[str]) -> str:
            if match["escape"]:
                return match[0][1:]
            fact, default = match["fact"], match["default"]
            if not is_known(fact):
                self._reasons.append(_unknown(fact, path))
                return ""
            value = self._facts.get(fact)
            if value is None:
                if default is None:
                    self._reasons.append(_missing(fact, self._target, path))
                    return ""
                return default[2:]
            return value

        return replacement


def is_known(fact: str) -> bool:
    """Whether there is such a fact; which labels there are, nobody knows beforehand."""
    return fact in ("device.id", DEPLOYMENT) or fact in _PROPERTIES or (fact.startswith(_LABELS) and fact != _LABELS)


def _filled(value: Any, path: str, filler: _Filler) -> Any:
    # Documents are bounded in depth (topics.codec.MAX_DEPTH), so recursion is.
    if isinstance(value, str):
        return filler.fill(value, path) if "${" in value else value
    if isinstance(value, dict):
        return {key: _filled(item, f"{path}.{key}" if path else str(key), filler) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, f"{path}[{index}]", filler) for index, item in enumerate(value)]
    return value


def _value(fact: str, target: Target, deployment: str) -> str | None:
    if fact == "device.id":
        return target.device
    if fact == DEPLOYMENT:
        return deployment
    if fact.startswith(_LABELS):
        return target.labels.get(fact.removeprefix(_LABELS))
    attribute = _PROPERTIES.get(fact)
    if attribute is None or target.capabilities is None:
        return None
    return getattr(target.capabilities, attribute) or None


def _missing(fact: str, target: Target, path: str) -> Reason:
    if fact.startswith(_LABELS):
        key = fact.removeprefix(_LABELS)
        what, hint = f"the device has no label {key!r}", f"set the label on the device, or write ${{{fact}:-default}}"
    else:
        what = f"the device does not say its {fact.rpartition('.')[2]}"
        hint = f"set it in the device's capabilities file, or write ${{{fact}:-default}}"
    if target.capabilities is None:
        what, hint = (
            f"nothing is known of the device {target.device!r} here",
            f"write ${{{fact}:-default}}, or ask the broker (--live)",
        )
    return Reason(
        path=path, code="placeholder-missing", message=f"${{{fact}}} cannot be filled in: {what}", required=fact,
        hint=hint, device=target.device,
    )  # fmt: skip


def _unknown(fact: str, path: str) -> Reason:
    return Reason(
        path=path, code="placeholder-unknown", message=f"${{{fact}}} is no placeholder", required=fact,
        available=", ".join(KNOWN), hint=f"write $${{{fact}}} if the application is to get it as it is",
    )  # fmt: skip
