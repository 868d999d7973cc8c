"""The store on SQLAlchemy Core: SQLite by default.

One transaction per batch, durable before anything is acknowledged (SQLite: WAL with
``synchronous=FULL``, so that a committed batch survives a power cut).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.adapters import rows
from orchestrator.adapters.schema import (
    COMMANDS,
    DEPLOYMENTS,
    DEVICES,
    META,
    OUTGOING,
    SPECS,
    TRANSITIONS,
    DamagedStoreError,
    migrate,
)
from orchestrator.model import Fleet
from orchestrator.ports import Outgoing, Unit

KEPT_COMMANDS = 10_000
"""Answered commands beyond this number are forgotten at start, oldest first."""


def sqlite_url(data: Path) -> str:
    """The URL of the store in a data folder."""
    return f"sqlite:///{data / 'orchestrator.db'}"


_ONE: sa.BindParameter[int] = sa.bindparam("one", type_=sa.BigInteger)
_MARK_SENT = OUTGOING.update().where(OUTGOING.c.seq == _ONE, OUTGOING.c.retain).values(unsent=False)
# What is not retained has done its work; a cleared topic needs no row either.
_DROP_DONE = OUTGOING.delete().where(
    OUTGOING.c.seq == _ONE, (~OUTGOING.c.retain) | (sa.func.length(OUTGOING.c.payload) == 0)
)
_TO_SEND = (
    sa.select(OUTGOING.c.seq, OUTGOING.c.topic, OUTGOING.c.payload, OUTGOING.c.retain)
    .where(OUTGOING.c.unsent, OUTGOING.c.seq > sa.bindparam("after"))
    .order_by(OUTGOING.c.seq)
    .limit(sa.bindparam("most"))
)
_DIGESTS = sa.select(OUTGOING.c.key, OUTGOING.c.digest).where(OUTGOING.c.key.in_(sa.bindparam("keys", expanding=True)))


class SqlStore:
    """Durable records and the outbox of messages still to send."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable_sqlite)
        self._connection = _opened(self._engine)
        self._upserts = {
            table.name: _Write(_upsert(table, self._engine.dialect.name), self._engine.dialect)
            for table in (SPECS, DEVICES, DEPLOYMENTS, COMMANDS, OUTGOING)
        }
        self._add_transitions = _Write(
            _insert(self._engine.dialect.name, TRANSITIONS).on_conflict_do_nothing(), self._engine.dialect
        )
        self._mark_sent, self._drop_done = (
            _Write(statement, self._engine.dialect) for statement in (_MARK_SENT, _DROP_DONE)
        )
        self._seq = self._scalar(sa.func.max(OUTGOING.c.seq))
        self._position = self._scalar(sa.func.max(COMMANDS.c.position))

    def load(self) -> Fleet:
        fleet = Fleet()
        with self._connection.begin():
            self._forget_old_commands()
            for row in self._rows(SPECS):
                record = rows.spec_record(row)
                fleet.put_spec(record)
            for row in self._rows(DEVICES):
                device = rows.device_record(row)
                fleet.put_device(device)
            for row in self._rows(DEPLOYMENTS):
                fleet.put_deployment(rows.deployment_record(row))
            for row in self._rows(COMMANDS, order=COMMANDS.c.position):
                command = rows.command_record(row)
                fleet.commands.put(command)
        return fleet

    def commit(self, unit: Unit) -> bool:
        with self._connection.begin():
            self._put(SPECS, [rows.spec_row(record) for record in unit.specs.values()])
            self._put(DEVICES, [rows.device_row(record) for record in unit.devices.values()])
            self._put(
                DEPLOYMENTS, [rows.deployment_row(record) for record in unit.deployments.values() if record is not None]
            )
            for (name, device), record in unit.deployments.items():
                if record is None:
                    where = (DEPLOYMENTS.c.name == name) & (DEPLOYMENTS.c.device == device)
                    self._connection.execute(DEPLOYMENTS.delete().where(where))
            self._put(COMMANDS, [self._command_row(record) for record in unit.commands.values()])
            self._add_transitions(
                self._connection, [rows.transition_row(transition) for transition in unit.transitions]
            )
            self._mark_delivered(unit.delivered)
            return self._add_outgoing(unit)

    def to_send(self, after: int, most: int) -> list[Outgoing]:
        with self._connection.begin():
            found = self._connection.execute(_TO_SEND, {"after": after, "most": most})
            return [Outgoing(*row) for row in found]

    def newest(self) -> int:
        return self._seq

    def send_again(self, *, newest: int | None = None, topics: Iterable[str] = ()) -> None:
        update = OUTGOING.update().where(OUTGOING.c.retain).values(unsent=True)
        keys = list(topics)
        if newest is not None:
            update = update.where(OUTGOING.c.seq > self._seq - newest)
        with self._connection.begin():
            if not keys:
                self._connection.execute(update)
            for start in range(0, len(keys), 500):  # below SQLite's limit of bound parameters
                self._connection.execute(update.where(OUTGOING.c.key.in_(keys[start : start + 500])))

    def next_epoch(self) -> int:
        with self._connection.begin():
            where = META.c.key == "epoch"
            epoch = int(self._connection.execute(sa.select(META.c.value).where(where)).scalar() or 0) + 1
            if epoch == 1:
                self._connection.execute(META.insert().values(key="epoch", value=epoch))
            else:
                self._connection.execute(META.update().where(where).values(value=epoch))
            return epoch

    def transitions(self, name: str, device: str) -> Sequence[int]:
        query = (
            sa.select(TRANSITIONS.c.sequence)
            .where(TRANSITIONS.c.name == name, TRANSITIONS.c.device == device)
            .order_by(TRANSITIONS.c.sequence)
        )
        with self._connection.begin():
            return list(self._connection.execute(query).scalars())

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    # -- inside a transaction --------------------------------------------------------------------

    def _put(self, table: sa.Table, values: list[rows.Row]) -> None:
        self._upserts[table.name](self._connection, values)

    def _command_row(self, record: Any) -> rows.Row:
        self._position += 1
        return rows.command_row(record, self._position)

    def _mark_delivered(self, delivered: Sequence[int]) -> None:
        """A row that was replaced meanwhile has another ``seq`` and is left alone."""
        parameters = [{"one": seq} for seq in delivered]
        self._mark_sent(self._connection, parameters)
        self._drop_done(self._connection, parameters)

    def _add_outgoing(self, unit: Unit) -> bool:
        known = self._digests([key for key, item in unit.publications.items() if item.retain and item.digest])
        values = []
        for key, item in unit.publications.items():
            if item.digest and known.get(key) == item.digest:
                continue
            self._seq += 1
            values.append(
                {
                    "key": key, "seq": self._seq, "topic": item.topic, "payload": item.payload,
                    "digest": item.digest, "retain": item.retain, "unsent": True,
                }
            )  # fmt: skip
        self._put(OUTGOING, values)
        return bool(values)

    def _digests(self, keys: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(keys), 500):  # below SQLite's limit of bound parameters
            some = self._connection.execute(_DIGESTS, {"keys": keys[start : start + 500]})
            found.update((row.key, row.digest) for row in some)
        return found

    def _forget_old_commands(self) -> None:
        oldest = self._position - KEPT_COMMANDS
        if oldest > 0:
            self._connection.execute(COMMANDS.delete().where(COMMANDS.c.position <= oldest, COMMANDS.c.outcome != ""))

    def _rows(self, table: sa.Table, order: Any = None) -> Iterable[rows.Row]:
        query = sa.select(table) if order is None else sa.select(table).order_by(order)
        for row in self._connection.execute(query).mappings():
            yield dict(row)

    def _scalar(self, expression: Any) -> int:
        with self._connection.begin():
            return int(self._connection.execute(sa.select(expression)).scalar() or 0)


class _Write:
    """A statement that is executed for many rows, compiled once.

    SQLAlchemy's own way makes the parameters of each row anew (measured: 5 of 19 microseconds a row) and each
    statement's cache key at each call. All columns here are of types that drivers take as they are.
    """

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._constants = {key: value for key, value in compiled.params.items() if value is not None}
        self._positions: Sequence[str] | None = compiled.positiontup

    def __call__(self, connection: sa.Connection, values: Sequence[rows.Row]) -> None:
        """Execute it for each row, a mapping from column (or parameter) to value; nothing to do without rows."""
        if not values:
            return
        constants, positions = self._constants, self._positions
        parameters: list[Any] = [{**constants, **row} for row in values] if constants else list(values)
        if positions is not None:
            parameters = [tuple([row[key] for key in positions]) for row in parameters]
        connection.exec_driver_sql(self._text, parameters)


def _insert(dialect: str, table: sa.Table) -> Any:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _upsert(table: sa.Table, dialect: str) -> Any:
    keys = [column.name for column in table.primary_key]
    statement = _insert(dialect, table)
    # A command keeps its place in the order of arrival when its outcome is written.
    kept = {*keys, "position"}
    return statement.on_conflict_do_update(
        index_elements=keys,
        set_={column.name: statement.excluded[column.name] for column in table.columns if column.name not in kept},
    )


def _opened(engine: sa.Engine) -> sa.Connection:
    """A connection to a sound store of the newest schema. Raises ``DamagedStoreError``, ``StoreVersionError``."""
    try:
        connection = engine.connect()
        if engine.dialect.name == "sqlite":
            with connection.begin():
                findings = list(connection.exec_driver_sql("PRAGMA quick_check(3)").scalars())
            if findings != ["ok"]:
                raise _damaged(engine, "; ".join(" ".join(findings).splitlines()))
        with connection.begin():
            migrate(connection)
    except sa.exc.OperationalError:
        raise  # locked, full, not reachable: not the content's fault
    except sa.exc.DatabaseError as error:
        engine.dispose()
        if engine.dialect.name != "sqlite":
            raise
        raise _damaged(engine, str(error.orig)) from error
    return connection


def _damaged(engine: sa.Engine, why: str) -> DamagedStoreError:
    file = engine.url.database
    return DamagedStoreError(
        f"the store {file} is damaged ({why}): restore a backup, or move the file away to begin with an empty store"
    )


def _durable_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
