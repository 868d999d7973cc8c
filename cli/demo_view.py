"""What the demo shows: a live table in a terminal, plain lines elsewhere, and a summary at the end."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.commands.live import Transitions, live_table, messages
from cli.demo_processes import DEVICES, DemoProcesses
from cli.fleet import Fleet, Row
from cli.messages import Heard
from cli.printing import console, grid, precise, visible
from cli.tables import generations, problem_lines
from topics.documents.status import TransitionEvent

if TYPE_CHECKING:
    from cli.embedded_broker import EmbeddedBroker

_REFRESH_SECONDS = 0.1
_TRANSITIONS = 5
_SUMMARY = ("DEPLOYMENT", "DEVICE", "STATE", "GENERATION", "SPEC TO DEPLOYED")


class DemoView(AbstractContextManager["DemoView"]):
    """Shows the picture as it changes: here as plain lines; ``LiveView`` as a table.

    ``pause_seconds`` is how long to let a person look after each step.
    """

    pause_seconds = 0.0

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.fleet = Fleet()
        self._transitions = Transitions()
        self._started = time.monotonic()
        self._broker = broker
        self._removed: list[Row] = []
        self._title = ""
        self._done: list[str] = []

    def __enter__(self) -> Self:
        print(f"broker: {self._broker.url} (MQTT), {self._broker.ws_url} (WebSocket)", flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def step(self, title: str) -> None:
        """The next step begins."""
        self._title = title
        print(f"{self._elapsed()}  {title}", flush=True)

    def finished(self) -> None:
        """The step is done."""

    def take(self, heard: Heard) -> None:
        """One message from the bus."""
        event = heard.document
        if heard.problem is not None:
            print(visible(f"{self._elapsed()}    undecodable message on {heard.topic}: {heard.problem}"), flush=True)
        elif isinstance(event, TransitionEvent) and self._transitions.is_new(event):
            print(self._transition(event), flush=True)
        self.fleet.take(heard)

    def refresh(self, *, now: bool = False) -> None:
        """Bring what is shown up to date."""

    def published(self, name: str, now: float) -> None:
        """A spec was published: the times of its devices count from here."""
        self.fleet.begun[name] = now

    def remember(self, name: str) -> None:
        """Keep the rows of a deployment that is about to be removed, for the summary."""
        self._removed += self.fleet.rows(name)

    def summary(self, processes: DemoProcesses) -> None:
        """The end: every deployment with its device, and what lies on the devices' disks."""
        cells = [self._summary_cells(row) for row in self.fleet.rows()]
        cells += [(row.deployment, row.device, "Removed", generations(row), "-") for row in self._removed]
        output = console()
        output.print()
        output.print(grid(_SUMMARY, cells))
        output.print()
        for line in messages(self.fleet.rows()):
            output.print(Text(visible(line)))
        for device in DEVICES:
            folder = processes.manifests(device.id)
            labels = ", ".join(f"{key}={value}" for key, value in device.labels.items())
            output.print(Text(f"{device.id} ({labels}) has {_files(folder)} for its runtime"))
        output.print(Text(f"done in {time.monotonic() - self._started:.1f} s"))

    def _summary_cells(self, row: Row) -> tuple[str, ...]:
        timing = row.timing
        took = None if timing.finished is None or timing.started is None else timing.finished - timing.started
        return (row.deployment, row.device, row.state, generations(row), precise(took))

    def _transition(self, event: TransitionEvent) -> str:
        line = f"{self._elapsed()}    {event.device}  {event.deployment}  generation {event.generation}  "
        return visible(f"{line}{event.source or '(new)'} → {event.target}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started:5.2f} s"


class LiveView(DemoView):
    """A table that moves, with the newest transitions below it, for terminals."""

    pause_seconds = 0.8

    def __init__(self, broker: EmbeddedBroker) -> None:
        super().__init__(broker)
        self._live = Live(console=console(), auto_refresh=False, vertical_overflow="crop")
        self._drawn = 0.0
        self._newest: deque[str] = deque(maxlen=_TRANSITIONS)
        self._since = self._started

    def __enter__(self) -> Self:
        super().__enter__()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refresh(now=True)
        self._live.stop()

    def step(self, title: str) -> None:
        self._title, self._since = title, time.monotonic()
        self.refresh(now=True)

    def take(self, heard: Heard) -> None:
        self.fleet.take(heard)
        event = heard.document
        if isinstance(event, TransitionEvent) and self._transitions.is_new(event):
            self._newest.append(self._transition(event))
            self.refresh(now=True)  # a stage takes milliseconds: each one is drawn

    def refresh(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._drawn < _REFRESH_SECONDS:
            return
        self._drawn = moment
        lines = [Text(f"✓ {line}", style="green") for line in self._done]
        if self._title:
            lines.append(Text(f"▸ {self._title} … {moment - self._since:.1f} s", style="bold"))
        problems = [Text(visible(line), style="red") for line in problem_lines(self.fleet.problems)]
        newest = [Text(line, style="dim") for line in self._newest]
        table = live_table(self.fleet, None, moment)
        self._live.update(Group(*lines, Text(), table, Text(), *newest, *problems), refresh=True)

    def finished(self) -> None:
        self._done.append(f"{self._title} ({time.monotonic() - self._since:.1f} s)")
        self._title = ""
        self.refresh(now=True)


def view_for(broker: EmbeddedBroker) -> DemoView:
    """The view that fits standard output."""
    return LiveView(broker) if sys.stdout.isatty() else DemoView(broker)


def _files(folder: Path) -> str:
    count = sum(1 for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    return f"{count} file{'' if count == 1 else 's'} in {folder.name}"
