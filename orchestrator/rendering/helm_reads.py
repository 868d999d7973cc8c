"""What of the values each template of a chart may read, found in its text.

Templates that read the same are a ``Group``: where two devices agree in what a group reads, its files are the same
and need no second rendering. What cannot be told counts as reading everything, and a chart in which templates may do
more than read (change values, render text that is itself a value, include what is computed) has no groups at all.

The words are those of Go's text/template: *dot* (``.``) is what a template was given, or the item of the ``with`` or
``range`` around it; ``$`` is what it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Path = tuple[str, ...]
"""Keys from ``.Values`` down; ``()`` is all of it."""

EVERYTHING: Path = ()

_BEYOND_READING = frozenset(
    ["tpl", "set", "unset", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite", "getHostByName"]
)
"""Functions that change values for the templates after this one, run a value as a template, or ask others."""

_TOKEN = re.compile(
    r"""
    (?P<end> \}\} )
  | (?P<space> \s+ )
  | (?P<text> "(?:\\.|[^"\\\n])*" | `[^`]*` )
  | (?P<rune> '(?:\\.|[^'\\\n])+' )
  | (?P<variable> \$\w* (?:\.\w+)* )
  | (?P<fields> (?:\.\w+)+ )
  | (?P<dot> \. )
  | (?P<word> \w+ )
  | (?P<other> [^"`'] )
    """,
    re.VERBOSE,
)
_TRIM = re.compile(r"\{\{-\s")
_COMMENT = re.compile(r"\{\{(?:-\s)?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)


class Group(NamedTuple):
    """Templates (``templates/…`` as in the chart) and the values that they may read, none below another."""

    reads: tuple[Path, ...]
    templates: frozenset[str]


class Grouping(NamedTuple):
    """The groups of a chart, and the templates that others include from: these belong to every rendering."""

    groups: tuple[Group, ...]
    shared: frozenset[str]


def groups_of(templates: Mapping[str, str]) -> Grouping | None:
    """The groups of a chart without subcharts by its templates' names and texts; ``None`` if it cannot have them."""
    bodies: dict[str, _Body] = {}
    shared = set()
    try:
        for name, text in templates.items():
            if _Reader(name, bodies).read(text):
                shared.add(name)
        by_reads: dict[tuple[Path, ...], set[str]] = {}
        for name in templates:
            if is_partial(name):
                shared.add(name)
            else:
                by_reads.setdefault(_smallest(_all_reads(name, bodies)), set()).add(name)
    except _UnclearError:
        return None
    return Grouping(
        tuple(Group(reads, frozenset(names)) for reads, names in sorted(by_reads.items())), frozenset(shared)
    )


def is_partial(name: str) -> bool:
    """Whether Helm renders the file only where another includes from it."""
    return name.rpartition("/")[2].startswith("_")


class _UnclearError(Exception):
    """What a template does cannot be told from its text."""


@dataclass(slots=True)
class _Body:
    """A file, or what stands between ``define`` and ``end``."""

    reads: set[Path] = field(default_factory=set)
    includes: set[str] = field(default_factory=set)


class _Block(NamedTuple):
    """What is open at a place: the body's name, and whether dot is still what the body was given."""

    body: str
    dot_is_given: bool


class _Token(NamedTuple):
    kind: str
    text: str


_DOT, _GIVEN = [_Token("dot", ".")], [_Token("variable", "$")]


class _Reader:
    """Reads one file into bodies; one that is defined twice has the reads of both."""

    def __init__(self, name: str, bodies: dict[str, _Body]) -> None:
        self._bodies = bodies
        self._blocks = [_Block(_file(name), dot_is_given=True)]
        self._defines = False

    def read(self, text: str) -> bool:
        """Whether the file defines something. Raises ``_UnclearError``."""
        self._body(self._blocks[0].body)
        for action in _actions(text):
            self._take(action)
        if len(self._blocks) != 1:
            raise _UnclearError
        return self._defines

    def _take(self, action: list[_Token]) -> None:
        keyword = action[0].text if action and action[0].kind == "word" else ""
        inner = self._blocks[-1]
        if keyword == "end":
            self._close()
        elif keyword == "else":
            self._close()
            # Dot is what it was before the ``with`` or ``range``; one after ``else`` counts as no change.
            self._blocks.append(_Block(inner.body, self._blocks[-1].dot_is_given))
            self._pipeline(action[1:])
        elif keyword in ("define", "block"):
            self._defines = True
            name = _name(action[1:2])
            if keyword == "block":
                self._body(inner.body).includes.add(name)
                self._pipeline([item for item in action[2:3] if [item] not in (_DOT, _GIVEN)] + action[3:])
            self._body(name)
            self._blocks.append(_Block(name, dot_is_given=True))
        else:
            self._pipeline(action)
            if keyword == "if":
                self._blocks.append(_Block(inner.body, inner.dot_is_given))
            elif keyword in ("with", "range"):
                self._blocks.append(_Block(inner.body, dot_is_given=False))

    def _close(self) -> None:
        if len(self._blocks) == 1:
            raise _UnclearError
        self._blocks.pop()

    def _pipeline(self, tokens: list[_Token]) -> None:
        body, dot_is_given = self._body(self._blocks[-1].body), self._blocks[-1].dot_is_given
        rest = iter(range(len(tokens)))
        for position in rest:
            kind, text = tokens[position]
            if kind == "word" and text in ("include", "template"):
                body.includes.add(_name(tokens[position + 1 :]))
                if tokens[position + 2 : position + 3] in (_DOT, _GIVEN):
                    next(rest), next(rest)  # handed on whole: it counts where it is read
            elif kind == "word" and text in _BEYOND_READING:
                raise _UnclearError
            elif text == "$" or (kind == "dot" and dot_is_given):
                body.reads.add(EVERYTHING)
            elif text.startswith((".Values", "$.Values")):
                body.reads |= _read(text.removeprefix("$."))

    def _body(self, name: str) -> _Body:
        return self._bodies.setdefault(name, _Body())


def _read(fields: str) -> set[Path]:
    """The path of ``.Values.a.b``; nothing for ``.ValuesOfMine``."""
    first, *names = fields.removeprefix(".").split(".")
    if first != "Values":
        return set()
    path: list[str] = []
    for name in names:
        if name[0].isupper():
            break  # may be a method of what comes before it, as in ``.Values.AsMap``
        path.append(name)
    return {tuple(path)}


def _name(tokens: list[_Token]) -> str:
    """The name in the first token. Raises ``_UnclearError`` for a computed one."""
    if not tokens or tokens[0].kind != "text" or "\\" in tokens[0].text:
        raise _UnclearError
    return tokens[0].text[1:-1]


def _file(name: str) -> str:
    return f"\0{name}"  # no defined name is a file's


def _actions(text: str) -> Iterator[list[_Token]]:
    """The tokens of what stands in each pair of double braces, without space and comments."""
    position = 0
    while (position := text.find("{{", position)) >= 0:
        if comment := _COMMENT.match(text, position):
            position = comment.end()
            continue
        position += 3 if _TRIM.match(text, position) else 2
        action: list[_Token] = []
        while True:
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise _UnclearError
            position = found.end()
            if found.lastgroup == "end":
                break
            if found.lastgroup != "space":
                action.append(_Token(found.lastgroup, found.group()))
        yield action


def _all_reads(name: str, bodies: Mapping[str, _Body]) -> set[Path]:
    """What the file reads, and what it includes."""
    reads: set[Path] = set()
    seen: set[str] = set()
    waiting = [_file(name)]
    while waiting:
        inner = waiting.pop()
        if inner in seen:
            continue
        seen.add(inner)
        if inner not in bodies:
            raise _UnclearError  # by a file's name, or not there at all
        reads |= bodies[inner].reads
        waiting += bodies[inner].includes
    return reads


def _smallest(reads: set[Path]) -> tuple[Path, ...]:
    """The paths without those below another."""
    return tuple(sorted(path for path in reads if not any(path[:size] in reads for size in range(len(path)))))
