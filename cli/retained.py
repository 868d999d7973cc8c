"""The orchestrator's picture of the fleet, put together from what is retained on the broker.

``plan`` asks the orchestrator's own placement, which works on its records. They are rebuilt here from the
messages that stand for them; nothing is stored and nothing is sent. What only the orchestrator's store
knows is taken as follows: what a manifest requires counts as reserved (the device's own promises count beside
it, as always), a generation that was assigned and not published yet is read off the spec's result.

Manifests of one generation differ in the name of the device alone, so each content is decoded once.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from orchestrator.decide_spec import content_digest
from orchestrator.model import Assignment, DeploymentRecord, DeviceRecord, Fleet
from topics import channels
from topics.allocation import NOTHING, Share, larger_of, share_of
from topics.channels import Address, Topics
from topics.codec import decode, decode_sealed, digest_of, sealed_digest
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.device import Allocatable, Capabilities, OrchestratorPresence, Presence
from topics.documents.manifest import Manifest
from topics.documents.spec import DeploymentSpec
from topics.documents.status import DeploymentStatus
from topics.errors import ContractError
from topics.spec_reader import read_document

M = TypeVar("M", bound=BaseModel)


@dataclass(slots=True)
class Content:
    """One content of manifests: decoded from the first device that has it, with what it is promised."""

    manifest: Manifest
    share: Share


@dataclass(frozen=True, slots=True)
class InForce:
    """What the orchestrator holds of a spec: its generation, and the digest of that generation's content ("" if
    nobody can tell)."""

    generation: int
    content: str
    deleted: bool = False
    paused: bool = False


@dataclass(slots=True)
class State:
    """Everything read, and the fleet made of it. ``problems`` maps a topic to why its message cannot be read."""

    fleet: Fleet = field(default_factory=Fleet)
    results: dict[str, SpecResult] = field(default_factory=dict)
    aggregates: dict[str, AggregateStatus] = field(default_factory=dict)
    statuses: dict[tuple[str, str], DeploymentStatus] = field(default_factory=dict)
    manifests: dict[tuple[str, str], Content] = field(default_factory=dict)
    orchestrator: OrchestratorPresence | None = None
    problems: dict[str, str] = field(default_factory=dict)
    _payloads: dict[str, bytes] = field(default_factory=dict)
    _specs: dict[str, DeploymentSpec | None] = field(default_factory=dict)

    def payload(self, name: str) -> bytes | None:
        """The spec of this name as it stands on the broker."""
        return self._payloads.get(name)

    def spec(self, name: str) -> DeploymentSpec | None:
        """The same, read; ``None`` if there is none or nobody can read it. Read when it is first asked for."""
        if name not in self._specs:
            payload = self._payloads.get(name)
            try:
                self._specs[name] = read_document(payload, name=name).spec if payload else None
            except ContractError:
                self._specs[name] = None
        return self._specs[name]

    def in_force(self, name: str) -> InForce | None:
        """The generation of a spec that is in force, or what is left of a deleted one; ``None`` if there is none."""
        result = self.results.get(name)
        if result is None or result.generation == 0:
            return None
        if result.outcome == "deleted":
            return InForce(result.generation, "", deleted=True)
        payload, spec = self._payloads.get(name), None
        if payload and result.outcome == "accepted" and result.spec_digest == digest_of(payload):
            spec = self.spec(name)
        content = content_digest(spec) if spec is not None else self._published_content(name, result.generation)
        status = self.aggregates.get(name)
        return InForce(result.generation, content, paused=status is not None and status.paused)

    def _published_content(self, name: str, generation: int) -> str:
        """The content that manifests of this generation were rendered from, where the spec itself is gone."""
        for device in self.fleet.of_spec(name):
            known = self.manifests.get((name, device))
            if known is not None and known.manifest.generation == generation and known.manifest.action == "apply":
                return known.manifest.spec_digest
        return ""


class _Reader:
    def __init__(self) -> None:
        self.state = State()
        self.presences: dict[str, Presence] = {}
        self.capabilities: dict[str, Capabilities] = {}
        self.allocatables: dict[str, Allocatable] = {}
        self.contents: dict[bytes, Content] = {}

    def read(self, topic: str, address: Address, payload: bytes) -> None:
        state, device, name = self.state, address.device, address.deployment
        match address.channel:
            case channels.PRESENCE:
                self.presences[device] = decode(Presence, payload)
            case channels.CAPABILITIES:
                self.capabilities[device] = decode_sealed(Capabilities, payload)[0]
            case channels.ALLOCATABLE:
                self.allocatables[device] = decode(Allocatable, payload)
            case channels.MANIFEST:
                state.manifests[name, device] = self._content(device, payload)
            case channels.STATUS:
                state.statuses[name, device] = decode(DeploymentStatus, payload)
            case channels.RESULT:
                state.results[name] = decode(SpecResult, payload)
            case channels.AGGREGATE:
                state.aggregates[name] = decode(AggregateStatus, payload)
            case channels.SPEC:
                state._payloads[name] = payload  # noqa: SLF001 - the reader fills the state
            case channels.ORCHESTRATOR_PRESENCE:
                state.orchestrator = decode(OrchestratorPresence, payload)

    def _content(self, device: str, payload: bytes) -> Content:
        """The content of a sealed manifest, the same object for every device that has the same."""
        digest = sealed_digest(payload).encode()
        key = payload.replace(b'"device":"%s"' % device.encode(), b"").replace(digest, b"", 1)
        known = self.contents.get(key)
        if known is None:
            manifest = decode(Manifest, payload)
            share = share_of(manifest.requirements) if manifest.action == "apply" else NOTHING
            known = self.contents[key] = Content(manifest, share)
        return known

    def finish(self) -> State:
        state = self.state
        fleet = state.fleet
        for device in sorted(self.presences.keys() | self.capabilities.keys() | self.allocatables.keys()):
            fleet.put_device(self._device(device))
        placed = {
            name: {item.device: item.why for item in result.placed}
            for name, result in state.results.items()
            if result.outcome == "accepted"
        }
        for (name, device), content in state.manifests.items():
            fleet.put_deployment(self._deployment(name, device, content, placed.get(name, {})))
        for name, devices in placed.items():
            generation = state.results[name].generation
            for device, why in devices.items():
                known = fleet.deployment(name, device)
                if known is None or (not known.removing and known.assigned < generation):
                    self._assign(known or DeploymentRecord(name, device), generation, why)
        return state

    def _device(self, device: str) -> DeviceRecord:
        presence, left = self.presences.get(device), self.allocatables.get(device)
        promised: tuple[tuple[str, Share], ...] = ()
        if left is not None:
            promised = tuple((item.deployment, Share(item.cpu, item.memory, item.storage)) for item in left.promised)
        return DeviceRecord(
            device,
            online=presence.online if presence is not None else False,
            epoch=presence.epoch if presence is not None else 0,
            capabilities=self.capabilities.get(device),
            promised=promised,
        )

    def _deployment(self, name: str, device: str, content: Content, why: dict[str, str]) -> DeploymentRecord:
        manifest, status = content.manifest, self.state.statuses.get((name, device))
        return DeploymentRecord(
            name,
            device,
            desired_generation=manifest.generation,
            removing=manifest.action == "remove",
            state=status.state if status is not None else None,
            generation=status.generation if status is not None else 0,
            deployed_generation=status.deployed_generation if status is not None else None,
            assignment=Assignment(manifest.generation, why.get(device, ""), content.share, content.share),
        )

    def _assign(self, known: DeploymentRecord, generation: int, why: str) -> None:
        """What was assigned and has no manifest yet (paused, or being rendered) is reserved all the same."""
        spec = self.state.spec(known.name)
        needed = share_of(spec.spec.requirements) if spec is not None else NOTHING
        given = known.assignment
        assignment = Assignment(generation, why, given.share, larger_of((given.reserved, needed)))
        self.state.fleet.put_deployment(known._replace(assignment=assignment))


def read_state(topics: Topics, messages: Iterable[tuple[str, bytes]]) -> State:
    """The fleet as the retained messages (topic, payload) describe it; the newest message of a topic counts.

    A message that nobody can read is left out and stands in ``problems``.
    """
    reader = _Reader()
    newest = dict(messages)
    for topic, payload in newest.items():
        if payload:
            try:
                reader.read(topic, topics.parse(topic), payload)
            except ContractError as error:
                reader.state.problems[topic] = str(error)
    return reader.finish()


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's cyclic collector is off: of a large fleet it walks again and again over a million objects that hold
    no cycles, which takes longer than reading them (10,000 devices: 3.3 s with it, 1.6 s without)."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def wanted_filters(topics: Topics, names: Sequence[str]) -> list[str]:
    """What has to be subscribed to for plans of these deployments.

    Manifests of every deployment are read because of what they reserve; statuses only of these.
    """
    every = (
        channels.PRESENCE, channels.CAPABILITIES, channels.ALLOCATABLE, channels.MANIFEST, channels.RESULT,
        channels.SPEC, channels.ORCHESTRATOR_PRESENCE,
    )  # fmt: skip
    each = names if len(names) <= _MOST_SINGLE_FILTERS else ("+",)
    own = (channels.STATUS, channels.AGGREGATE)
    return [
        *(topics.filter(channel) for channel in every),
        *(topics.filter(channel, deployment=name) for channel in own for name in each),
    ]


_MOST_SINGLE_FILTERS = 3
"""Beyond so many names one wildcard is asked for: brokers bound the subscriptions of a client."""
