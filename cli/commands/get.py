"""``fleetbus get``: what is on the broker now, as tables or data."""

from __future__ import annotations

from collections.abc import Sequence

from cli.context import Output, Settings
from cli.exits import CliError, Exit, not_found
from cli.fleet import Fleet
from cli.printing import as_text, emit, grid, note
from cli.session import Session
from cli.tables import (
    DEPLOYMENT_HEADINGS,
    DEVICE_HEADINGS,
    SPEC_HEADINGS,
    deployment_cells,
    deployment_data,
    device_cells,
    device_data,
    problem_lines,
    spec_cells,
    spec_data,
)
from topics import channels
from topics.channels import Channel

SPEC_CHANNELS = (channels.SPEC, channels.RESULT, channels.AGGREGATE)
DEPLOYMENT_CHANNELS = (channels.RESULT, channels.AGGREGATE, channels.STATUS, channels.PRESENCE)
DEVICE_CHANNELS = (
    channels.AGGREGATE, channels.STATUS, channels.PRESENCE, channels.CAPABILITIES, channels.ALLOCATABLE,
)  # fmt: skip


def get_specs(settings: Settings, name: str | None) -> Exit:
    """Every spec with its answer and its phase."""
    fleet = read_fleet(settings, SPEC_CHANNELS, deployment=name)
    names = [item for item in fleet.names() if name in (None, item)]
    _require(names, "spec", name)
    emit(
        settings.output,
        lambda: [spec_data(fleet, item) for item in names],
        lambda: grid(SPEC_HEADINGS, [spec_cells(fleet, item) for item in names]),
    )
    return Exit.OK


def get_deployments(settings: Settings, name: str | None) -> Exit:
    """Every deployment on every device."""
    if settings.output is Output.MARGO:
        return _margo_statuses(settings, name)
    fleet = read_fleet(settings, DEPLOYMENT_CHANNELS, deployment=name)
    rows = fleet.rows(name)
    _require(rows, "deployment", name)
    emit(
        settings.output,
        lambda: [deployment_data(row) for row in rows],
        lambda: grid(DEPLOYMENT_HEADINGS, [deployment_cells(row) for row in rows]),
    )
    return Exit.OK


def get_devices(settings: Settings, name: str | None) -> Exit:
    """Every device with what it is and what it has left."""
    fleet = read_fleet(settings, DEVICE_CHANNELS, device=name)
    rows = [row for row in fleet.devices() if name in (None, row.device)]
    _require(rows, "device", name)
    if settings.output is Output.MARGO:
        from topics.margo import capabilities_manifest

        told = [capabilities_manifest(row.capabilities) for row in rows if row.capabilities is not None]
        print(as_text(Output.JSON, told), end="")
        return Exit.OK
    emit(
        settings.output,
        lambda: [device_data(row) for row in rows],
        lambda: grid(DEVICE_HEADINGS, [device_cells(row) for row in rows]),
    )
    return Exit.OK


def _margo_statuses(settings: Settings, name: str | None) -> Exit:
    """Margo's status of every deployment on every device that has it, or is selected and cannot take it."""
    from cli.margo_view import margo_statuses

    fleet = read_fleet(settings, (*DEPLOYMENT_CHANNELS, channels.SPEC, channels.CAPABILITIES), deployment=name)
    _require([item for item in fleet.names() if name in (None, item)], "deployment", name)
    print(as_text(Output.JSON, margo_statuses(fleet, name)), end="")
    return Exit.OK


def read_fleet(
    settings: Settings, wanted: Sequence[Channel], *, deployment: str | None = None, device: str | None = None
) -> Fleet:
    """The picture from what is retained on these channels; messages nobody can read are remarked on.

    Raises ``CliError``: a name that cannot be one (usage), no broker (unreachable).
    """
    fleet = Fleet()
    try:
        filters = [
            settings.topics.filter(channel, deployment=deployment or "+", device=device or "+") for channel in wanted
        ]
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    with Session(settings, filters) as session:
        for heard in session.collect():
            fleet.take(heard)
    for line in problem_lines(fleet.problems):
        note(line)
    return fleet


def _require(found: Sequence[object], kind: str, name: str | None) -> None:
    if found:
        return
    if name is not None:
        raise not_found(kind, name)
    note(f"no {kind}s on this broker")
