"""``fleetbus``: the operator's command, one function per command of the manual.

Each imports what it needs when it runs. What a command does stands in ``cli.commands``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.app import DEPLOY, LOOK, RUN, STEER, app, command
from cli.context import Given, Output, Settings
from cli.exits import CliError, Exit

if TYPE_CHECKING:
    from cli.margo_packages import MargoOptions


class Kind(StrEnum):
    """What ``get`` and ``describe`` know, in both numbers as people type them."""

    SPECS = "specs"
    SPEC = "spec"
    DEPLOYMENTS = "deployments"
    DEPLOYMENT = "deployment"
    DEVICES = "devices"
    DEVICE = "device"


class AclBroker(StrEnum):
    """The brokers that access rules are generated for."""

    MOSQUITTO = "mosquitto"


Files = Annotated[
    list[Path],
    typer.Option("--file", "-f", metavar="FILE|DIR|-", help="A file, a folder, or - for standard input; repeatable."),
]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until it is so on every device.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")]
AnyName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one.")]
Devices = Annotated[
    list[str] | None, typer.Option("--device", "-d", metavar="ID", help="Only this device; repeatable.")
]
Generation = Annotated[
    int | None,
    typer.Option("--generation", "-g", min=1, metavar="N", help="Void unless this is the wanted generation."),
]

SetValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A parameter of an application package; repeatable."),
]
SetFiles = Annotated[
    list[Path] | None,
    typer.Option("--set-file", metavar="FILE", help="A YAML mapping of parameters to values; repeatable."),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", metavar="ID|TYPE", help="The deployment profile, instead of choosing one.")
]
TargetDevices = Annotated[
    list[str] | None,
    typer.Option("--device", "-d", metavar="ID", help="Run the Margo document on this device; repeatable."),
]
ShownDevices = Annotated[
    list[str] | None,
    typer.Option(
        "--device", "-d", metavar="ID",
        help="Only this device; repeatable. A Margo document that names none is for these, as with apply.",
    ),
]  # fmt: skip
SelectorOption = Annotated[
    list[str] | None,
    typer.Option("--selector", "-l", metavar="KEY=VALUE", help="… or on every device with this label; repeatable."),
]
PackageName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="The deployment's name (default: the application's id).")
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", metavar="NS", help="Its workload namespace (default: its name).")
]
ChartFolder = Annotated[
    Path | None,
    typer.Option("--charts", metavar="DIR", help="Where relative chart paths start (default: the folder of the file)."),
]


@command("apply", DEPLOY)
def apply_command(
    ctx: typer.Context,
    file: Files,
    *,
    wait: Wait = False,
    set_values: SetValues = None,
    set_file: SetFiles = None,
    profile: ProfileOption = None,
    device: TargetDevices = None,
    selector: SelectorOption = None,
    name: PackageName = None,
    namespace: NamespaceOption = None,
) -> None:
    """Publish specs and say what the orchestrator answers.

    Every document is checked first; if one is not valid, nothing is sent. A file may hold several
    documents separated by ---. When no orchestrator answers, the spec stays on the broker and is taken
    when one comes (exit code 4). With --wait it ends when every device runs it, and with exit code 1
    when one failed for good or none can take it; devices that are offline are waited for.

    A Margo application package (margo.yaml, its folder, or a .zip, .tar or .tgz of it) is deployed with the
    profile that the devices support, the values of --set, and its own defaults; say where with --device or
    --selector. What is not given now is not remembered, but for the devices and for immutable parameters.
    """
    from cli.commands.apply import apply

    options = _margo(set_values, set_file, profile, device, selector, name, namespace)
    _end(apply(ctx.obj, file, wait=wait, options=options))


@command("delete", DEPLOY)
def delete_command(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The deployments.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE|DIR|-", help="Delete what these files would deploy."),
    ] = None,
    wait: Wait = False,
) -> None:
    """Take deployments off their devices.

    With --wait it ends when every device has removed it and nothing of it is left on the broker.
    """
    from cli.commands.delete import delete
    from cli.spec_files import load_names

    wanted = list(names or []) + (load_names(file) if file else [])
    if not wanted:
        raise CliError(Exit.USAGE, "name the deployments to delete, or give files with -f")
    _end(delete(_online(ctx), list(dict.fromkeys(wanted)), wait=wait))


@command("render", DEPLOY)
def render_command(
    ctx: typer.Context,
    file: Files,
    *,
    device: ShownDevices = None,
    charts: ChartFolder = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the broker which devices would take it.")] = False,
    set_values: SetValues = None,
    set_file: SetFiles = None,
    profile: ProfileOption = None,
    selector: SelectorOption = None,
    name: PackageName = None,
    namespace: NamespaceOption = None,
) -> None:
    """Print the manifests that would be published; nothing is sent, and no broker is needed.

    One manifest for each --device, else for each device that the spec names; where it selects by labels,
    one for the device "any", or with --live for every device that would take it. Of an application package the
    first profile is taken, unless --profile or --live says which.
    """
    from cli.commands.render import render

    options = _margo(set_values, set_file, profile, device, selector, name, namespace, restricts=True)
    _end(render(ctx.obj, file, device or [], charts, live=live, options=options))


@command("plan", DEPLOY)
def plan_command(
    ctx: typer.Context,
    file: Files,
    *,
    device: ShownDevices = None,
    charts: ChartFolder = None,
    set_values: SetValues = None,
    set_file: SetFiles = None,
    profile: ProfileOption = None,
    selector: SelectorOption = None,
    name: PackageName = None,
    namespace: NamespaceOption = None,
) -> None:
    """Say what applying specs would bring about, device by device; nothing is sent.

    Which devices take it and why those, every reason of every device that cannot, what differs from what it has
    now (by component, object and field; what Secrets hold stays hidden), what restarts, who loses it, and how much
    has to be sent. It takes the options of apply, and says what apply would do with them. Exit code 1 if no device,
    or none of --device, can take it.
    """
    from cli.commands.plan import plan

    options = _margo(set_values, set_file, profile, device, selector, name, namespace, restricts=True)
    _end(plan(ctx.obj, file, device or [], charts, options))


@command("validate", DEPLOY)
def validate_command(
    ctx: typer.Context,
    file: Files,
    *,
    set_values: SetValues = None,
    set_file: SetFiles = None,
    profile: ProfileOption = None,
    device: TargetDevices = None,
    selector: SelectorOption = None,
    name: PackageName = None,
    namespace: NamespaceOption = None,
) -> None:
    """Check documents without a broker, and say where each problem stands.

    Deployment specs, Margo deployments and application packages, these with what lies in them and with the options
    that apply would get. Every problem is a line file:line:column: path: message (what to do); what is only
    tolerated is marked as a warning. Exit code 2 if one is not valid. Whether devices can take it is for plan.
    """
    from cli.commands.validate import validate

    options = _margo(set_values, set_file, profile, device, selector, name, namespace)
    _end(validate(ctx.obj, file, options))


@command("get", LOOK)
def get_command(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(metavar="specs|deployments|devices", help="What to list.")],
    name: AnyName = None,
) -> None:
    """List specs, deployments (one line per device) or devices.

    GENERATION is observed/wanted where they differ. LAST SEEN says how old the news is: no news is not
    "running".
    """
    from cli.commands import get

    run = {"spec": get.get_specs, "deployment": get.get_deployments, "device": get.get_devices}[_singular(kind)]
    _end(run(_online(ctx, None if kind in (Kind.SPEC, Kind.SPECS) else Output.MARGO), name))


@command("explain", LOOK)
def explain_command(
    ctx: typer.Context,
    name: Name,
    device: Annotated[
        str | None, typer.Argument(metavar="[DEVICE]", help="Only this device, also one without it.")
    ] = None,
) -> None:
    """Say why a deployment is where it is, and what happens next.

    Where it runs and why there; which devices cannot take it, with every reason; what each device says, and how old
    that is; what it waits for, and what to do about it. Ask about one DEVICE to hear why the spec passes it over.
    """
    from cli.commands.explain import explain

    _end(explain(_online(ctx), name, device))


@command("query", LOOK)
def query_command(
    ctx: typer.Context, device: Annotated[str, typer.Argument(metavar="DEVICE", help="Whom to ask.")]
) -> None:
    """Ask a device to measure itself now, and print what it is and what it has left.

    With --output margo its answer is Margo's DeviceCapabilities. Exit code 4 if it is offline or does not answer
    within --timeout.
    """
    from cli.commands.query import query

    _end(query(_online(ctx, Output.MARGO), device))


@command("describe", LOOK)
def describe_command(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(metavar="spec|deployment|device", help="What it is.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which one.")],
) -> None:
    """Everything known of one spec, deployment or device, every reason in full."""
    from cli.commands import describe

    run = {
        "spec": describe.describe_spec,
        "deployment": describe.describe_deployment,
        "device": describe.describe_device,
    }[_singular(kind)]
    _end(run(_online(ctx), name))


@command("watch", LOOK)
def watch_command(ctx: typer.Context, name: AnyName = None) -> None:
    """A table of all deployments that stays current until Ctrl-C.

    Without a terminal, or with --output json, one line per change.
    """
    from cli.commands.live import watch

    _end(watch(_online(ctx), name))


@command("events", LOOK)
def events_command(
    ctx: typer.Context,
    name: AnyName = None,
    device: Annotated[str | None, typer.Option("--device", "-d", metavar="ID", help="Only this device.")] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many.")] = None,
) -> None:
    """Every transition as it happens, one line each; JSON lines with --output json. Ctrl-C ends it."""
    from cli.commands.live import events

    _end(events(_online(ctx), name, device, count))


@command("topics", LOOK)
def topics_command(
    ctx: typer.Context,
    acl: Annotated[
        AclBroker | None,
        typer.Option(metavar="mosquitto", help="Print access rules for this broker, generated from the table."),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=NAME", help="With --acl: the user of a role, instead of its default; repeatable."),
    ] = None,
) -> None:
    """The topic table: who writes what, who reads it. Needs no broker."""
    from cli.commands.topic_table import show_acl, show_topics

    _end(show_topics(ctx.obj) if acl is None else show_acl(ctx.obj, str(acl), user or []))


def _steering(action: str, text: str) -> None:
    """Add the command that sends ``action``."""

    def steer(
        ctx: typer.Context,
        name: Name,
        device: Devices = None,
        generation: Generation = None,
        wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the answer of every device.")] = False,
    ) -> None:
        from cli.commands.operate import operate

        _end(operate(_online(ctx), action, name, device or [], generation, wait=wait))

    app.command(action, rich_help_panel=STEER, help=text)(steer)


_steering("activate", "Let a generation go on that is Staged and waits for it (activation: manual).")
_steering("retry", "Try a failed deployment again now.")
_steering("rollback", "Go back to the last generation that was Deployed.")
_steering("cancel", "Stop what is under way; what was Deployed keeps running.")
_steering("pause", "Send no new manifests of this deployment until resume.")
_steering("resume", "Go on after pause.")


@command("broker", RUN)
def broker_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder for everything the broker keeps.")],
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="PORT", help="Port for MQTT.")] = 1883,
    ws_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port for MQTT over WebSocket; 0 for none.")
    ] = 9001,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on. There are no users and no TLS.")
    ] = "127.0.0.1",
    sync: Annotated[
        str,
        typer.Option(
            metavar="always|1s|…",
            help="When what was acknowledged is flushed to the disk: 'always' before each acknowledgement, or after "
            "this time at the latest. It is what a power cut can take; a killed broker loses nothing either way.",
        ),
    ] = "1s",
) -> None:
    """Run the embedded broker in the foreground: a NATS server with its MQTT listener.

    It has no users and no TLS and is for one machine; a site runs the broker set up in mosquitto/.
    """
    if not re.fullmatch(r"always|[1-9][0-9]*(ms|s|m)", sync):
        raise CliError(Exit.USAGE, f"--sync is 'always' or a time such as 500ms, 1s or 2m, not {sync!r}")
    from cli.embedded_broker import run_foreground
    from cli.nats_server import BrokerError

    try:
        status = run_foreground(data, port=port, ws_port=ws_port or None, host=host, sync_interval=sync)
    except BrokerError as error:
        raise CliError(Exit.FAILED, str(error)) from error
    raise typer.Exit(status)


@command("demo", RUN)
def demo_command(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="Stay up at the end, to try things, until Ctrl-C.")
    ] = False,
    examples: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The specs to show (default: those that come with Fleetbus).")
    ] = None,
) -> None:
    """Broker, orchestrator and three agents on this machine, deploying the examples before your eyes.

    Everything runs as separate processes in a temporary folder; nothing is left when it ends.
    """
    from cli.demo import demo

    _end(demo(keep=keep, examples=examples))


@command("version", RUN)
def version_command() -> None:
    """Print the version."""
    from topics import __version__

    print(__version__)


def run() -> None:
    """The console script."""
    app()


def _margo(  # noqa: PLR0917 - one for each of the options, in the manual's order
    set_values: list[str] | None,
    set_files: list[Path] | None,
    profile: str | None,
    devices: list[str] | None,
    selector: list[str] | None,
    name: str | None,
    namespace: str | None,
    *,
    restricts: bool = False,
) -> MargoOptions:
    """What was said of Margo's documents. Raises ``CliError``."""
    from cli.margo_packages import margo_options

    return margo_options(
        set_values=set_values or (), set_files=set_files or (), profile=profile, devices=devices or (),
        selector=selector or (), name=name, namespace=namespace, restricts=restricts,
    )  # fmt: skip


def _online(ctx: typer.Context, also: Output | None = None) -> Settings:
    """The settings of a command that needs the broker; ``also`` is a form of output that only some have."""
    given: Given = ctx.obj
    given.output(also)
    return given.settings()


def _end(code: Exit) -> None:
    raise typer.Exit(int(code))


def _singular(kind: Kind) -> str:
    return str(kind).removesuffix("s")


if __name__ == "__main__":
    run()
