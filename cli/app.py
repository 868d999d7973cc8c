"""The application behind ``fleetbus``: its manual, its global options, and how a command is added.

This module and ``cli.main`` import nothing slow: ``--help`` and shell completion must answer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from cli.context import Given, Output
from cli.exits import MEANING
from cli.group import Commands

_EXAMPLES = (
    ("fleetbus demo", "see it all work on this machine"),
    ("fleetbus broker --data DIR", "run the embedded broker"),
    ("fleetbus apply -f examples/ --wait", "deploy, wait until it is so"),
    ("fleetbus get deployments -o json", "what runs where, for a script"),
    ("fleetbus describe deployment NAME", "why a device is not there yet"),
    ("fleetbus events --device edge-01", "every transition, as it happens"),
    ("fleetbus rollback NAME -d edge-01 --wait", "back to the last good one"),
    ("fleetbus delete NAME --wait", "take it off every device"),
    ("fleetbus topics --acl mosquitto", "access rules for the broker"),
)


def _manual() -> str:
    """What follows the list of commands in ``--help``. The printer keeps line ends and wraps long lines."""
    lines = ["[bold]Examples[/]", *(f"  {example:<41}{meaning}" for example, meaning in _EXAMPLES)]
    lines += ["", "[bold]Exit codes[/]", *(f"  {code.value}  {meaning}" for code, meaning in MEANING.items())]
    lines += [
        "",
        "[bold]Environment and configuration[/]",
        (
            "Every option above may stand in the environment, as FLEETBUS_ and its name in capitals "
            "([bold]FLEETBUS_BROKER[/], FLEETBUS_CA_FILE, FLEETBUS_OUTPUT …), or in a TOML file ([bold]--config[/], "
            "FLEETBUS_CONFIG, else ~/.config/fleetbus/config.toml), there for example as"
        ),
        '  broker = "mqtts://broker.plant:8883"',
        "The command line wins over the environment, that over the file. Options may stand anywhere in the line.",
    ]
    return "\n".join(lines)


app = typer.Typer(
    name="fleetbus",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog=_manual(),
)

F = TypeVar("F", bound=Callable[..., None])


def command(name: str, panel: str) -> Callable[[F], F]:
    """Register a command whose manual is its docstring, with the paragraphs' line ends taken out."""

    def register(function: F) -> F:
        app.command(name, rich_help_panel=panel, help=_prose(function))(function)
        return function

    return register


def _prose(function: Callable[..., None]) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (function.__doc__ or "").split("\n\n"))


DEPLOY, LOOK, STEER, RUN = "Deploy", "Look", "Steer", "Run"
_CONNECTION = "Connection"


def main(
    ctx: typer.Context,
    *,
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker", "-b", metavar="URL", rich_help_panel=_CONNECTION,
            help="mqtt://, mqtts://, ws:// or wss://host[:port].",
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=_CONNECTION, help="TOML file with these options.")
    ] = None,
    username: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=_CONNECTION, help="User name at the broker.")
    ] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=_CONNECTION, help="File that holds the password.")
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=_CONNECTION, help="Certificate authority of the broker (PEM)."),
    ] = None,
    cert_file: Annotated[
        str | None, typer.Option(metavar="FILE", rich_help_panel=_CONNECTION, help="Client certificate (PEM).")
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=_CONNECTION, help="Key of the client certificate (PEM)."),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", rich_help_panel=_CONNECTION, help="Topic root (default: fleetbus/v1)."),
    ] = None,
    output: Annotated[
        Output | None,
        typer.Option("--output", "-o", metavar="FORMAT", help="table (the default), json or yaml; for devices and deployments also margo, for topics markdown."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", "-t", metavar="DURATION",
            help="How long to wait, such as 30s or 5m (default: 10s for an answer, 5m with --wait).",
        ),
    ] = None,
    quiet_period: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Silence that ends the reading of what the broker has stored (default: 0.3s); longer on a slow link.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Deploy workloads to edge devices over MQTT, and see what becomes of them.

    A [bold]spec[/] says what should run and on which devices. The orchestrator answers it with a [bold]result[/] and
    publishes one manifest per device; each [bold]device[/] takes it through Created, Prepared, Downloading,
    Configuration to Deployed and reports every step. A [bold]deployment[/] is one spec on one device.
    """
    ctx.obj = Given(
        {
            "broker": broker, "config": config, "username": username, "password-file": password_file,
            "ca-file": ca_file, "cert-file": cert_file, "key-file": key_file, "root": root,
            "output": None if output is None else str(output), "timeout": timeout, "quiet-period": quiet_period,
        }
    )  # fmt: skip


app.callback(help=_prose(main))(main)
