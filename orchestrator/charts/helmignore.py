"""The ``.helmignore`` rules: which files of a chart folder stay out of its archive.

The form is Helm's (https://helm.sh/docs/chart_template_guide/helm_ignore_file/): ``#`` comments, a
trailing ``/`` for folders only, a slash anywhere else for a path from the chart's root, otherwise a
file name; ``*``, ``?`` and ``[…]`` never cross a slash, ``**`` is refused. As in Helm, and unlike Git, a
negated rule (``!``) leaves out whatever it does not match.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.charts.errors import ChartFetchError

# Built into Helm: hidden files among the templates are never templates.
_DEFAULTS = ("templates/.?*",)


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    whole_path: bool
    folders_only: bool
    negated: bool

    def leaves_out(self, path: str, folder: bool) -> bool:
        subject = path if self.whole_path else path.rpartition("/")[2]
        matches = (folder or not self.folders_only) and self.pattern.fullmatch(subject) is not None
        return matches != self.negated


class HelmIgnore:
    """The rules of one ``.helmignore`` text. Raises ``ChartFetchError`` for a rule that Helm refuses."""

    def __init__(self, text: str = "") -> None:
        lines = (line.strip() for line in text.splitlines())
        self._rules = [_rule(line) for line in (*_DEFAULTS, *lines) if line and not line.startswith("#")]

    def leaves_out(self, path: str, *, folder: bool) -> bool:
        """Whether ``path`` (relative to the chart, with ``/``) is left out; a folder takes its content along."""
        return any(rule.leaves_out(path, folder) for rule in self._rules)


def _rule(line: str) -> _Rule:
    if len(line) > _MAX_LINE:
        raise ChartFetchError(
            "chart-invalid", f".helmignore: {line[:40]!r}... has {len(line)} characters; a rule has at most {_MAX_LINE}"
        )
    if "**" in line:
        raise ChartFetchError("chart-invalid", f".helmignore: {line!r}: Helm does not support '**' in a rule")
    negated, body = line.startswith("!"), line.removeprefix("!")
    folders_only, body = body.endswith("/"), body.removesuffix("/")
    return _Rule(_pattern(body.removeprefix("/")), "/" in body, folders_only, negated)


_TOKEN = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|(\*)|(\?)|(.)", re.DOTALL)
_MAX_LINE = 1_000
"""Most characters of a rule: a path has fewer."""


def _pattern(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression that never backtracks over more than one star: between two stars the first
    place that fits is as good as any later one, so it is taken for good (an atomic group)."""
    parts = [""]
    for negated, members, escaped, star, question, other in _TOKEN.findall(glob):
        if members:
            literal = members.replace("[", r"\[")
            parts[-1] += f"[^/{literal}]" if negated else f"(?!/)[{literal}]"
        elif star:
            parts.append("")
        elif question:
            parts[-1] += "[^/]"
        else:
            parts[-1] += re.escape(escaped or other)
    first, *between = parts
    last = f"[^/]*{between.pop()}" if between else ""
    try:
        return re.compile(first + "".join(f"(?>[^/]*?{part})" for part in between) + last, re.DOTALL)
    except re.error as error:
        raise ChartFetchError("chart-invalid", f".helmignore: {glob!r} is not a pattern: {error}") from error
