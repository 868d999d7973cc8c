"""``fleetbus plan``: what applying a spec would bring about, device by device; nothing is published."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.commands.apply import worst
from cli.context import Given, Output, Settings
from cli.exits import CliError, Exit
from cli.margo_packages import MargoOptions
from cli.printing import as_text, note, visible
from cli.session import Session
from cli.spec_files import SpecFile, load_documents
from cli.tables import problem_lines
from topics.identifiers import check_device_id

if TYPE_CHECKING:
    from cli.plan_model import Make, Plan
    from cli.retained import State

_EXTRA = "plan needs the orchestrator's packages, which are not installed: pip install 'fleetbus[orchestrator]'"


def plan(
    given: Given,
    paths: Sequence[Path],
    devices: Sequence[str],
    charts: Path | None,
    options: MargoOptions | None = None,
) -> Exit:
    """Print a plan for every spec in ``paths``, each with what the one before it would have reserved.

    Only of ``devices`` something is shown, except for Margo documents that were given these devices to run on:
    who loses them is part of the plan. The exit code is ``FAILED`` if no device (of ``devices``, if there are any)
    can take one of them.
    """
    output, settings = given.output(), given.settings()
    files = load_documents(given, paths, options)
    _check(devices, files)
    state = _read(settings, [file.name for file in files])
    plans = []
    for file in files:
        with _charts(file, charts) as make:
            plans.append(_plan(state, file, make, () if file.targeted else devices))
    _print(output, plans)
    return worst([Exit.OK if item.taken else Exit.FAILED for item in plans])


def _check(devices: Sequence[str], files: Sequence[SpecFile]) -> None:
    """``gateway/device`` is for Margo's documents; what is shown of others is restricted to plain ids."""
    if all(file.targeted for file in files):
        return
    try:
        for device in devices:
            check_device_id(device)
    except ValueError as error:
        raise CliError(Exit.USAGE, f"--device: {error}") from error


def _plan(state: State, file: SpecFile, make: Make, devices: Sequence[str]) -> Plan:
    from cli.planning import make_plan

    return make_plan(
        state, file.spec, file.payload, make, source=file.source, devices=devices, warnings=file.warnings
    )  # fmt: skip


def _read(settings: Settings, names: Sequence[str]) -> State:
    try:
        from cli.retained import read_state, uncollected, wanted_filters
    except ImportError as error:
        raise CliError(Exit.USAGE, _EXTRA, [str(error)]) from error
    with uncollected(), Session(settings, wanted_filters(settings.topics, names), decoded=False) as session:
        state = read_state(settings.topics, ((heard.topic, heard.payload) for heard in session.collect()))
    for line in problem_lines(state.problems):
        note(line)
    return state


@contextmanager
def _charts(file: SpecFile, folder: Path | None) -> Iterator[Make]:
    """Renders with charts that are fetched as the orchestrator would."""
    from cli.plan_rendering import rendering_with
    from orchestrator.charts.store import ChartStore
    from orchestrator.packages.store import PackageStore

    with (
        tempfile.TemporaryDirectory(prefix="fleetbus-charts-") as cache,
        ChartStore(Path(cache), local_root=folder or file.folder) as store,
        PackageStore(Path(cache)) as packages,
    ):
        yield rendering_with(store.fetch, packages.fetch)


def _print(output: Output, plans: Sequence[Plan]) -> None:
    from cli.plan_text import plan_data, plan_lines

    if output is not Output.TABLE:
        print(as_text(output, [plan_data(item) for item in plans]), end="")
        return
    for item in plans:
        for line in plan_lines(item):
            print(visible(line))
