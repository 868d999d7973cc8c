"""A figure with its target and the baseline of the same run; the machine it came from; the table of all.

A missed target is shown as missed and is no error: how fast a machine is, no test can know. A system
that does not do the work is one, and raises.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cli.nats_server import server_binary

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; texts with their units. ``met`` is ``None`` where there is no target."""

    what: str
    measured: str
    baseline: str
    target: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "MISSED"

    def __str__(self) -> str:
        target = f" (target {self.target}: {self.verdict})" if self.target else ""
        return f"{self.what}: {self.measured}{target}; baseline: {self.baseline}"


def show(figures: Iterable[Figure]) -> list[Figure]:
    """Print each figure as it comes, and return all of them."""
    shown = []
    for figure in figures:
        print(figure, flush=True)
        shown.append(figure)
    return shown


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def best(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds: what the work takes when nobody disturbs."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return min(taken)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def environment() -> dict[str, str]:
    """For the processes that are measured: Python may cache its bytecode, as it does where it is installed."""
    return {"PYTHONDONTWRITEBYTECODE": ""}


def table(figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| figure | measured | baseline of the same run | target | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {item.what} | {item.measured} | {item.baseline} | {item.target or '-'} | {item.verdict} |"
        for item in figures
    ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The machine as Markdown: processor, cores, memory, kernel, Python, brokers, parts, date."""
    memory = int(_first(Path("/proc/meminfo"), "MemTotal").split()[0]) / 2**20
    mosquitto = _output(["mosquitto", "-h"]) or _output(["/usr/sbin/mosquitto", "-h"])
    parts = ", ".join(f"{name} {version(name)}" for name in ("paho-mqtt", "pydantic", "SQLAlchemy"))
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {_first(Path('/proc/cpuinfo'), 'model name') or platform.machine()}, "
        f"{os.cpu_count()} cores (virtual machine), {memory:.0f} GiB, Linux {platform.release()}; "
        f"Python {platform.python_version()}, {mosquitto.splitlines()[0].strip() if mosquitto else 'no mosquitto'}, "
        f"{_output([str(server_binary()), '--version']).strip()}; {parts}. "
        f"Load average at the end (the benchmarks' own work included): {os.getloadavg()[1]:.1f}.\n"
    )


def _first(path: Path, key: str) -> str:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except FileNotFoundError:
        return ""
