"""What Helm says, in words that name the field: reasons with paths, and without the values that are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.rendering.port import RenderAbandoned, RenderError
from topics.documents.base import MAX_REASONS, JsonObject
from topics.errors import Reason

_SECRET_KEY = re.compile(r"pass|secret|token|key|cred|auth|cert|private", re.IGNORECASE)
_MAX_MESSAGE = 1000
_FINDING = re.compile(r"^\s*- at '(?P<pointer>.*?)': (?P<message>.*)$")
_CHART = re.compile(r"^(?P<name>[A-Za-z0-9._-]+):$")
_HINT = "the chart's values.schema.json says which values it takes"


def values_error(text: str, values: JsonObject) -> RenderError:
    """What the chart's ``values.schema.json`` has against the values: one reason for each field.

    The form of the text is that of Helm 3.18 and later: a line with the chart's name, then its findings.
    """
    reasons: list[Reason] = []
    prefix = "helm.values"
    for line in text.splitlines():
        if chart := _CHART.match(line):
            # A subchart's schema speaks of the values below the subchart's name.
            name = chart["name"]
            prefix = f"helm.values.{name}" if isinstance(values.get(name), dict) else "helm.values"
        elif (finding := _FINDING.match(line)) and finding["message"] != "validation failed":
            reasons.append(
                Reason(
                    path=prefix + _dotted(finding["pointer"]), code="helm-values",
                    message=readable(finding["message"], values), hint=_HINT,
                )
            )  # fmt: skip
    if not reasons:
        reasons.append(Reason(path="helm.values", code="helm-values", message=readable(text, values), hint=_HINT))
    return RenderError(reasons[:MAX_REASONS])


def template_error(text: str, values: JsonObject) -> RenderError:
    """A template that fails."""
    return RenderError.because("helm-template", f"a template fails: {readable(text, values)}", path="helm")


def chart_error(text: str, values: JsonObject) -> RenderError:
    """A chart that Helm does not take."""
    return RenderError.because("helm-chart", f"Helm refuses the chart: {readable(text, values)}", path="helm.chart")


def timed_out(seconds: float) -> RenderAbandoned:
    """Rendering that did not end in time and was ended."""
    reason = Reason(
        path="helm.chart", code="helm-timed-out", message=f"the chart was not rendered within {seconds:g} s",
        hint="its templates may loop (range, until, recursive include); mend them, or the values that they count by",
    )  # fmt: skip
    return RenderAbandoned([reason])


def crashed(why: str) -> RenderAbandoned:
    """Rendering that Helm did not survive."""
    reason = Reason(
        path="helm.chart", code="helm-crashed", message=f"Helm did not survive rendering the chart: {why}",
        hint="its templates may want too much memory (range, until, repeat); mend them, or the values that they count by",
    )  # fmt: skip
    return RenderAbandoned([reason])


def readable(text: str, values: JsonObject) -> str:
    """One bounded line without the values whose key says that they are secret."""
    for secret in sorted(_secrets(values, False), key=len, reverse=True):
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 3] + "..."


def _dotted(pointer: str) -> str:
    path = ""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        path += f"[{key}]" if key.isdigit() else f".{key}"
    return path


def _secrets(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(item, secret or _SECRET_KEY.search(str(key)) is not None)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item, secret)
    elif secret and isinstance(value, str) and value:
        yield value
