"""The agent's options, from the command line, the environment or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.deliberation import Policy
from edge_agent.settings import PROBE_SECONDS, AgentSettings
from topics.channels import Topics
from topics.documents.device import HEARTBEAT_SECONDS
from topics.identifiers import check_device_id, check_label_key, check_label_value
from topics.program.options import BROKER_OPTIONS, LOG_OPTIONS, Option, OptionError, read_options
from topics.transport.settings import BrokerSettings, broker_settings

PROGRAM = "fleetbus-agent"
_ON_CLUSTERS = frozenset({"kubernetes", "helm-release"})
"""Appliers that take the device's kubeconfig."""
_DESCRIPTION = (
    "Runs on an edge device: takes the manifests that the orchestrator publishes for it through their stages, "
    "keeps them healthy, and reports every transition."
)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 86_400:
        raise ValueError(f"{text!r} is not a number of seconds from 0.1 to 86400")
    return seconds


def _attempts(text: str) -> int:
    attempts = int(text)
    if not 1 <= attempts <= 1000:
        raise ValueError(f"{text!r} is not a number from 1 to 1000")
    return attempts


OPTIONS: tuple[Option, ...] = (
    *BROKER_OPTIONS,
    Option("device", "id of this device", check_device_id, required=True),
    Option("data", "folder for the journal and what is staged", Path, required=True),
    Option("label", "label of this device, for selectors", repeated=True),
    Option("gateway", "id of the device through which this one is reached", check_device_id),
    Option("capabilities", "file (JSON or TOML) that adds to what is measured of the device, or overrides it", Path),
    Option("kubeconfig", "kubeconfig of the device's cluster (default: KUBECONFIG, the pod's account, or k3s)", Path),
    Option(
        "applier",
        "what manifests are applied with; several, each for its own types of components",
        default=("directory",),
        listed=True,
    ),
    Option("manifests", "directory applier: folder that k3s or the kubelet watches (default: DATA/manifests)", Path),
    Option(
        "applier-option",
        "option of an applier, as its documentation names it; with several, APPLIER.KEY=VALUE",
        repeated=True,
    ),
    Option("prune-grace", "directory applier: seconds between emptying and deleting a file"),
    Option("health-every", "seconds between health checks", _seconds, default=10.0),
    Option("measure-every", "seconds between measurements of the device", _seconds, default=PROBE_SECONDS),
    Option("heartbeat", "seconds between presence messages", _seconds, default=HEARTBEAT_SECONDS),
    Option("max-attempts", "tries before a failing update is rolled back", _attempts, default=5),
    *LOG_OPTIONS,
)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the agent was told."""

    settings: AgentSettings
    broker: BrokerSettings
    topics: Topics
    data: Path
    appliers: dict[str, dict[str, str]]
    """The options of each applier by its name, in the order in which they were given."""

    labels: dict[str, str] = field(default_factory=dict)
    gateway: str | None = None
    capabilities: Path | None = None
    kubeconfig: Path | None = None
    log_level: str = "info"
    log_format: str = "text"


def read_config(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Config:
    """The configuration. Raises ``OptionError`` for anything missing or wrong."""
    values = read_options(PROGRAM, _DESCRIPTION, OPTIONS, arguments, environment)
    try:
        broker = broker_settings(
            values["broker"], username=values["username"], password_file=values["password_file"],
            ca_file=values["ca_file"], cert_file=values["cert_file"], key_file=values["key_file"],
        )  # fmt: skip
        topics = Topics(values["root"])
        labels = {check_label_key(key): check_label_value(value) for key, value in values["label"].items()}
    except ValueError as error:
        raise OptionError(str(error)) from error
    if values["gateway"] == values["device"]:
        raise OptionError(f"--gateway: {values['gateway']} is this device itself")
    data = values["data"].absolute()
    return Config(
        settings=AgentSettings(
            device=values["device"],
            heartbeat_seconds=values["heartbeat"],
            probe_seconds=values["measure_every"],
            policy=Policy(max_attempts=values["max_attempts"], health_seconds=values["health_every"]),
        ),
        broker=broker,
        topics=topics,
        data=data,
        appliers=_applier_options(data, values),
        labels=labels,
        gateway=values["gateway"],
        capabilities=values["capabilities"],
        kubeconfig=values["kubeconfig"],
        log_level=values["log_level"],
        log_format=values["log_format"],
    )


def _applier_options(data: Path, values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    names: tuple[str, ...] = values["applier"]
    if len(set(names)) != len(names):
        raise OptionError(f"--applier: {', '.join(names)} names one twice")
    told = _told(names, values["applier_option"])
    return {name: {**_own_options(name, data, values), **told[name]} for name in names}


def _own_options(name: str, data: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """What an applier gets of the agent's other options; one that is not part of Fleetbus gets a folder."""
    if name == "compose":
        return {"projects": str(data / "compose"), "device": values["device"]}
    options = {"staging": str(data / "staging")}
    alone = len(values["applier"]) == 1
    manifests, kubeconfig, grace = values["manifests"], values["kubeconfig"], values["prune_grace"]
    if name == "directory" or (alone and manifests is not None):
        options["manifests"] = str(manifests if manifests is not None else data / "manifests")
    if grace is not None and (alone or name == "directory"):
        options["prune-grace"] = grace
    if kubeconfig is not None and name in _ON_CLUSTERS:
        options["kubeconfig"] = str(kubeconfig)
    return options


def _told(names: tuple[str, ...], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """``--applier-option`` by applier: ``KEY`` is for the only one, ``APPLIER.KEY`` for that one."""
    told: dict[str, dict[str, str]] = {name: {} for name in names}
    for key, value in given.items():
        name, dot, rest = key.partition(".")
        if dot and name in told:
            told[name][rest] = value
        elif len(names) == 1:
            told[names[0]][key] = value
        else:
            raise OptionError(
                f"--applier-option: {key!r} does not say for which applier it is; write APPLIER.{key}=… with one of "
                f"{', '.join(names)}"
            )
    return told
