"""Collects what is wrong with a Compose project: every finding with its path, a bounded number of them."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from typing import Any

from topics.documents.base import MAX_REASONS
from topics.errors import Reason


class Findings:
    """The findings so far; ``files`` are the paths of the files beside the project.

    ``prefix`` is put before each path: the place of the project in the component.
    """

    def __init__(self, prefix: str, files: Collection[str]) -> None:
        self.reasons: list[Reason] = []
        self._prefix = prefix
        self._files = frozenset(files)
        self._folders = frozenset(_folders(files))

    def add(self, path: str, code: str, message: str, *, hint: str | None = None) -> None:
        """Add one; from the hundredth on they are left out, for the answer has to fit a message."""
        if len(self.reasons) < MAX_REASONS:
            place = f"{self._prefix}.{path}" if path else self._prefix
            self.reasons.append(Reason(path=place, code=code, message=message, hint=hint))

    def unknown(self, value: Mapping[str, Any], known: Collection[str], path: str) -> None:
        """Report every key that is neither known nor an extension (``x-…``)."""
        for key in value:
            if key not in known and not str(key).startswith("x-"):
                self.add(
                    f"{path}.{str(key)[:60]}" if path else str(key)[:60], "unknown-field", "is not a field of Compose"
                )

    def has_file(self, path: str) -> bool:
        """Whether the path (``./a/b``) is that of a file beside the project, or of a folder of them."""
        plain = posixpath.normpath(path)
        return plain in self._files or plain in self._folders or (plain == "." and bool(self._files))


def _folders(files: Collection[str]) -> list[str]:
    found: set[str] = set()
    for path in files:
        parts = path.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return sorted(found)
