"""Puts recipes into a station's database. See ``edge_agent.appliers.port``.

One row per component, and one for the initialization; a row belongs to its deployment. Every step is one
transaction, so a step that is killed has either happened or not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from acme_fleetbus import MANIFEST_TYPE
from edge_agent.appliers.port import (
    INITIALIZATION,
    ApplyError,
    CancelCheck,
    Cancelled,
    ComponentHealth,
    OptionError,
    ProgressReport,
)
from topics.documents.manifest import Manifest, ManifestComponent

_TABLE = "CREATE TABLE IF NOT EXISTS recipes (name TEXT PRIMARY KEY, owner TEXT, content TEXT, version INTEGER)"


class AcmeApplier:
    """``database``: the file of the station's database."""

    types: ClassVar[frozenset[str]] = frozenset({MANIFEST_TYPE})

    def __init__(self, options: Mapping[str, str]) -> None:
        if not options.get("database"):
            raise OptionError("the applier 'acme' needs the option 'database'")
        self._database = options["database"]

    def check(self, manifest: Manifest) -> None:
        """See ``Applier``."""
        for component in manifest.components:
            if component.type not in self.types:
                raise ApplyError(
                    "unknown-type", f"components of type {component.type!r} are not for an ACME station",
                    retryable=False, component=component.name,
                )  # fmt: skip
        with self._transaction() as rows:
            for component, name, _ in _wanted(manifest):
                _check_owner(rows, name, manifest.deployment, component)

    def download(self, manifest: Manifest, progress: ProgressReport, cancelled: CancelCheck) -> None:
        """The recipe is in the manifest."""
        for component in manifest.components:
            _stop_if(cancelled)
            size = len(_content(component))
            progress(component.name, size, size)

    def initialize(self, manifest: Manifest, cancelled: CancelCheck) -> None:
        """See ``Applier``."""
        _stop_if(cancelled)
        self._write(manifest, INITIALIZATION)

    def apply(self, manifest: Manifest, component: str, cancelled: CancelCheck) -> None:
        """See ``Applier``."""
        _stop_if(cancelled)
        if component not in {item.name for item in manifest.components}:
            raise ApplyError("unknown-component", f"the manifest has no component {component!r}", retryable=False)
        self._write(manifest, component)

    def finish(self, manifest: Manifest) -> None:
        """See ``Applier``."""
        wanted = {name for _, name, _ in _wanted(manifest)}
        with self._transaction() as rows:
            for (name,) in rows.execute("SELECT name FROM recipes WHERE owner = ?", (manifest.deployment,)).fetchall():
                if name not in wanted:
                    rows.execute("DELETE FROM recipes WHERE name = ?", (name,))

    def health(self, manifest: Manifest) -> tuple[ComponentHealth, ...]:
        """See ``Applier``."""
        with self._transaction() as rows:
            found = dict(
                rows.execute("SELECT name, content FROM recipes WHERE owner = ?", (manifest.deployment,)).fetchall()
            )
        entries, extra = [], []
        for component, name, content in _wanted(manifest):
            known = found.pop(name, None)
            problem = "" if known == content else f"{name} is {'missing' if known is None else 'changed'}"
            entry = ComponentHealth(component, not problem, problem)
            if component != INITIALIZATION:
                entries.append(entry)
            elif problem:
                extra.append(entry)
        extra += [ComponentHealth(name.partition("/")[2], False, f"{name} should be gone") for name in sorted(found)]
        return (*entries, *extra)

    def remove(self, deployment: str, cancelled: CancelCheck) -> None:
        """See ``Applier``."""
        _stop_if(cancelled)
        with self._transaction() as rows:
            rows.execute("DELETE FROM recipes WHERE owner = ?", (deployment,))

    def discard(self, deployment: str, generation: int) -> None:
        """Nothing is staged."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """The station tells nothing by itself."""

    def close(self) -> None:
        """Connections do not outlive a call."""

    def _write(self, manifest: Manifest, component: str) -> None:
        with self._transaction() as rows:
            for of, name, content in _wanted(manifest):
                if of != component:
                    continue
                _check_owner(rows, name, manifest.deployment, component)
                known = rows.execute("SELECT content FROM recipes WHERE name = ?", (name,)).fetchone()
                if known is None or known[0] != content:
                    rows.execute(
                        "INSERT INTO recipes VALUES (?, ?, ?, 1) ON CONFLICT (name) DO UPDATE "
                        "SET content = excluded.content, version = version + 1",
                        (name, manifest.deployment, content),
                    )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        rows = sqlite3.connect(self._database, timeout=30, isolation_level=None)
        try:
            rows.execute(_TABLE)
            rows.execute("BEGIN IMMEDIATE")
            yield rows
            rows.execute("COMMIT")
        except sqlite3.Error as error:
            raise ApplyError("station", f"the station's database: {error}", retryable=True) from error
        finally:
            rows.close()  # what was not committed is undone


def _wanted(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Component, name of its row, content."""
    if manifest.initialization:
        yield INITIALIZATION, f"{manifest.deployment}/{INITIALIZATION}", json.dumps(manifest.initialization)
    for component in manifest.components:
        yield component.name, f"{manifest.deployment}/{component.name}", _content(component)


def _content(component: ManifestComponent) -> str:
    return json.dumps(component.config, sort_keys=True)


def _check_owner(rows: sqlite3.Connection, name: str, deployment: str, component: str) -> None:
    known = rows.execute("SELECT owner FROM recipes WHERE name = ?", (name,)).fetchone()
    if known is not None and known[0] != deployment:
        raise ApplyError("conflict", f"{name} belongs to somebody else", retryable=False, component=component)


def _stop_if(cancelled: CancelCheck) -> None:
    if cancelled():
        raise Cancelled("stopped")
