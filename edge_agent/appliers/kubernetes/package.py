"""Imports the ``kubernetes`` package without the classes that it has for every kind.

The package imports its 768 generated models and 60 APIs whatever one uses of it: 30 of an agent's 85 MB and half a
second (version 36, measured). The dynamic client works on plain JSON and uses none of them. While the package is
imported they are stood in for; afterwards it is as always, but loads them when somebody first asks for one: another
applier in this process may.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_CLIENT = "kubernetes.client"
_GENERATED = (f"{_CLIENT}.models", f"{_CLIENT}.api")
_UNUSED = ("kubernetes.informer", "kubernetes.leaderelection", "kubernetes.stream", "kubernetes.utils")


class _Absent:
    """Stands for a generated class."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent


class _Finder(MetaPathFinder, Loader):
    """Finds the modules that are stood in for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if _is_left_out(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def import_light() -> None:
    """Import ``kubernetes``. Raises ``ImportError`` where it is not installed; does nothing if it is imported already."""
    if "kubernetes" in sys.modules:
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("kubernetes.dynamic")
        client = importlib.import_module(_CLIENT)
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_left_out(name)]:
            del sys.modules[name]
    root = sys.modules["kubernetes"]
    for name in ("models", "api", *(name for name, value in vars(client).items() if value is _Absent)):
        vars(client).pop(name, None)
    for name in _UNUSED:
        vars(root).pop(name.rpartition(".")[2], None)
    vars(client)["__getattr__"] = _from_generated
    vars(root)["__getattr__"] = _from_unused


def _from_generated(name: str) -> Any:
    """``kubernetes.client.<name>``, for a name that was left out."""
    if name in ("models", "api"):
        return importlib.import_module(f"{_CLIENT}.{name}")
    for package in _GENERATED:
        found = getattr(importlib.import_module(package), name, None) if not name.startswith("__") else None
        if found is not None:
            return found
    raise AttributeError(f"module {_CLIENT!r} has no attribute {name!r}")


def _from_unused(name: str) -> Any:
    """``kubernetes.<name>``, for a subpackage that was left out."""
    if f"kubernetes.{name}" in _UNUSED:
        return importlib.import_module(f"kubernetes.{name}")
    raise AttributeError(f"module 'kubernetes' has no attribute {name!r}")


def _is_left_out(name: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in (*_GENERATED, *_UNUSED))
