"""All figures, one after the other: ``make bench``, or ``python -m bench [--write] [--quick]``.

``--write`` puts table and machine into ``docs/performance.md``. A system that does not do its work ends
this with status 1; a missed target is shown as missed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from bench import apply, charts, fleet, ingest, latency, matching, plan, render, rest, start
from bench.figures import Figure, machine, show, table
from tests.support.brokers import KINDS
from tests.support.cluster import ControlPlane

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_BLOCK = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->)", re.DOTALL)


def everything(*, quick: bool) -> Iterator[Figure]:
    """Both brokers where the broker matters; ``quick`` for a look that takes a minute."""
    yield from render.measure()
    yield from charts.measure(200 if quick else 1_000)
    yield from matching.measure()
    yield from plan.measure()
    for broker in KINDS:
        yield from latency.measure(broker, 30 if quick else 200)
    for broker in KINDS:
        yield from start.measure(broker)
    yield from rest.measure("nats", 10.0 if quick else 60.0)
    yield from apply.measure(2 if quick else 5, 10.0 if quick else 60.0)
    for broker in KINDS:
        yield from fleet.measure(broker, 200 if quick else 1_000)
    for broker in KINDS:
        yield from ingest.measure(broker, 10_000 if quick else 50_000, 1 if quick else 3)


def write(figures: list[Figure]) -> None:
    """Put the figures between the markers of the page."""
    text, count = _BLOCK.subn(lambda found: f"{found[1]}{machine()}\n{table(figures)}{found[2]}", PAGE.read_text())
    assert count == 1, f"{PAGE} has no place for the figures between <!-- measured --> and <!-- end -->"
    PAGE.write_text(text)


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("--write", action="store_true", help=f"write the table of {PAGE.name}")
    arguments.add_argument("--quick", action="store_true", help="smaller numbers, for a look")
    options = arguments.parse_args()
    missing = [reason for kind in (*KINDS.values(), ControlPlane) if (reason := kind.missing())]
    if missing:
        raise SystemExit("; ".join(missing))
    figures = show(everything(quick=options.quick))
    if options.write:
        write(figures)


if __name__ == "__main__":
    main()
