"""YAML from untrusted publishers, as plain JSON values.

The event stream of PyYAML is composed here without recursion, so that limits hold while the text is
read and not after: nesting, aliases (an alias bomb is refused by the number of nodes it would
expand to), duplicate keys, merge keys, keys that are not strings, several documents. Scalars follow the YAML
1.2 core schema, as Kubernetes users expect it of JSON-shaped data: ``yes``, ``no``, ``on``, ``off``,
dates and ``22:22`` are strings; ``0o17`` and ``017`` are octal, as kubectl reads file modes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from topics.codec import MAX_DEPTH
from topics.errors import ContractError

MAX_NODES = 200_000
"""Most nodes a document may have once its aliases are expanded."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_TRUE = re.compile(r"(?:true|True|TRUE)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE)\Z")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,299})\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+\Z")
_OCTAL = re.compile(r"0o?([0-7]{1,60})\Z")
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]{1,60})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NO_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_TAGS = "tag:yaml.org,2002:"
_TAG_TYPES: dict[str, tuple[type, ...]] = {
    _TAGS + "int": (int,),
    _TAGS + "float": (int, float),
    _TAGS + "bool": (bool,),
    _TAGS + "null": (type(None),),
}


@dataclass(slots=True)
class _Open:
    """A collection that is being filled."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    nodes_before: int
    key: str | None = None
    has_key: bool = False
    height: int = 1  # levels of collections in it, itself included


@dataclass(slots=True)
class _Composer:
    nodes: int = 0
    stack: list[_Open] = field(default_factory=list)
    # value, nodes, height
    anchors: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    root: Any = None

    def add(self, value: Any, event: Any, size: int = 1) -> None:
        """Put a finished value where it belongs: into the open collection, or as the root."""
        self.nodes += size
        if self.nodes > MAX_NODES:
            _refuse("too-large", f"more than {MAX_NODES} nodes once aliases are expanded", event)
        if not self.stack:
            self.root = value
            return
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.has_key:
            if not isinstance(value, str):
                _refuse("bad-key", f"key {value!r:.60} is not a string: put it in quotes", event)
            if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                _refuse("merge-key", "merge keys ('<<') are not part of YAML 1.2: write the fields out", event)
            if value in top.value:
                _refuse("duplicate-key", f"key {value!r:.60} stands twice in one mapping", event)
            top.key, top.has_key = value, True
        else:
            top.value[str(top.key)] = value
            top.has_key = False

    def open(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        kind = "map" if isinstance(value, dict) else "seq"
        if event.tag not in (None, "!", _TAGS + kind):
            _refuse("bad-tag", f"tag {event.tag!r:.60} is not allowed here", event)
        if len(self.stack) >= MAX_DEPTH:
            _refuse("too-deep", f"nested deeper than {MAX_DEPTH} levels", event)
        if self.stack and isinstance(self.stack[-1].value, dict) and not self.stack[-1].has_key:
            _refuse("bad-key", "a key must be a string, not a collection", event)
        self.stack.append(_Open(value, event.anchor, self.nodes))

    def close(self, event: Any) -> None:
        done = self.stack.pop()
        self.add(done.value, event)
        self._raise_to(done.height)
        if done.anchor:
            self.anchors[done.anchor] = (done.value, self.nodes - done.nodes_before, done.height)

    def scalar(self, event: Any) -> None:
        value = _resolve(event)
        self.add(value, event)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1, 0)

    def alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            _refuse("malformed", f"alias *{event.anchor:.60} has no finished anchor before it", event)
        value, size, height = self.anchors[event.anchor]
        if len(self.stack) + height > MAX_DEPTH:
            _refuse("too-deep", f"nested deeper than {MAX_DEPTH} levels once aliases are expanded", event)
        self.add(value, event, size)
        self._raise_to(height)

    def _raise_to(self, height: int) -> None:
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, height + 1)


def load_yaml(text: str) -> Any:
    """The single document in ``text`` as dicts with string keys, lists and scalars.

    Raises ``ContractError`` with line and column of the first problem.
    """
    composer = _Composer()
    documents = 0
    try:
        loader = _Loader(text)
    except UnicodeEncodeError as error:
        _refuse_character(text, error.start, "half of a surrogate pair is no character", error)
    except yaml.reader.ReaderError as error:  # PyYAML's own reader looks at the text at once
        _refuse_character(text, error.position, error.reason, error)
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.ScalarEvent):
                composer.scalar(event)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                composer.open({} if isinstance(event, yaml.MappingStartEvent) else [], event)
            elif isinstance(event, yaml.CollectionEndEvent):
                composer.close(event)
            elif isinstance(event, yaml.AliasEvent):
                composer.alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    _refuse("several-documents", "there is more than one YAML document", event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        problem = str(error.problem or error.context)[:200]
        raise ContractError.because("malformed", f"not valid YAML: {problem}{where}") from error
    except yaml.reader.ReaderError as error:
        _refuse_character(text, error.position, error.reason, error)
    finally:
        loader.dispose()
    return composer.root


def _resolve(event: Any) -> Any:
    """The value of a scalar under the YAML 1.2 core schema; an explicit tag must be a core one."""
    text: str = event.value
    tag: str | None = event.tag
    if tag is None:
        return _plain(text, event) if event.implicit[0] else text  # a text: quoted, or a block scalar
    if tag in ("!", _TAGS + "str"):
        return text
    types = _TAG_TYPES.get(tag)
    if types is None:
        _refuse("bad-tag", f"tag {tag!r:.60} is not allowed", event)
    value = _plain(text, event)
    if type(value) not in types:
        _refuse("bad-tag", f"{text!r:.60} does not have the type of its tag {tag!r}", event)
    return float(value) if tag == _TAGS + "float" else value


def _plain(text: str, event: Any) -> Any:
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INTEGER.match(text):
        return int(text)
    if match := _OCTAL.match(text):
        return int(match.group(1), 8)
    if match := _HEXADECIMAL.match(text):
        return int(match.group(1), 16)
    if _LEADING_ZERO.match(text):
        _refuse("bad-number", f"{text!r:.60} is octal for one reader and decimal for another: put it in quotes", event)
    if _FLOAT.match(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            _refuse("bad-number", f"{text!r:.60} is too large a number", event)
        return value
    if _NO_JSON.match(text):
        _refuse("bad-number", f"{text!r} is no JSON number", event)
    return text


def _refuse(code: str, message: str, event: Any) -> NoReturn:
    mark = event.start_mark
    raise ContractError.because(code, f"{message} (line {mark.line + 1} column {mark.column + 1})")


def _refuse_character(text: str, position: int, why: str, error: Exception) -> NoReturn:
    if isinstance(error, yaml.reader.ReaderError) and _Loader is not yaml.SafeLoader:
        before = text.encode()[:position].decode(errors="ignore")  # libyaml counts bytes
    else:
        before = text[:position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise ContractError.because("malformed", f"not valid YAML: {why} (line {line} column {column})") from error
