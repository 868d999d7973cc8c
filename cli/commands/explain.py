"""``fleetbus explain``: why a deployment is where it is, and what happens next."""

from __future__ import annotations

from cli.commands.get import read_fleet
from cli.context import Output, Settings
from cli.exits import Exit, not_found
from cli.explaining import explain as explained
from cli.explaining import explanation_data, explanation_lines
from cli.printing import as_text, visible
from topics import channels

_CHANNELS = (
    channels.SPEC, channels.RESULT, channels.AGGREGATE, channels.STATUS, channels.PRESENCE,
    channels.ORCHESTRATOR_PRESENCE,
)  # fmt: skip


def explain(settings: Settings, name: str, device: str | None) -> Exit:
    """Print the explanation of a deployment, on all of its devices or on one."""
    wanted = _CHANNELS if device is None else (*_CHANNELS, channels.CAPABILITIES, channels.ALLOCATABLE)
    fleet = read_fleet(settings, wanted, deployment=name, device=device)
    if name not in fleet.names():
        raise not_found("deployment", name)
    found = explained(fleet, name, device)
    if settings.output is Output.TABLE:
        for line in explanation_lines(found):
            print(visible(line))
    else:
        print(as_text(settings.output, explanation_data(found)), end="")
    never = found.devices[0].standing == "unknown" and device not in fleet.presences if device else False
    return Exit.NOT_FOUND if never else Exit.OK
