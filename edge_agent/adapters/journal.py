"""The journal on SQLite. It must never start empty in place of one that cannot be read.

A new journal is built beside its place and renamed there, so a file at that place was complete once:
an empty or foreign one is damage, and is reported as such. WAL with ``synchronous=FULL``: a
transaction is on the disk when ``write`` returns.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_agent.adapters import on_disk
from edge_agent.adapters.schema import APPLICATION_ID, MIGRATIONS
from edge_agent.model import Deployment
from edge_agent.ports import Batch, JournalError, OutboxRow

FILE = "journal.db"
TRANSITIONS_KEPT = 500
EVENTS_QUEUED = 10_000
"""Events of one deployment that may wait for a broker; beyond that the oldest are dropped. A device
would need months without a broker, failing all the time, to get there."""
COMMANDS_KEPT = 100

T = TypeVar("T")


class SqliteJournal:
    """See ``edge_agent.ports.Journal``. Opening one counts as a boot."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self.id, self.boot = self._guarded(self._count_boot)

    # -- reading ---------------------------------------------------------------------------------

    def load(self) -> dict[str, Deployment]:
        rows = self._all("SELECT name, record FROM deployments")
        try:
            return {name: on_disk.from_text(text) for name, text in rows}
        except JournalError as error:
            raise JournalError(f"{self._name}: {error}") from error

    def manifest(self, deployment: str, generation: int) -> bytes:
        rows = self._all(
            "SELECT payload FROM manifests WHERE deployment = ? AND generation = ?", deployment, generation
        )
        if not rows:
            raise JournalError(f"{self._name}: the manifest of {deployment} generation {generation} is missing")
        return bytes(rows[0][0])

    def transitions(self, deployment: str, from_sequence: int) -> list[tuple[int, bytes]]:
        return self._all(
            "SELECT sequence, payload FROM transitions WHERE deployment = ? AND sequence >= ? ORDER BY sequence",
            deployment, from_sequence,
        )  # fmt: skip

    def oldest_transition(self, deployment: str) -> int | None:
        rows = self._all("SELECT min(sequence) FROM transitions WHERE deployment = ?", deployment)
        return None if rows[0][0] is None else int(rows[0][0])

    def was_handled(self, deployment: str, command_id: str) -> bool:
        return bool(self._all("SELECT 1 FROM commands WHERE deployment = ? AND id = ?", deployment, command_id))

    def runtimes(self) -> frozenset[str]:
        rows = self._all("SELECT value FROM meta WHERE key = 'runtimes'")
        return frozenset(rows[0][0].split()) if rows else frozenset()

    def outbox(self, after: int, most: int) -> list[OutboxRow]:
        rows = self._all(
            "SELECT number, topic, payload, retain FROM outbox WHERE number > ? ORDER BY number LIMIT ?", after, most
        )
        return [OutboxRow(number, topic, payload, bool(retain)) for number, topic, payload, retain in rows]

    # -- writing ---------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        self._guarded(lambda: self._write(batch))

    def reach_boot(self, boot: int) -> None:
        if boot > self.boot:
            self._guarded(lambda: self._set_boot(boot))

    def close(self) -> None:
        self._connection.close()

    def _write(self, batch: Batch) -> None:
        connection = self._connection
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)",
                [(name, stored.generation, stored.digest, stored.payload) for name, stored in batch.manifests],
            )
            connection.executemany("DELETE FROM manifests WHERE deployment = ? AND generation = ?", batch.forgotten)
            connection.executemany(
                "INSERT OR REPLACE INTO deployments VALUES (?, ?)",
                [(name, on_disk.to_text(record)) for name, record in batch.records.items()],
            )
            connection.executemany("INSERT INTO transitions VALUES (?, ?, ?)", batch.transitions)
            connection.executemany(
                "DELETE FROM transitions WHERE deployment = ? AND sequence <= ?",
                [(name, sequence - TRANSITIONS_KEPT) for name, sequence, _ in batch.transitions],
            )
            connection.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in batch.delivered])
            for message in batch.outgoing:
                if message.retain:
                    connection.execute("DELETE FROM outbox WHERE topic = ?", (message.topic,))
                else:
                    connection.execute(
                        "DELETE FROM outbox WHERE topic = ? AND sequence <= ?",
                        (message.topic, message.sequence - EVENTS_QUEUED),
                    )
                connection.execute(
                    "INSERT INTO outbox (topic, sequence, retain, payload) VALUES (?, ?, ?, ?)",
                    (message.topic, message.sequence, message.retain, message.payload),
                )
            self._write_commands(batch)
            if batch.runtimes is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO meta VALUES ('runtimes', ?)", (" ".join(sorted(batch.runtimes)),)
                )

    def _write_commands(self, batch: Batch) -> None:
        for name, outcome in batch.commands:
            self._connection.execute(
                "INSERT INTO commands (deployment, id, action, outcome, message) VALUES (?, ?, ?, ?, ?)",
                (name, outcome.id, outcome.action, outcome.outcome, outcome.message),
            )
            self._connection.execute(
                "DELETE FROM commands WHERE deployment = ? AND number <= "
                "(SELECT number FROM commands WHERE deployment = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (name, name, COMMANDS_KEPT),
            )

    def _count_boot(self) -> tuple[str, int]:
        known = dict(self._connection.execute("SELECT key, value FROM meta"))
        boot = int(known["boot"]) + 1
        self._set_boot(boot)
        return known["id"], boot

    def _set_boot(self, boot: int) -> None:
        with self._connection:
            self._connection.execute("UPDATE meta SET value = ? WHERE key = 'boot'", (str(boot),))
        self.boot = boot

    def _all(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]  # rows of many shapes
        return self._guarded(lambda: self._connection.execute(query, values).fetchall())

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except (sqlite3.Error, KeyError, ValueError) as error:
            raise JournalError(f"{self._name}: {error or type(error).__name__}") from error


def open_journal(folder: Path) -> SqliteJournal:
    """The journal in a data folder, made anew where there never was one.

    Raises ``JournalError`` for one that is damaged, of another kind, or newer than this program.
    """
    path = folder / FILE
    try:
        if not path.exists():
            _create(path)
        connection = _connect(str(path))
        try:
            _check(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return SqliteJournal(connection, str(path))
    except (sqlite3.Error, OSError) as error:
        raise _damaged(path, str(error)) from error


def memory_journal() -> SqliteJournal:
    """A journal that lives as long as the object: for simulated devices and tests."""
    connection = _connect(":memory:")
    _initialize(connection)
    return SqliteJournal(connection, "journal in memory")


def _connect(name: str) -> sqlite3.Connection:
    # Made on one thread and used on another one, never by two at a time.
    connection = sqlite3.connect(name, timeout=10.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -512")  # KiB; the default of 2 MiB is memory a device can use better
    return connection


def _create(path: Path) -> None:
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    connection = _connect(str(draft))
    try:
        _initialize(connection)
    finally:
        connection.close()
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _initialize(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _migrate(connection)
    with connection:
        connection.execute("INSERT INTO meta VALUES ('boot', '0'), ('id', ?)", (uuid.uuid4().hex,))


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise _damaged(path, "it is not a journal of this agent")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path} was written by a newer agent (schema {version}, this one knows {len(MIGRATIONS)}); "
            "update the agent"
        )
    findings = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if findings != ["ok"]:
        raise _damaged(path, "; ".join(findings))


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def _damaged(path: Path, why: str) -> JournalError:
    return JournalError(
        f"the journal {path} cannot be used: {why}. Restore the data folder from a backup, or move it away to "
        "set this device up anew: the orchestrator then sends every manifest again"
    )
