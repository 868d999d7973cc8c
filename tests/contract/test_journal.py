"""What the agent may rely on from its journal, on disk and in memory; on disk also after kill -9."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.adapters.journal import (
    COMMANDS_KEPT,
    EVENTS_QUEUED,
    FILE,
    TRANSITIONS_KEPT,
    SqliteJournal,
    memory_journal,
    open_journal,
)
from edge_agent.adapters.schema import APPLICATION_ID, MIGRATIONS
from edge_agent.happenings import StoreManifest
from edge_agent.model import Deployment, Plan, Step, Work
from edge_agent.ports import Batch, Journal, JournalError, Outgoing
from topics.documents.command import CommandOutcome
from topics.documents.status import ComponentStatus, Failure
from topics.lifecycle import State

_PLAN = Plan(3, "sha256:3", components=("web",))


def _record(name: str = "app", **fields: object) -> Deployment:
    return Deployment(name, State.CONFIGURATION, _PLAN, _PLAN, **fields)  # type: ignore[arg-type]


@pytest.fixture(params=["disk", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(tmp_path) if request.param == "disk" else memory_journal()
    yield opened
    opened.close()


def test_a_record_comes_back_as_it_was(journal: Journal) -> None:
    """Every field of it."""
    failure = Failure(stage=State.CREATED, code="x", message="y", retryable=True, generation=3, next_retry_seconds=2.0)
    record = _record(
        deployed=Plan(2, "sha256:2"), previous=Plan(1, "sha256:1"), sequence=9, work=Work(4, Step.APPLY, "web"),
        works=4, attempt=2, heals=1, failure=failure, cause=failure, refusal=failure, held="waits",
        components=(ComponentStatus(name="web", state="Applying"),), begun=True, activated=True, cleared=False,
        commands=(CommandOutcome(id="c", action="retry", outcome="done"),),
    )  # fmt: skip
    journal.write(Batch(records={"app": record}))
    assert journal.load() == {"app": record}


def test_the_runtimes_that_were_told_last_are_remembered(journal: Journal) -> None:
    """None at first; a batch without them changes nothing."""
    assert journal.runtimes() == frozenset()
    journal.write(Batch(runtimes=frozenset({"docker", "compose"})))
    journal.write(Batch(records={"app": _record()}))
    assert journal.runtimes() == {"docker", "compose"}
    journal.write(Batch(runtimes=frozenset()))
    assert journal.runtimes() == frozenset()


def test_a_manifest_is_kept_byte_for_byte_until_it_is_forgotten(journal: Journal) -> None:
    """Its digest is over exactly these bytes."""
    payload = bytes(range(256))
    journal.write(Batch(manifests=[("app", StoreManifest(3, "sha256:3", payload))]))
    assert journal.manifest("app", 3) == payload
    journal.write(Batch(forgotten=[("app", 3)]))
    with pytest.raises(JournalError, match="app generation 3 is missing"):
        journal.manifest("app", 3)


def test_a_generation_forgotten_and_stored_in_one_batch_is_kept(journal: Journal) -> None:
    """What is forgotten is older than what is stored."""
    journal.write(Batch(manifests=[("app", StoreManifest(4, "sha256:4", b"4"))], forgotten=[("app", 3)]))
    assert journal.manifest("app", 4) == b"4"


def test_transitions_are_kept_in_order_up_to_the_limit(journal: Journal) -> None:
    """The last 500 of a deployment can be published again."""
    count = TRANSITIONS_KEPT + 20
    journal.write(Batch(transitions=[("app", number, b"%d" % number) for number in range(1, count + 1)]))
    assert journal.oldest_transition("app") == 21
    assert journal.transitions("app", count - 1) == [(count - 1, b"%d" % (count - 1)), (count, b"%d" % count)]
    assert journal.oldest_transition("other") is None


def test_events_leave_in_order_and_retained_ones_only_in_their_newest_form(journal: Journal) -> None:
    """A status moves behind the events it speaks of."""
    status = Outgoing("status", b"1", retain=True)
    journal.write(Batch(outgoing=[status, Outgoing("events", b"a", retain=False, sequence=1)]))
    journal.write(Batch(outgoing=[Outgoing("events", b"b", retain=False, sequence=2)]))
    journal.write(Batch(outgoing=[Outgoing("status", b"2", retain=True)]))
    rows = journal.outbox(0, 10)
    assert [row.payload for row in rows] == [b"a", b"b", b"2"]
    assert [row.retain for row in rows] == [False, False, True]
    assert [row.payload for row in journal.outbox(rows[0].number, 1)] == [b"b"]


def test_a_late_acknowledgement_does_not_delete_the_replacement(journal: Journal) -> None:
    """The replaced message's number is never given again."""
    journal.write(Batch(outgoing=[Outgoing("status", b"1", retain=True)]))
    old = journal.outbox(0, 1)[0].number
    journal.write(Batch(outgoing=[Outgoing("status", b"2", retain=True)]))
    journal.write(Batch(delivered=[old]))
    assert [row.payload for row in journal.outbox(0, 10)] == [b"2"]
    journal.write(Batch(delivered=[journal.outbox(0, 1)[0].number]))
    assert journal.outbox(0, 10) == []
    journal.write(Batch(outgoing=[Outgoing("status", b"3", retain=True)]))
    assert journal.outbox(0, 1)[0].number > old + 1


def test_the_queue_of_events_is_bounded(journal: Journal) -> None:
    """A device that fails for months without a broker must not fill its disk."""
    last = EVENTS_QUEUED + 7
    journal.write(Batch(outgoing=[Outgoing("events", b"", retain=False, sequence=n) for n in range(1, last + 1)]))
    assert len(journal.outbox(0, last)) == EVENTS_QUEUED


def test_a_commands_outcome_is_remembered_per_deployment(journal: Journal) -> None:
    """The last hundred of each."""
    outcome = CommandOutcome(id="c", action="retry", outcome="done")
    journal.write(Batch(commands=[("app", outcome)]))
    assert journal.was_handled("app", "c")
    assert not journal.was_handled("other", "c")
    others = [("app", outcome.model_copy(update={"id": f"c{n}"})) for n in range(COMMANDS_KEPT)]
    journal.write(Batch(commands=others))
    assert not journal.was_handled("app", "c")
    assert journal.was_handled("app", "c0")


def test_a_batch_is_written_whole_or_not_at_all(journal: Journal) -> None:
    """Here a transition stands twice, which the journal refuses."""
    journal.write(Batch(transitions=[("app", 1, b"")]))
    with pytest.raises(JournalError):
        journal.write(Batch(records={"app": _record()}, transitions=[("app", 2, b""), ("app", 1, b"")]))
    assert journal.load() == {}
    assert journal.transitions("app", 1) == [(1, b"")]


def _closed(folder: Path) -> SqliteJournal:
    journal = open_journal(folder)
    journal.close()
    return journal


def test_every_start_counts_and_the_identity_stays(tmp_path: Path) -> None:
    """Session numbers grow over restarts; another folder is another journal."""
    first, second = _closed(tmp_path), _closed(tmp_path)
    assert (first.boot, second.boot) == (1, 2)
    assert first.id == second.id
    (tmp_path / "other").mkdir()
    assert _closed(tmp_path / "other").id != first.id
    journal = open_journal(tmp_path)
    journal.reach_boot(9)
    journal.reach_boot(5)
    journal.close()
    assert _closed(tmp_path).boot == 10


def test_a_newer_journal_is_not_touched(tmp_path: Path) -> None:
    """An older agent would misread it."""
    _closed(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(JournalError, match="newer agent"):
        open_journal(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "text", "foreign", "torn"])
def test_a_damaged_journal_is_an_error_and_never_an_empty_start(tmp_path: Path, damage: str) -> None:
    """The error names the file and what to do, and the file stays as it is."""
    journal = open_journal(tmp_path)
    journal.write(Batch(manifests=[("app", StoreManifest(n, "d", b"x" * 5000)) for n in range(40)]))
    journal.close()
    path = tmp_path / FILE
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"hello " * 1000)
    elif damage == "foreign":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t (x)")
        connection.close()
    else:
        content = bytearray(path.read_bytes())
        content[8192:12288] = b"\xff" * 4096
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"journal\.db cannot be used: .+ backup"):
        open_journal(tmp_path)
    assert path.read_bytes() == before


def test_a_record_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """It is not left out silently."""
    journal = open_journal(tmp_path)
    journal.write(Batch(records={"app": _record()}))
    journal.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute('UPDATE deployments SET record = \'{"format":1,"record":{}}\'')
    connection.close()
    journal = open_journal(tmp_path)
    with pytest.raises(JournalError, match="a record cannot be read"):
        journal.load()
    journal.close()


def test_a_start_that_was_interrupted_while_the_journal_was_made_begins_again(tmp_path: Path) -> None:
    """What was left beside its place is no journal yet."""
    (tmp_path / (FILE + ".new")).write_bytes(b"half")
    assert _closed(tmp_path).boot == 1
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()


_WRITER = """
import sys
from pathlib import Path
from edge_agent.adapters.journal import open_journal
from edge_agent.model import Deployment, Plan
from edge_agent.ports import Batch, Outgoing
from topics.lifecycle import State

journal = open_journal(Path(sys.argv[1]))
known = journal.load()
number = known["app"].sequence if known else 0
while True:
    number += 1
    plan = Plan(number, "sha256:x")
    journal.write(
        Batch(
            records={"app": Deployment("app", State.CREATED, plan, plan, sequence=number)},
            transitions=[("app", number, b"x" * 500)],
            outgoing=[Outgoing("events", b"x" * 500, False, number), Outgoing("status", b"%d" % number, True)],
        )
    )
    print(number, flush=True)
"""


def test_kill_9_in_mid_write_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    """Record, transitions and outbox agree after every kill, and hold at least what was confirmed."""
    root = Path(__file__).parents[2]
    for round_number in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)],
            stdout=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip
        assert writer.stdout is not None
        confirmed = 0
        for _ in range(10 + 13 * round_number):
            confirmed = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        confirmed = max([confirmed, *(int(line) for line in writer.stdout.read().splitlines() if line)])
        writer.wait()
        writer.stdout.close()
        journal = open_journal(tmp_path)
        sequence = journal.load()["app"].sequence
        assert sequence >= confirmed
        kept = [number for number, _ in journal.transitions("app", 1)]
        assert kept == list(range(max(1, sequence - TRANSITIONS_KEPT + 1), sequence + 1))
        rows = journal.outbox(0, 10_000)
        assert [row.topic for row in rows] == ["events"] * sequence + ["status"]
        assert rows[-1].payload == b"%d" % sequence
        journal.close()
