"""The tables of the orchestrator's store, and the migrations that lead to them.

The disk format has its own version: records in ``orchestrator.model`` may change without it, and a
store written by a newer program is refused instead of being misread.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from orchestrator.adapters.rows import assignment_text
from orchestrator.decide_spec import content_digest
from orchestrator.model import UNASSIGNED, Assignment
from topics.allocation import share_of
from topics.documents.spec import DeploymentSpec

METADATA = sa.MetaData()

SPECS = sa.Table(
    "specs",
    METADATA,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("payload_digest", sa.String(71), nullable=False),
    sa.Column("content_digest", sa.String(71), nullable=False),
    sa.Column("document", sa.Text),  # canonical JSON; null once deleted
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("problem", sa.Text),  # JSON
    sa.Column("pins", sa.Text, nullable=False),  # JSON list of [component, digest]
    sa.Column("accepted", sa.BigInteger, nullable=False),
    sa.Column("warnings", sa.Text, nullable=False),  # JSON list of reasons
    sa.Column("margo", sa.Boolean, nullable=False),
    sa.Column("rejected", sa.Boolean, nullable=False),
)

DEVICES = sa.Table(
    "devices",
    METADATA,
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("journal", sa.String(64), nullable=False),
    sa.Column("agent_version", sa.String(100), nullable=False),
    sa.Column("heartbeat_seconds", sa.Float, nullable=False),
    sa.Column("last_seen", sa.String(40)),
    sa.Column("capabilities", sa.Text),  # JSON
    sa.Column("capabilities_digest", sa.String(71), nullable=False),
    sa.Column("promised", sa.Text, nullable=False),  # JSON list of [deployment, cpu, memory, storage]
)

DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("desired_generation", sa.BigInteger, nullable=False),
    sa.Column("desired_digest", sa.String(71), nullable=False),
    sa.Column("removing", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(20)),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("deployed_generation", sa.BigInteger),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("journal", sa.String(64), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("event_sequence", sa.BigInteger, nullable=False),
    sa.Column("ahead", sa.Text, nullable=False),  # JSON list
    sa.Column("last_target", sa.String(20)),
    sa.Column("held", sa.Text),
    sa.Column("failure", sa.Text),  # JSON
    sa.Column("anomaly", sa.Text, nullable=False),
    sa.Column("components", sa.Text, nullable=False),  # JSON list
    sa.Column("assignment", sa.Text, nullable=False),  # JSON
)

COMMANDS = sa.Table(
    "commands",
    METADATA,
    sa.Column("id", sa.String(100), primary_key=True),
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),  # the order of arrival
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("expiry_seconds", sa.Float, nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)

TRANSITIONS = sa.Table(
    "transitions",
    METADATA,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("device", sa.String(63), primary_key=True),
    sa.Column("journal", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("source", sa.String(20)),
    sa.Column("target", sa.String(20), nullable=False),
    sa.Column("trigger", sa.String(20), nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("device_time", sa.String(40), nullable=False),
    sa.Column("received", sa.String(40), nullable=False),
    sa.Column("legal", sa.Boolean, nullable=False),
)

OUTGOING = sa.Table(
    "outgoing",
    METADATA,
    sa.Column("key", sa.String(300), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False, unique=True),
    sa.Column("topic", sa.String(300), nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("retain", sa.Boolean, nullable=False),
    sa.Column("unsent", sa.Boolean, nullable=False),
    sa.Index("outgoing_unsent", "unsent", "seq"),
)

META = sa.Table(
    "meta",
    METADATA,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)


def _create_all(connection: sa.Connection) -> None:
    METADATA.create_all(connection)


def _add_reservations(connection: sa.Connection) -> None:
    """Version 2: what is reserved on devices, from what the specs in force need; and the digests of their
    contents, which leave defaults out since then."""
    for table, column in (
        ("specs", "accepted BIGINT NOT NULL DEFAULT 0"),
        ("specs", "warnings TEXT NOT NULL DEFAULT '[]'"),
        ("specs", "margo BOOLEAN NOT NULL DEFAULT FALSE"),
        ("specs", "rejected BOOLEAN NOT NULL DEFAULT FALSE"),
        ("devices", "promised TEXT NOT NULL DEFAULT '[]'"),
        ("deployments", "components TEXT NOT NULL DEFAULT '[]'"),
        ("deployments", f"assignment TEXT NOT NULL DEFAULT '{assignment_text(UNASSIGNED)}'"),
    ):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")
    query = sa.select(SPECS.c.name, SPECS.c.generation, SPECS.c.document).order_by(SPECS.c.name)
    for place, row in enumerate(connection.execute(query).all(), start=1):
        if row.document is None:
            continue
        spec = DeploymentSpec.model_validate_json(row.document)
        needed = share_of(spec.spec.requirements)
        held = assignment_text(Assignment(row.generation, "", needed, needed))
        connection.execute(
            SPECS.update().where(SPECS.c.name == row.name).values(accepted=place, content_digest=content_digest(spec))
        )
        connection.execute(DEPLOYMENTS.update().where(DEPLOYMENTS.c.name == row.name).values(assignment=held))


MIGRATIONS: tuple[Callable[[sa.Connection], None], ...] = (_create_all, _add_reservations)
"""Migration ``n`` leads from schema version ``n`` to ``n + 1``; they only ever get more. The first one makes the
newest tables at once: a new store needs no other."""


class StoreVersionError(Exception):
    """The store was written by a newer program."""


class DamagedStoreError(Exception):
    """The store's file is no database, or its content contradicts itself."""


def migrate(connection: sa.Connection) -> None:
    """Bring the schema to the newest version, in the caller's transaction. Raises ``StoreVersionError``."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins no transaction for CREATE TABLE
    META.create(connection, checkfirst=True)
    where = META.c.key == "schema"
    version = connection.execute(sa.select(META.c.value).where(where)).scalar()
    if version is None:
        version = 0
        connection.execute(META.insert().values(key="schema", value=0))
    if version > len(MIGRATIONS):
        raise StoreVersionError(
            f"the store has schema version {version}, this program knows {len(MIGRATIONS)}: "
            "start the newer program again, or restore a backup"
        )
    for step in MIGRATIONS[version:] if version else MIGRATIONS[:1]:
        step(connection)
    connection.execute(META.update().where(where).values(value=len(MIGRATIONS)))
