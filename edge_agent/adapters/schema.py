"""The journal's tables, and how an older journal becomes a newer one.

``user_version`` is the number of migrations applied. Append to ``MIGRATIONS``, never change one.
"""

from __future__ import annotations

APPLICATION_ID = 0x464C4A31
"""Marks a SQLite file as a Fleetbus journal ("FLJ1")."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE deployments (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID",
        (
            "CREATE TABLE manifests (deployment TEXT NOT NULL, generation INTEGER NOT NULL, digest TEXT NOT NULL, "
            "payload BLOB NOT NULL, PRIMARY KEY (deployment, generation))"
        ),
        (
            "CREATE TABLE transitions (deployment TEXT NOT NULL, sequence INTEGER NOT NULL, payload BLOB NOT NULL, "
            "PRIMARY KEY (deployment, sequence)) WITHOUT ROWID"
        ),
        # AUTOINCREMENT: a number is never given again, or a late acknowledgement could delete another message.
        (
            "CREATE TABLE outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, "
            "sequence INTEGER NOT NULL, retain INTEGER NOT NULL, payload BLOB NOT NULL)"
        ),
        "CREATE INDEX outbox_by_topic ON outbox (topic, sequence)",
        (
            "CREATE TABLE commands (number INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, id TEXT NOT NULL, "
            "action TEXT NOT NULL, outcome TEXT NOT NULL, message TEXT NOT NULL, UNIQUE (deployment, id))"
        ),
    ),
)
