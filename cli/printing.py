"""How results reach the terminal or the script: one place for tables, JSON, YAML, colours and ages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.context import Output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_COLOURS = {
    "Deployed": "green", "Accepted": "green", "yes": "green", "online": "green",
    "Failed": "bold red", "NotPlaceable": "bold red", "Rejected": "bold red", "Degraded": "red",
    "RollingBack": "yellow", "Waiting": "yellow", "Staged": "yellow", "Paused": "yellow", "Pending": "yellow",
    "no": "red", "offline": "red", "Unanswered": "red", "Removed": "dim", "Removing": "magenta", "-": "dim",
}  # fmt: skip


MOST_NAMED = 20
"""Most devices that are named in one line of text; JSON has all of them."""


def console(*, error: bool = False) -> Console:
    """A console on standard output or error. Without a terminal nothing is cut to its width."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 400
    return Console(stderr=error, width=wide, highlight=False, soft_wrap=False)


def note(text: str) -> None:
    """A remark for the person at the terminal; never part of the result."""
    print(text, file=sys.stderr, flush=True)


def emit(output: Output, data: Callable[[], Any], table: Callable[[], RenderableType]) -> None:
    """Print a result in the wanted form; only that form is built."""
    if output is Output.TABLE:
        from rich.measure import Measurement

        made, printer = table(), console()
        needed = Measurement.get(printer, printer.options.update(max_width=10_000), made).minimum
        printer.width = max(printer.width, needed)  # a narrow terminal wraps lines; a cut name would be no name
        printer.print(made)
    else:
        print(as_text(output, data()), end="", flush=True)


def as_text(output: Output, data: Any) -> str:
    """Plain data as JSON or YAML, ending in a newline."""
    if output is Output.YAML:
        import yaml

        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


_LAST_COLUMN = 24
"""The last column wraps, but not into less than this."""


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]], *, gap: int = 3) -> Table:
    """A table as kubectl prints them: no lines, headings in capitals. The last column may wrap; the others are as
    wide as what stands in them."""
    from rich.cells import cell_len
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for index, heading in enumerate(headings):
        last = index == len(headings) - 1
        wide = max(cell_len(visible(text)) for text in (heading, *(row[index] for row in rows)))
        table.add_column(
            heading, no_wrap=not last, overflow="fold", min_width=min(wide, _LAST_COLUMN) if last else wide
        )  # fmt: skip
    for row in rows:
        table.add_row(*(coloured(cell) for cell in row))
    return table


def coloured(text: str) -> Any:
    """A cell, in the colour of its word if it has one. Never parsed as markup: it may come from anybody."""
    from rich.text import Text

    return Text(visible(text), style=_COLOURS.get(text, ""))


def visible(text: str) -> str:
    """The text without control characters: what a device sends must not steer the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def age(time: str | None, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was: ``5s``, ``3m``, ``2h``, ``4d``; ``-`` for none or an unreadable one."""
    if not time:
        return "-"
    try:
        then = datetime.fromisoformat(time)
    except ValueError:
        return "-"
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return span(((now or datetime.now(UTC)) - then).total_seconds())


def seconds_between(earlier: str, later: str) -> float | None:
    """The seconds from one RFC 3339 time to another of the same clock, not below zero; ``None`` if one is not
    there or unreadable."""
    try:
        first, second = (datetime.fromisoformat(time) for time in (earlier, later))
    except ValueError:
        return None
    if (first.tzinfo is None) != (second.tzinfo is None):
        return None
    return max(0.0, (second - first).total_seconds())


def span(seconds: float | None) -> str:
    """A time span in its largest sensible unit; a negative one (clocks differ) is ``0s``."""
    if seconds is None:
        return "-"
    seconds = max(seconds, 0.0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{int(seconds)}s"


def precise(seconds: float | None) -> str:
    """A short span for live views: ``42 ms``, ``3.1 s``, then as ``span``."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else span(seconds)


def named(devices: Iterable[str]) -> str:
    """The first devices by name, and how many more there are."""
    every = list(devices)
    more = f" and {len(every) - MOST_NAMED:,} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more


def enough(count: int | str) -> str:
    """Why a device that suits is not needed: the others that are enough."""
    return "1 other is enough" if count == 1 else f"{count} others are enough"


def yes_no(value: bool | None) -> str:
    """``yes``, ``no``, or ``-`` where nobody said."""
    return "-" if value is None else "yes" if value else "no"
