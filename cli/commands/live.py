"""``fleetbus watch`` and ``fleetbus events``: what happens, as it happens."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.context import Output, Settings
from cli.exits import CliError, Exit
from cli.fleet import Fleet, Row
from cli.messages import Heard
from cli.printing import age, console, grid, note, precise, visible, yes_no
from cli.session import Session
from cli.tables import deployment_data, generations
from topics import channels
from topics.documents.status import TransitionEvent
from topics.lifecycle import STAGES, State

if TYPE_CHECKING:
    from rich.console import RenderableType

WATCH_CHANNELS = (channels.RESULT, channels.AGGREGATE, channels.STATUS, channels.EVENT, channels.PRESENCE)
REFRESH_SECONDS = 0.25
LIVE_HEADINGS = ("DEPLOYMENT", "DEVICE", "STAGES", "STATE", "GEN", "IN STATE", "IN ALL", "ONLINE")


class Transitions:
    """Which transitions were seen: devices repeat what nobody has confirmed."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, str, int]] = set()

    def is_new(self, event: TransitionEvent) -> bool:
        """True the first time."""
        key = (event.deployment, event.device, event.journal, event.sequence)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def watch(settings: Settings, name: str | None) -> Exit:
    """A table that stays current until Ctrl-C or ``--timeout``; without a terminal one line per change."""
    fleet = Fleet()
    try:
        filters = [settings.topics.filter(channel, deployment=name or "+") for channel in WATCH_CHANNELS]
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    try:
        with Session(settings, filters, stays=True) as session:
            for heard in session.collect():
                fleet.take(heard)
            messages = session.stream(REFRESH_SECONDS, settings.timeout)
            if sys.stdout.isatty() and settings.output is Output.TABLE:
                _watch_live(session, fleet, name, messages)
            else:
                _watch_lines(fleet, name, messages, settings.output)
    except KeyboardInterrupt:
        pass
    return Exit.OK


def events(settings: Settings, name: str | None, device: str | None, count: int | None) -> Exit:
    """One line per transition until Ctrl-C, ``--count`` of them, or ``--timeout`` (then exit code 4)."""
    try:
        wanted = settings.topics.filter(channels.EVENT, deployment=name or "+", device=device or "+")
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    seen = 0
    transitions = Transitions()
    try:
        with Session(settings, [wanted], stays=True) as session:
            note("listening for transitions (Ctrl-C ends)")
            lost: str | None = None
            for heard in session.stream(REFRESH_SECONDS, settings.timeout):
                if session.lost != lost:
                    lost = session.lost
                    note(f"connection lost ({lost}), connecting again" if lost else "connected again")
                if heard is None or heard.cleared:
                    continue
                if isinstance(heard.document, TransitionEvent) and not transitions.is_new(heard.document):
                    continue
                print(visible(event_line(heard, settings.output)), flush=True)
                seen += 1
                if seen == count:
                    return Exit.OK
    except KeyboardInterrupt:
        return Exit.OK
    return Exit.TIMED_OUT if count is not None else Exit.OK


def event_line(heard: Heard, output: Output) -> str:
    """One transition: JSON in one line, or words. The time is this machine's: a device's clock may be wrong."""
    event = heard.document
    if output is not Output.TABLE:
        return json.dumps(heard.shown(), ensure_ascii=False)
    now = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
    if not isinstance(event, TransitionEvent):
        return f"{now}  undecodable message on {heard.topic}: {heard.problem}"
    source = event.source or "(new)"
    attempt = f" attempt {event.attempt}" if event.attempt > 1 else ""
    why = ": ".join(part for part in (event.code, event.message) if part)
    line = f"{now}  {event.device}  {event.deployment}  gen {event.generation}  {source} → {event.target}{attempt}"
    return f"{line}  {why}" if why else line


def live_table(fleet: Fleet, name: str | None, now: float) -> RenderableType:
    """The table of ``watch`` and of the demo: every deployment on every device, with its stages and times.

    What there is to say about them stands below it, where it has room.
    """
    from rich.console import Group
    from rich.text import Text

    rows = fleet.rows(name)
    table = grid(LIVE_HEADINGS, [_cells(row, now) for row in rows], gap=2)
    return Group(table, Text(), *(Text(visible(line)) for line in messages(rows)))


def messages(rows: Sequence[Row]) -> list[str]:
    """One line for each different message of a deployment, with the devices it is about."""
    devices: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.message:
            devices.setdefault((row.deployment, row.message), []).append(row.device)
    return [
        f"{deployment} on {', '.join(about)}: {message}" if about != ["-"] else f"{deployment}: {message}"
        for (deployment, message), about in devices.items()
    ]


def stages(row: Row) -> str:
    """The five stages as dots, filled as far as the deployment has come: ``●●●○○``."""
    if row.device == "-" or row.state not in set(State):
        return "-"
    # Staged stands between Downloading and Configuration; degraded and restored ones have been through all.
    reached = {State.STAGED: 3, State.DEGRADED: 5, State.ROLLING_BACK: 4, State.REMOVING: 0, State.REMOVED: 0}
    state = State(row.state)
    if state is State.FAILED:
        passed = [STAGES.index(item) + 1 for item in row.timing.reached if item in STAGES]
        return "●" * max(passed, default=0) + "✗"
    done = STAGES.index(state) + 1 if state in STAGES else reached[state]
    return "●" * done + "○" * (len(STAGES) - done)


def _cells(row: Row, now: float) -> tuple[str, ...]:
    timing = row.timing
    in_state = None if timing.since is None else now - timing.since
    in_all = None if timing.started is None else (timing.finished or now) - timing.started
    return (
        row.deployment, row.device, stages(row), row.state, generations(row), precise(in_state), precise(in_all),
        _online(row),
    )  # fmt: skip


def _online(row: Row) -> str:
    """``yes``, or since when not: no news is not running."""
    return f"no, seen {age(row.last_seen)} ago" if row.online is False and row.last_seen else yes_no(row.online)


def _watch_live(session: Session, fleet: Fleet, name: str | None, messages: Iterator[Heard | None]) -> None:
    from rich.live import Live
    from rich.text import Text

    def picture() -> RenderableType:
        if session.lost:
            return Text(f"connection lost ({session.lost}), connecting again; this is the last that was known")
        return live_table(fleet, name, time.monotonic())

    with Live(picture(), console=console(), auto_refresh=False, vertical_overflow="crop") as live:
        drawn = time.monotonic()
        for heard in messages:
            if heard is not None:
                fleet.take(heard)
            now = time.monotonic()
            if heard is None or now - drawn > REFRESH_SECONDS:
                live.update(picture(), refresh=True)
                drawn = now


def _watch_lines(fleet: Fleet, name: str | None, messages: Iterator[Heard | None], output: Output) -> None:
    told: dict[tuple[str, str], dict[str, Any]] = {}
    _tell_changes(fleet, name, told, output)
    for heard in messages:
        if heard is not None:
            fleet.take(heard)
            _tell_changes(fleet, name, told, output)


def _tell_changes(fleet: Fleet, name: str | None, told: dict[tuple[str, str], dict[str, Any]], output: Output) -> None:
    for row in fleet.rows(name):
        facts = deployment_data(row)
        quiet = {key: value for key, value in facts.items() if key != "lastSeen"}
        if told.get((row.deployment, row.device)) == quiet:
            continue
        told[(row.deployment, row.device)] = quiet
        if output is Output.TABLE:
            online = {True: "online", False: "offline", None: "presence unknown"}[row.online]
            line = (
                f"{row.deployment}  {row.device}  {row.state}  generation {generations(row)}  {online}  {row.message}"
            )
            print(visible(line.rstrip()), flush=True)
        else:
            print(json.dumps(facts, ensure_ascii=False), flush=True)
