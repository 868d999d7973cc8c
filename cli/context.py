"""The global options of one call: where the broker is, how to print, how long to wait.

Connection options come from the command line, then the environment, then a TOML file, exactly as in
the other programs (``topics.program.options``); ``output`` and ``timeout`` may stand there too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import CliError, Exit

if TYPE_CHECKING:
    from topics.channels import Topics
    from topics.transport.settings import BrokerSettings

ANSWER_SECONDS = 10.0
"""How long an answer may take by default: the orchestrator needs milliseconds, a slow link seconds."""

WAIT_SECONDS = 300.0
"""How long ``--wait`` waits by default."""

QUIET_SECONDS = 0.3
"""MQTT does not say where retained messages end: this long without one counts as the end."""


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"
    MARGO = "margo"


_SPECIAL = {
    Output.MARKDOWN: "the command 'topics'",
    Output.MARGO: "'get devices', 'get deployments' and 'query'",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the global options and the configuration say."""

    broker: BrokerSettings
    topics: Topics
    output: Output
    timeout: float | None
    quiet: float

    def within(self, default: float) -> float:
        """The seconds of ``--timeout``, or the command's default."""
        return default if self.timeout is None else self.timeout


@dataclass(slots=True)
class Given:
    """The global options as they were given on the command line; ``None`` where they were not."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def settings(self, *, offline: bool = False) -> Settings:
        """The settings of this call. Raises ``CliError`` (usage) for an option that is wrong or missing.

        ``offline`` commands need no broker; one that is wrong is still an error.
        """
        from topics.channels import DEFAULT_ROOT, Topics
        from topics.program.options import BROKER_OPTIONS, Option, OptionError, read_options
        from topics.quantity import parse_duration
        from topics.transport.settings import broker_settings

        url, *others = BROKER_OPTIONS
        options = (
            Option(url.name, url.help, default="mqtt://127.0.0.1" if offline else None, required=not offline),
            *others,
            Option(
                "output",
                "table, json or yaml; margo or markdown where there is such a form",
                Output,
                default=Output.TABLE,
            ),
            Option("timeout", "how long to wait", parse_duration),
            Option("quiet-period", "silence that ends reading", parse_duration, default=QUIET_SECONDS),
        )
        try:
            values = read_options("fleetbus", "", options, self._arguments(), self.environment)
            broker = broker_settings(
                values["broker"],
                **{key: values[key] for key in ("username", "password_file", "ca_file", "cert_file", "key_file")},
            )
            topics = Topics(values["root"] or DEFAULT_ROOT)
        except (OptionError, ValueError) as error:
            raise CliError(Exit.USAGE, str(error)) from error
        return Settings(broker, topics, values["output"], values["timeout"], values["quiet_period"])

    def output(self, also: Output | None = None) -> Output:
        """How to print, for commands that need nothing else. Markdown and Margo's form are only for those that
        say so with ``also``."""
        output = self.settings(offline=True).output
        if output in _SPECIAL and output is not also:
            raise CliError(Exit.USAGE, f"--output {output} is only for {_SPECIAL[output]}; take table, json or yaml")
        return output

    def _arguments(self) -> list[str]:
        given = {name: value for name, value in self.values.items() if value is not None}
        if "config" not in given and not self.environment.get("FLEETBUS_CONFIG"):
            usual = usual_config_file(self.environment)
            if usual.is_file():
                given["config"] = str(usual)
        return [f"--{name}={value}" for name, value in given.items()]


def usual_config_file(environment: Mapping[str, str]) -> Path:
    """The configuration file that is read when none is named (XDG base directory specification)."""
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "fleetbus" / "config.toml"
