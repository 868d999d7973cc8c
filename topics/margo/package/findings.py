"""What is found while a description is read: refusals and tolerances, each with its path.

Reading goes on after a refusal, so that an author sees everything at once; a value that is not what it
should be is then left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import ValidationError

from topics.documents.base import MAX_REASONS, reasons_of
from topics.errors import ContractError, Reason

_MAX_STEP = 100
_EXTENSION = re.compile(r"x-[a-z][a-z0-9-]*-extensions\Z")
"""The members that 1.0-rc leaves to vendors."""


class Findings:
    """Collects reasons; at most ``MAX_REASONS`` of each kind, for a document can have a million faults."""

    def __init__(self) -> None:
        self._refusals: list[Reason] = []
        self._warnings: list[Reason] = []
        self._more = 0

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """The tolerances that were used."""
        return tuple(self._warnings)

    def refuse(
        self,
        path: str,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        required: str | None = None,
        available: str | None = None,
    ) -> None:
        """The document cannot be taken, because of this."""
        self.add(Reason(path=path, code=code, message=message, hint=hint, required=required, available=available))

    def add(self, reason: Reason) -> None:
        """A refusal that is a reason already."""
        if len(self._refusals) < MAX_REASONS:
            self._refusals.append(reason)
        else:
            self._more += 1

    def warn(self, path: str, code: str, message: str, hint: str | None = None) -> None:
        """Something is wrong that does not stop a deployment."""
        if len(self._warnings) < MAX_REASONS:
            self._warnings.append(Reason(path=path, code=code, message=message, hint=hint))

    def tolerate(self, path: str, message: str, hint: str | None = None) -> None:
        """The document is not as the standard has it, and was understood."""
        self.warn(path, "tolerated", message, hint)

    def check(self) -> None:
        """Raise ``ContractError`` if anything was refused."""
        if self._refusals:
            more = [Reason(path="", code="more", message=f"and {self._more} more problems")] if self._more else []
            raise ContractError((*self._refusals, *more))

    def invalid(self, error: ValidationError, path: str) -> None:
        """The refusals of a part that a native document could not take."""
        for reason in reasons_of(error):
            self.add(reason.model_copy(update={"path": joined(path, reason.path)}))

    # -- values of a certain kind; None where there is none, refused where it is another ---------------

    def mapping(self, value: object, path: str) -> Mapping[str, object] | None:
        """A mapping with texts as keys."""
        if value is None:
            return None
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return value
        self.refuse(path, "wrong-type", f"is {kind_of(value)}, it must be a mapping")
        return None

    def entries(self, value: object, path: str) -> list[tuple[str, Mapping[str, object]]]:
        """The entries of a list of mappings, each with its path."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(path, "wrong-type", f"is {kind_of(value)}, it must be a list")
            return []
        found: list[tuple[str, Mapping[str, object]]] = []
        for index, item in enumerate(value):
            at = f"{path}[{index}]"
            if item is None:
                self.refuse(at, "wrong-type", "is empty, it must be a mapping")
            elif (entry := self.mapping(item, at)) is not None:
                found.append((at, entry))
        return found

    def text(self, owner: Mapping[str, object], key: str, path: str, *, required: bool = False) -> str | None:
        """A text. A number is taken as its text, with a warning: YAML reads ``1.0`` as one."""
        value, at = owner.get(key), joined(path, key)
        if value is None or value == "":
            if required:
                self.refuse(at, "missing", "is required and missing" if value is None else "must not be empty")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                shown = str(value)
            except ValueError:  # Python itself limits the digits that it writes
                self.refuse(at, "wrong-type", "is too large a number, and must be a text")
                return None
            self.tolerate(at, f"is a number, taken as the text {shown[:60]!r}", "put it in quotes")
            return shown
        if isinstance(value, str):
            if is_text(value):
                return value
            self.refuse(at, "bad-text", "holds a character that no UTF-8 or no environment can carry")
            return None
        self.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a text")
        return None

    def flag(self, owner: Mapping[str, object], key: str, path: str, *, default: bool) -> bool:
        """A truth value; ``"true"`` and ``"false"`` as texts are taken with a warning."""
        value, at = owner.get(key), joined(path, key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            self.tolerate(at, f"is the text {value!r}, taken as a truth value", "leave the quotes out")
            return value.lower() == "true"
        self.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be true or false")
        return default

    def unknown(self, owner: Mapping[str, object], known: frozenset[str], path: str) -> None:
        """Remark on fields that nobody reads: a typing error, or an extension of somebody's."""
        for key in owner:
            if key not in known:
                what = "a vendor's extension" if _EXTENSION.match(key) else "not a field of the standard"
                self.tolerate(joined(path, key), f"is {what} and is ignored")


def joined(path: str, key: str) -> str:
    """The path of a member; a key may come from anybody, so it is cut."""
    shown = key if len(key) <= _MAX_STEP else key[: _MAX_STEP - 3] + "..."
    shown = shown.encode("utf-8", "replace").decode()
    return f"{path}.{shown}" if path and shown else path or shown


def is_text(value: str) -> bool:
    """Whether the text can be sent on: no half of a surrogate pair, and no NUL."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def kind_of(value: object) -> str:
    """The kind of a value in words."""
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else "a mapping"
