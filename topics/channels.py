"""The topic table: the only place that knows a topic name.

Each row is a ``Channel``. Topics are built with ``Topics.topic``, parsed with ``Topics.parse`` and
subscribed with ``Topics.filter``; the topic documentation and the broker's access rules are
generated from the same rows (``topics.tables``, ``topics.acl``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from topics.errors import ContractError
from topics.identifiers import check_device_id, check_dns_label

DEFAULT_ROOT = "fleetbus/v1"


class Role(StrEnum):
    """Who speaks on the bus."""

    PUBLISHER = "publisher"  # anyone authorised to publish specs
    OPERATOR = "operator"  # people and programs that send commands
    ORCHESTRATOR = "orchestrator"
    AGENT = "agent"
    DASHBOARD = "dashboard"  # reads, never writes


@dataclass(frozen=True, slots=True)
class Channel:
    """One row of the table.

    ``pattern`` is the topic below the root with ``{device}`` and ``{deployment}`` as whole levels,
    ``will`` says that the broker publishes it for a client that vanished.
    """

    name: str
    pattern: str
    writers: tuple[Role, ...]
    readers: tuple[Role, ...]
    retain: bool
    qos: int
    document: str
    carries: str
    will: bool = False

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(self.pattern.split("/"))


_ALL = (Role.OPERATOR, Role.DASHBOARD)
# Specs, manifests and commands may carry secrets (values, Secret objects): no dashboard reads them.

SPEC = Channel(
    "spec", "specs/{deployment}", (Role.PUBLISHER, Role.OPERATOR), (Role.ORCHESTRATOR, Role.OPERATOR), True, 1,
    "DeploymentSpec", "deployment spec, JSON or YAML; an empty payload deletes the deployment",
)  # fmt: skip
RESULT = Channel(
    "result", "specs/{deployment}/result", (Role.ORCHESTRATOR,), (Role.PUBLISHER, *_ALL), True, 1,
    "SpecResult", "accepted or rejected, generation, every reason with its field path",
)  # fmt: skip
AGGREGATE = Channel(
    "aggregate", "deployments/{deployment}/status", (Role.ORCHESTRATOR,), (Role.PUBLISHER, *_ALL), True, 1,
    "AggregateStatus", "aggregate over all devices of the spec",
)  # fmt: skip
OPERATOR_COMMAND = Channel(
    "operator-command", "deployments/{deployment}/commands", (Role.OPERATOR,), (Role.ORCHESTRATOR,), False, 1,
    "OperatorCommand", "pause, resume, activate, retry, rollback, cancel",
)  # fmt: skip
ORCHESTRATOR_PRESENCE = Channel(
    "orchestrator-presence", "orchestrator/presence", (Role.ORCHESTRATOR,), (Role.AGENT, *_ALL), True, 1,
    "OrchestratorPresence", "online or offline, session epoch", will=True,
)  # fmt: skip
PRESENCE = Channel(
    "presence", "devices/{device}/presence", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), True, 1,
    "Presence", "online or offline, session epoch, agent version", will=True,
)  # fmt: skip
CAPABILITIES = Channel(
    "capabilities", "devices/{device}/capabilities", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), True, 1,
    "Capabilities", "what the device is, with its own digest",
)  # fmt: skip
ALLOCATABLE = Channel(
    "allocatable", "devices/{device}/allocatable", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), True, 1,
    "Allocatable", "what the device has left; sent on change, rate-limited",
)  # fmt: skip
MANIFEST = Channel(
    "manifest", "devices/{device}/manifests/{deployment}", (Role.ORCHESTRATOR,), (Role.AGENT, Role.OPERATOR), True, 1,
    "Manifest", "what the device must run; a removal is an explicit tombstone manifest",
)  # fmt: skip
COMMAND = Channel(
    "command", "devices/{device}/commands/{deployment}", (Role.ORCHESTRATOR,), (Role.AGENT, Role.OPERATOR), False, 1,
    "Command", "one-shot command: id, target generation",
)  # fmt: skip
STATUS = Channel(
    "status", "devices/{device}/status/{deployment}", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), True, 1,
    "DeploymentStatus", "latest state, observed generation, state of each component",
)  # fmt: skip
EVENT = Channel(
    "event", "devices/{device}/events/{deployment}", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), False, 1,
    "TransitionEvent", "one message per state transition, with a sequence number",
)  # fmt: skip
PROGRESS = Channel(
    "progress", "devices/{device}/progress/{deployment}", (Role.AGENT,), _ALL, False, 0,
    "Progress", "download bytes and percent, throttled",
)  # fmt: skip

QUERY = Channel(
    "query", "devices/{device}/queries", (Role.OPERATOR, Role.ORCHESTRATOR), (Role.AGENT,), False, 0,
    "Query", "a question to the device, with an id; it measures itself anew and answers",
)  # fmt: skip
ANSWER = Channel(
    "answer", "devices/{device}/answers", (Role.AGENT,), (Role.ORCHESTRATOR, *_ALL), False, 0,
    "Answer", "the answer to a question, with the question's id",
)  # fmt: skip
MARGO_STATUS = Channel(
    "margo-status", "deployments/{deployment}/margo/{device}", (Role.ORCHESTRATOR,), (Role.PUBLISHER, *_ALL), True, 1,
    "DeploymentStatusManifest", "the same as Margo's document, for specs that were Margo documents or packages",
)  # fmt: skip

TABLE: tuple[Channel, ...] = (
    SPEC, RESULT, AGGREGATE, OPERATOR_COMMAND, ORCHESTRATOR_PRESENCE, PRESENCE, CAPABILITIES,
    ALLOCATABLE, MANIFEST, COMMAND, STATUS, EVENT, PROGRESS, QUERY, ANSWER, MARGO_STATUS,
)  # fmt: skip

_CHECKS = {"device": check_device_id, "deployment": check_dns_label}


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed topic: the channel, and the ids found in it (empty where the channel has none)."""

    channel: Channel
    device: str = ""
    deployment: str = ""


class Topics:
    """Builds and parses the topics below one root."""

    def __init__(self, root: str = DEFAULT_ROOT) -> None:
        levels = root.split("/")
        if len(root) > 200 or not all(map(_is_level, levels)):
            raise ValueError(
                f"topic root {root[:200]!r} must be one or more levels without '+', '#', '$' or spaces, "
                "at most 200 characters in all"
            )
        self.root = root
        self._prefix = root + "/"
        self._by_shape: dict[tuple[str, ...], Channel] = {_shape(channel.levels): channel for channel in TABLE}

    def topic(self, channel: Channel, *, device: str = "", deployment: str = "") -> str:
        """The topic of a channel. Raises ``ValueError`` for an id that cannot be a topic level."""
        ids = {"device": device, "deployment": deployment}
        for name, check in _CHECKS.items():
            if f"{{{name}}}" in channel.pattern:
                check(ids[name])
        return self._prefix + channel.pattern.format(**ids)

    def filter(self, channel: Channel, *, device: str = "+", deployment: str = "+") -> str:
        """The subscription filter of a channel; ``+`` for every id that is not given."""
        for name, value in (("device", device), ("deployment", deployment)):
            if value != "+":
                _CHECKS[name](value)
        return self._prefix + channel.pattern.format(device=device, deployment=deployment)

    def parse(self, topic: str) -> Address:
        """The address of a topic. Raises ``ContractError`` if it is none of the table's."""
        if topic.startswith(self._prefix):
            levels = topic[len(self._prefix) :].split("/")
            channel = self._by_shape.get(_shape_of_topic(levels))
            if channel is not None:
                ids = {
                    pattern[1:-1]: level
                    for pattern, level in zip(channel.levels, levels, strict=True)
                    if pattern.startswith("{")
                }
                return _address(channel, ids, topic)
        raise ContractError.because("unknown-topic", f"{topic[:200]!r} is not a topic of the table below {self.root!r}")


def _is_level(level: str) -> bool:
    return bool(level) and level.isprintable() and not any(char in "+#$" or char.isspace() for char in level)


def _address(channel: Channel, ids: Mapping[str, str], topic: str) -> Address:
    try:
        for name, value in ids.items():
            _CHECKS[name](value)
    except ValueError as error:
        raise ContractError.because("bad-id", f"topic {topic[:200]!r}: {error}") from error
    return Address(channel, **ids)


def _shape(levels: tuple[str, ...]) -> tuple[str, ...]:
    """A pattern's fixed levels with ``*`` for ids: no two rows share it."""
    return tuple("*" if level.startswith("{") else level for level in levels)


def _shape_of_topic(levels: list[str]) -> tuple[str, ...]:
    # Ids stand at every odd level of the table ("devices/{device}/status/{deployment}"); the one row
    # without an id is orchestrator/presence.
    if levels[0] == "orchestrator":
        return tuple(levels)
    return tuple("*" if index % 2 else level for index, level in enumerate(levels))
