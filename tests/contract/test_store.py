"""What the orchestrator may rely on from its store: on disk, and in memory as the simulations use it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters import schema
from orchestrator.adapters.schema import DamagedStoreError, StoreVersionError
from orchestrator.adapters.sql_store import KEPT_COMMANDS, SqlStore, sqlite_url
from orchestrator.commands import CommandRecord
from orchestrator.decide_spec import content_digest
from orchestrator.decision import Publication, Transition
from orchestrator.model import Assignment, DeploymentRecord, DeviceRecord, Problem, SpecRecord
from orchestrator.ports import Unit
from topics.allocation import Share
from topics.codec import digest_of
from topics.documents.device import Capabilities, Cpu, Interface, Peripheral, Volume
from topics.documents.status import ComponentStatus, Failure, TransitionEvent
from topics.errors import Reason
from topics.lifecycle import State, Trigger
from topics.spec_reader import read_spec

_SPEC = b"""
apiVersion: fleetbus/v1
kind: DeploymentSpec
metadata: {name: press, labels: {line: "1"}}
spec:
  agents: {selector: {matchExpressions: [{key: line, operator: In, values: [press]}]}, count: 2}
  requirements: {cpu: {cores: 500m, architectures: [amd64]}, memory: 1.5Gi}
  components:
    - name: db
      helm: {chart: oci://r.example/db, version: 1.0.0, values: {a: [1, 2.5, null, {b: "\xc3\xa4\\n"}]}}
    - name: settings
      kubernetes: {objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: s}}], timeout: 8m30s}
"""


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    opened = SqlStore(sqlite_url(tmp_path) if request.param == "disk" else "sqlite://")
    yield opened
    opened.close()


def _spec(**fields: object) -> SpecRecord:
    record = SpecRecord("press", 3, digest_of(_SPEC), digest_of(b"content"), read_spec(_SPEC, name="press"))
    return replace(record, **fields)  # type: ignore[arg-type]


def _device() -> DeviceRecord:
    document = Capabilities(
        device="Edge.1", labels={"line": "press", "example.com/x": ""}, memory=2**40,
        cpus=(Cpu(architecture="amd64", cores=8, physical_cores=4, model="x"),), appliers=("kubernetes",),
        storage=(Volume(path="/", capacity=2**50),), interfaces=(Interface(name="eth0", type="ethernet"),),
        peripherals=(Peripheral(type="gpu", manufacturer="äöü"),),
    )  # fmt: skip
    return DeviceRecord(
        "Edge.1", True, 7_000_001, "journal", "1.2.3", 12.5, "2024-01-01T00:00:00.000Z", document, digest_of(b"c"),
        (("press", Share(500, 2**40, 0)), ("oven", Share())),
    )  # fmt: skip


def _failure() -> Failure:
    return Failure(
        stage=State.CONFIGURATION, code="timeout", message="took 5 m: \x01\u2028", retryable=True, generation=3,
        attempt=2, next_retry_seconds=0.1, component="db",
    )  # fmt: skip


def _deployment(**fields: object) -> DeploymentRecord:
    record = DeploymentRecord(
        "press", "Edge.1", desired_generation=3, desired_digest=digest_of(b"m"), removing=True, state=State.FAILED,
        generation=2, deployed_generation=1, epoch=7, journal="journal", sequence=2**53 - 1, event_sequence=4,
        ahead=(6, 9), last_target=State.ROLLING_BACK, held="window", failure=_failure(), anomaly="odd",
        components=(ComponentStatus(name="db", state="Failed", message="x"),), assignment=Assignment(4, "1 of 2: zone=a had none", Share(500, 2**40, 2**50), Share(1, 0, 0)),
    )  # fmt: skip
    return record._replace(**fields)  # type: ignore[arg-type]


def _command(id: str = "c1", **fields: object) -> CommandRecord:
    return replace(CommandRecord(id, "press", "Edge.1", "retry", 3, 0.5), **fields)  # type: ignore[arg-type]


def _transition(sequence: int, *, journal: str = "journal", legal: bool = True) -> Transition:
    event = TransitionEvent(
        deployment="press", device="Edge.1", epoch=1, journal=journal, sequence=sequence, generation=1, source=None,
        target=State.CREATED, trigger=Trigger.CREATE, message="ä", time="1970-01-01T00:00:00Z",
    )  # fmt: skip
    return Transition(event, journal, "2024-01-01T00:00:00.000Z", legal)


def _message(topic: str, payload: bytes, *, digest: str | None = None) -> Publication:
    return Publication(topic, payload, digest=digest_of(payload) if digest is None else digest)


def _publish(store: SqlStore, *messages: Publication) -> bool:
    unit = Unit()
    for message in messages:
        unit.publish(message)
    return store.commit(unit)


def _waiting(store: SqlStore) -> list[tuple[str, bytes]]:
    return [(item.topic, item.payload) for item in store.to_send(0, 1000)]


def _deliver_all(store: SqlStore) -> None:
    store.commit(Unit(delivered=[item.seq for item in store.to_send(0, 1000)]))


# -- records -------------------------------------------------------------------------------------


def test_an_empty_store_has_an_empty_fleet(store: SqlStore) -> None:
    """Nothing is made up."""
    fleet = store.load()
    assert (fleet.specs, fleet.devices, list(fleet.commands.values()), list(fleet.deployments())) == ({}, {}, [], [])


@pytest.mark.parametrize(
    "record",
    [
        _spec(),
        _spec(
            paused=True, pins=(("db", "sha256:1"), ("x", "sha256:2")),
            problem=Problem((Reason(path="a[0]", code="c", message="m", hint="h", device="d"),), True, 4),
        ),
        _spec(accepted=7, margo=True, rejected=True, warnings=(Reason(path="a", code="c", message="m"),)),
        SpecRecord("press", 4, "", "", None),
    ],
    ids=["plain", "with a problem", "a Margo document", "deleted"],
)  # fmt: skip
def test_a_spec_comes_back_as_it_was(store: SqlStore, record: SpecRecord) -> None:
    """Every field of it, and with the same content: a restart makes no generation."""
    store.commit(Unit(specs={"press": record}))
    assert store.load().specs == {"press": record}


@pytest.mark.parametrize("record", [_device(), DeviceRecord("Edge.1")], ids=["known", "unknown"])
def test_a_device_comes_back_as_it_was(store: SqlStore, record: DeviceRecord) -> None:
    """Also one that has not said what it is."""
    store.commit(Unit(devices={"Edge.1": record}))
    assert store.load().devices == {"Edge.1": record}


@pytest.mark.parametrize("record", [_deployment(), DeploymentRecord("press", "Edge.1")], ids=["full", "new"])
def test_a_deployment_comes_back_as_it_was(store: SqlStore, record: DeploymentRecord) -> None:
    """What is wanted and what was reported."""
    store.commit(Unit(deployments={record.key: record}))
    assert list(store.load().deployments()) == [record]


def test_commands_come_back_in_the_order_of_their_arrival(store: SqlStore) -> None:
    """An answer does not move a command to the end."""
    first, second = _command("z"), _command("a", device="")
    store.commit(Unit(commands={first.key: first}))
    store.commit(Unit(commands={second.key: second}))
    answered = replace(first, outcome="done", message="ä")
    store.commit(Unit(commands={first.key: answered}))
    assert list(store.load().commands.values()) == [answered, second]


def test_open_commands_are_known_as_open(store: SqlStore) -> None:
    """They are sent when their device comes back."""
    open_, done = _command("open"), _command("done", outcome="done")
    store.commit(Unit(commands={open_.key: open_, done.key: done}))
    assert store.load().commands.open_of("Edge.1") == [open_]


def test_the_oldest_answered_commands_are_forgotten_at_start(store: SqlStore) -> None:
    """Open ones never."""
    records = [_command(f"c{number}", outcome="done" if number else "") for number in range(KEPT_COMMANDS + 100)]
    store.commit(Unit(commands={record.key: record for record in records}))
    fleet = store.load()
    assert ("c0", "Edge.1") in fleet.commands
    assert ("c1", "Edge.1") not in fleet.commands
    assert (f"c{KEPT_COMMANDS + 99}", "Edge.1") in fleet.commands


def test_a_newer_record_replaces_the_older_one(store: SqlStore) -> None:
    """One row for each key."""
    store.commit(Unit(deployments={("press", "Edge.1"): _deployment()}))
    newer = _deployment(state=State.DEPLOYED, failure=None, held=None, ahead=())
    store.commit(Unit(deployments={newer.key: newer}))
    assert list(store.load().deployments()) == [newer]


def test_a_dropped_deployment_is_gone(store: SqlStore) -> None:
    """And others are not."""
    other = _deployment(device="other")
    store.commit(Unit(deployments={("press", "Edge.1"): _deployment(), other.key: other}))
    store.commit(Unit(deployments={("press", "Edge.1"): None, ("press", "unknown"): None}))
    assert list(store.load().deployments()) == [other]


def test_a_transition_is_kept_once(store: SqlStore) -> None:
    """Within a unit and across units; another journal counts for itself."""
    store.commit(Unit(transitions=[_transition(2), _transition(1), _transition(2)]))
    store.commit(Unit(transitions=[_transition(1), _transition(3, legal=False)]))
    assert list(store.transitions("press", "Edge.1")) == [1, 2, 3]
    store.commit(Unit(transitions=[_transition(1, journal="new")]))
    assert list(store.transitions("press", "Edge.1")) == [1, 1, 2, 3]
    assert list(store.transitions("press", "other")) == []


# -- the outbox ----------------------------------------------------------------------------------


def test_messages_wait_in_the_order_of_their_publication(store: SqlStore) -> None:
    """Over units; after a cursor, and no more than asked for."""
    assert _publish(store, _message("z", b"1"), _message("a", b"2"))
    assert _publish(store, _message("m", b"3"))
    items = store.to_send(0, 1000)
    assert [item.topic for item in items] == ["z", "a", "m"]
    assert [item.topic for item in store.to_send(items[0].seq, 1)] == ["a"]
    assert all(item.retain for item in items)


def test_the_newest_message_on_a_topic_wins_within_a_unit(store: SqlStore) -> None:
    """And takes its place at the end."""
    _publish(store, _message("a", b"1"), _message("b", b"2"), _message("a", b"3"))
    assert _waiting(store) == [("b", b"2"), ("a", b"3")]


def test_a_replaced_message_gets_a_new_number(store: SqlStore) -> None:
    """So the delivery of the old one does not count for it."""
    _publish(store, _message("a", b"1"))
    [old] = store.to_send(0, 10)
    _publish(store, _message("a", b"2"))
    [new] = store.to_send(0, 10)
    assert new.seq > old.seq
    store.commit(Unit(delivered=[old.seq]))
    assert _waiting(store) == [("a", b"2")]
    store.commit(Unit(delivered=[new.seq]))
    assert _waiting(store) == []


def test_the_same_content_is_not_queued_again(store: SqlStore) -> None:
    """Whether it waits or was delivered; its time may differ."""
    _publish(store, _message("a", b"at 1", digest="same"))
    assert not _publish(store, _message("a", b"at 2", digest="same"))
    _deliver_all(store)
    assert not _publish(store, _message("a", b"at 3", digest="same"))
    assert _waiting(store) == []


def test_what_is_to_be_sent_again_is_sent_again(store: SqlStore) -> None:
    """All of it, some topics, or the newest ones; never twice what still waits."""
    _publish(store, *(_message(f"t{number}", b"x") for number in range(5)))
    _deliver_all(store)
    store.send_again(topics=["t3", "t1", "unknown"])
    assert [topic for topic, _ in _waiting(store)] == ["t1", "t3"]
    _deliver_all(store)
    store.send_again(newest=2)
    assert [topic for topic, _ in _waiting(store)] == ["t3", "t4"]
    store.send_again()
    assert [topic for topic, _ in _waiting(store)] == [f"t{number}" for number in range(5)]


def test_any_number_of_topics_can_be_sent_again(store: SqlStore) -> None:
    """More than a statement may have parameters."""
    topics = [f"t{number}" for number in range(40_000)]
    _publish(store, *(_message(topic, b"x") for topic in topics))
    store.commit(Unit(delivered=[item.seq for item in store.to_send(0, 50_000)]))
    store.send_again(topics=topics)
    assert len(store.to_send(0, 50_000)) == 40_000


def test_a_cleared_topic_disappears_once_it_is_delivered(store: SqlStore) -> None:
    """It is not cleared again for ever; and the same content may come back."""
    _publish(store, _message("a", b"1"))
    _deliver_all(store)
    _publish(store, Publication("a", b""))
    assert _waiting(store) == [("a", b"")]
    _deliver_all(store)
    store.send_again()
    assert _waiting(store) == []
    assert _publish(store, _message("a", b"1"))


def test_a_command_is_sent_until_it_is_delivered_and_never_again(store: SqlStore) -> None:
    """It is not retained; two with different keys on one topic do not replace each other."""
    for key in ("c#1", "c#2"):
        _publish(store, Publication("c", key.encode(), retain=False, key=key))
    assert _waiting(store) == [("c", b"c#1"), ("c", b"c#2")]
    _deliver_all(store)
    store.send_again()
    assert _waiting(store) == []


def test_a_payload_is_kept_byte_for_byte(store: SqlStore) -> None:
    """Its digest is over exactly these bytes."""
    payload = bytes(range(256)) * 4096
    _publish(store, _message("a", payload))
    assert _waiting(store) == [("a", payload)]


def test_the_epoch_grows_with_every_start(store: SqlStore) -> None:
    """From 1."""
    assert [store.next_epoch() for _ in range(3)] == [1, 2, 3]


def test_a_unit_is_written_whole_or_not_at_all(store: SqlStore) -> None:
    """An error in its last part takes the first ones back."""
    unit = Unit(specs={"press": _spec()}, transitions=[_transition(1)])
    unit.publications["a"] = Publication("a", None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="NOT NULL"):
        store.commit(unit)
    assert store.load().specs == {}
    assert list(store.transitions("press", "Edge.1")) == []
    _publish(store, _message("a", b"1"))
    assert _waiting(store) == [("a", b"1")]


# -- the file ------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Records, outbox and its numbers, epoch."""
    first = SqlStore(sqlite_url(tmp_path))
    first.commit(Unit(specs={"press": _spec()}, deployments={("press", "Edge.1"): _deployment()}))
    _publish(first, _message("a", b"1"))
    [before] = first.to_send(0, 10)
    first.next_epoch()
    first.close()
    second = SqlStore(sqlite_url(tmp_path))
    assert second.load().specs == {"press": _spec()}
    _publish(second, _message("b", b"2"))
    assert [item.seq for item in second.to_send(0, 10)] == [before.seq, before.seq + 1]
    assert second.next_epoch() == 2
    second.close()


_COMMIT_FOR_EVER = """
import sys
from orchestrator.adapters.sql_store import SqlStore
from orchestrator.decision import Publication
from orchestrator.model import DeploymentRecord
from orchestrator.ports import Unit

store = SqlStore(sys.argv[1])
for number in range(1, 1_000_000):
    record = DeploymentRecord("press", "a", desired_generation=number)
    unit = Unit(deployments={record.key: record})
    unit.publish(Publication("topic", b"%d" % number, digest=str(number)))
    unit.publish(Publication(f"topic/{number % 50}", b"%d" % number, digest=str(number)))
    store.commit(unit)
    print(number, flush=True)
"""


def test_a_kill_in_the_middle_of_a_commit_loses_nothing_committed(tmp_path: Path) -> None:
    """Whatever the child said it had committed is there, record and message alike; and nothing is half there."""
    last = 0
    for round_ in range(4):
        command = [sys.executable, "-c", _COMMIT_FOR_EVER, sqlite_url(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) >= 20 + 17 * round_:
                    break
            child.send_signal(signal.SIGKILL)
            said = [int(line), *(int(rest) for rest in child.stdout.read().split())]
        last = said[-1]
        store = SqlStore(sqlite_url(tmp_path))
        [record] = store.load().deployments()
        messages = dict(_waiting(store))
        store.close()
        assert record.desired_generation in (last, last + 1)
        assert int(messages["topic"]) == record.desired_generation
        assert int(messages[f"topic/{record.desired_generation % 50}"]) == record.desired_generation


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    """It says which versions, and what to do; and leaves the file as it is."""
    SqlStore(sqlite_url(tmp_path)).close()
    file = tmp_path / "orchestrator.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
    connection.close()
    with pytest.raises(StoreVersionError, match=r"schema version 99, this program knows \d+: start the newer program"):
        SqlStore(sqlite_url(tmp_path))
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == (99,)
    connection.close()


@pytest.mark.parametrize("damage", ["other", "middle", "cut"])
def test_a_damaged_store_is_refused(tmp_path: Path, damage: str) -> None:
    """With the file's name and what to do; never started empty in its place."""
    store = SqlStore(sqlite_url(tmp_path))
    _publish(store, *(_message(f"t{number}", b"x" * 2000) for number in range(200)))
    store.close()
    file = tmp_path / "orchestrator.db"
    content = bytearray(file.read_bytes())
    if damage == "other":
        content = bytearray(b"this is no database at all" * 1000)
    elif damage == "middle":
        content[8192:] = b"\x5a" * (len(content) - 8192)
    else:
        del content[len(content) // 2 :]
    file.write_bytes(content)
    with pytest.raises(DamagedStoreError, match=r"orchestrator\.db is damaged.*restore a backup"):
        SqlStore(sqlite_url(tmp_path))


def test_migrations_run_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of version n gets the migrations after n, in order; a failed one leaves the version before it."""
    ran: list[str] = []
    SqlStore(sqlite_url(tmp_path)).close()
    steps = (*schema.MIGRATIONS, lambda connection: ran.append("second"), lambda connection: ran.append("third"))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    for _ in range(2):
        SqlStore(sqlite_url(tmp_path)).close()
    assert ran == ["second", "third"]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did is taken back, and it runs again at the next start."""
    SqlStore(sqlite_url(tmp_path)).close()

    def fails(connection: object) -> None:
        connection.exec_driver_sql("CREATE TABLE half (x)")  # type: ignore[attr-defined]
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fails))
        with pytest.raises(RuntimeError, match="power cut"):
            SqlStore(sqlite_url(tmp_path))
    connection = sqlite3.connect(tmp_path / "orchestrator.db")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    [version] = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    connection.close()
    assert "half" not in tables
    assert version == len(schema.MIGRATIONS)


_ADDED = {
    "specs": ("accepted", "warnings", "margo", "rejected"), "devices": ("promised",),
    "deployments": ("components", "assignment"),
}  # fmt: skip


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """What runs is reserved as its spec needs it, who waits is in line, and no content is a new one."""
    opened = SqlStore(sqlite_url(tmp_path))
    running = _deployment(removing=False, components=(), assignment=Assignment())
    opened.commit(
        Unit(
            specs={"press": _spec(), "gone": SpecRecord("gone", 4, "", "", None)}, devices={"Edge.1": _device()},
            deployments={running.key: running},
        )
    )  # fmt: skip
    opened.close()
    connection = sqlite3.connect(tmp_path / "orchestrator.db")
    for table, columns in _ADDED.items():
        for column in columns:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("UPDATE meta SET value = 1 WHERE key = 'schema'")
    connection.commit()
    connection.close()
    opened = SqlStore(sqlite_url(tmp_path))
    fleet = opened.load()
    opened.close()
    needed = Share(500, 3 * 2**29, 0)
    assert list(fleet.deployments()) == [running._replace(assignment=Assignment(3, "", needed, needed))]
    spec = fleet.specs["press"]
    assert spec.spec is not None
    assert spec == replace(_spec(), accepted=2, content_digest=content_digest(spec.spec))
    assert fleet.devices["Edge.1"] == replace(_device(), promised=())
    assert fleet.ledger.held("Edge.1", "press") == needed
