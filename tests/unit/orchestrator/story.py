"""Plays the shell for the core: feeds messages and timed events to it and keeps what comes out."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from orchestrator import aggregation
from orchestrator.answers import accepted
from orchestrator.decision import Context, Decision, Note, Render, Rendered, RenderFailed, Transition
from orchestrator.engine import conclude, replace_lost
from orchestrator.inbound import decide_message, decide_timed
from orchestrator.model import DeploymentRecord, Fleet, SpecRecord
from orchestrator.offers import Offer, Offers
from topics import channels
from topics.channels import Channel, Topics
from topics.codec import encode, seal
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.command import Command, CommandOutcome
from topics.documents.device import Allocatable, Capabilities, Cpu, Presence, Promise, Volume
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.spec import Requirements
from topics.documents.status import DeploymentStatus, Failure, TransitionEvent
from topics.errors import Reason
from topics.lifecycle import State, Trigger

GIB = 2**30
TOPICS = Topics()
NAME = "press"

OFFERS = {name: Offer(frozenset({name}), "kubernetes") for name in ("helm", "kubernetes")}
"""The renderers that are installed in a story."""

E = TypeVar("E")


def spec_document(
    name: str = NAME, *, devices: tuple[str, ...] = (), selector: dict[str, Any] | None = None, count: object = None,
    rate: str = "10", component: dict[str, Any] | None = None, on_mismatch: str | None = None,
    spread_by: str | None = None, memory: str | None = None, **body: Any,
) -> dict[str, Any]:  # fmt: skip
    """A small spec; ``rate`` is the content that makes a generation."""
    agents: dict[str, Any] = {"devices": list(devices)} if devices else {"selector": selector or {}}
    if count is not None:
        agents["count"] = count
    if on_mismatch is not None:
        agents["onMismatch"] = on_mismatch
    if spread_by is not None:
        agents["spreadBy"] = spread_by
    if memory is not None:
        body["requirements"] = {"memory": memory}
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"rate": rate}}]
    return {
        "apiVersion": "fleetbus/v1",
        "kind": "DeploymentSpec",
        "metadata": {"name": name},
        "spec": {
            "agents": agents,
            "components": [component or {"name": "settings", "kubernetes": {"objects": objects}}],
            **body,
        },
    }


def spec(name: str = NAME, **fields: Any) -> bytes:
    """The payload of ``spec_document``."""
    return json.dumps(spec_document(name, **fields)).encode()


def capabilities(device: str, labels: dict[str, str] | None = None, **fields: Any) -> Capabilities:
    """A small amd64 device that takes Kubernetes objects."""
    values: dict[str, Any] = {
        "labels": labels or {},
        "cpus": (Cpu(architecture="amd64", cores=4),),
        "memory": 8 * GIB,
        "storage": (Volume(path="/", capacity=100 * GIB),),
        "appliers": ("kubernetes",),
    } | fields
    return Capabilities(device=device, **values)


def manifest(
    name: str, device: str, generation: int, *, content: str = "", requirements: Requirements | None = None
) -> bytes:
    """What a renderer would make; ``content`` tells manifests of one generation apart."""
    component = ManifestComponent(name="settings", type="kubernetes", objects=({"kind": content},), source="spec")
    document = Manifest(
        action="apply", deployment=name, device=device, generation=generation, components=(component,),
        requirements=requirements or Requirements(),
    )  # fmt: skip
    return seal(encode(document))


def status(
    device: str, state: State, generation: int, sequence: int, *, name: str = NAME, desired: int | None = None,
    journal: str = "j1", epoch: int = 1, deployed: int | None = None, failure: Failure | None = None,
    held: str | None = None, commands: tuple[CommandOutcome, ...] = (),
) -> DeploymentStatus:  # fmt: skip
    return DeploymentStatus(
        deployment=name, device=device, epoch=epoch, journal=journal, sequence=sequence, state=state,
        generation=generation, desired_generation=generation if desired is None else desired,
        deployed_generation=deployed, failure=failure, held=held, commands=commands,
    )  # fmt: skip


def event(
    device: str, sequence: int, source: State | None, target: State, generation: int = 1, *, name: str = NAME,
    journal: str = "j1", epoch: int = 1,
) -> TransitionEvent:  # fmt: skip
    return TransitionEvent(
        deployment=name, device=device, epoch=epoch, journal=journal, sequence=sequence, generation=generation,
        source=source, target=target, trigger=Trigger.CREATE,
        message="it broke" if target is State.FAILED else "",
    )  # fmt: skip


def failure(generation: int, message: str = "it broke", stage: State = State.CONFIGURATION) -> Failure:
    return Failure(stage=stage, code="broken", message=message, retryable=False, generation=generation)


_STAGES = (State.CREATED, State.PREPARED, State.DOWNLOADING, State.CONFIGURATION, State.DEPLOYED)


class Story:
    """The fleet, everything published in order, the retained messages, the last decision, all transitions."""

    def __init__(self, fleet: Fleet | None = None, *, offers: Offers = OFFERS) -> None:
        self.fleet = fleet or Fleet()
        self.fleet.offers = offers
        self.context = Context(TOPICS, "2024-05-01T10:00:00.000Z", 1024 * 1024)
        self.retained: dict[str, bytes] = {}
        self.sent: list[tuple[str, bytes]] = []
        self.last = Decision()
        self.transitions: list[Transition] = []
        self._digests: dict[str, str] = {}

    # -- what happens ----------------------------------------------------------------------------

    def message(self, topic: str, payload: bytes, *, live: bool = True) -> Story:
        return self._take(decide_message(self.fleet, topic, payload, live, self.context))

    def timed(self, happened: object) -> Story:
        return self._take(decide_timed(self.fleet, happened, self.context))

    def spec(self, payload: bytes, name: str = NAME, *, live: bool = True) -> Story:
        return self.message(TOPICS.topic(channels.SPEC, deployment=name), payload, live=live)

    def delete(self, name: str = NAME) -> Story:
        return self.spec(b"", name)

    def device(
        self, device: str, labels: dict[str, str] | None = None, *, online: bool = True, journal: str = "j1",
        **fields: Any,
    ) -> Story:  # fmt: skip
        """A device is born and says what it is."""
        self.presence(device, online=online, journal=journal)
        return self.capabilities(capabilities(device, labels, **fields))

    def capabilities(self, document: Capabilities) -> Story:
        topic = TOPICS.topic(channels.CAPABILITIES, device=document.device)
        return self.message(topic, seal(encode(document)))

    def capabilities_of(self, device: str, labels: dict[str, str] | None = None, **fields: Any) -> Story:
        """A device that is known says that it is something else now."""
        return self.capabilities(capabilities(device, labels, **fields))

    def presence(
        self, device: str, *, online: bool = True, epoch: int = 1, journal: str = "j1", live: bool = True
    ) -> Story:
        document = Presence(device=device, online=online, epoch=epoch, journal=journal)
        return self.message(TOPICS.topic(channels.PRESENCE, device=device), encode(document), live=live)

    def promises(self, device: str, epoch: int = 1, **memory: int) -> Story:
        """The device says what it promised: deployment and bytes of memory."""
        promised = tuple(Promise(deployment=name, memory=size) for name, size in memory.items())
        document = Allocatable(device=device, epoch=epoch, cpu=0, memory=0, storage=0, promised=promised)
        return self.message(TOPICS.topic(channels.ALLOCATABLE, device=device), encode(document))

    def gone(self, device: str, name: str = NAME) -> Story:
        """The device has taken the deployment off, as its tombstone says."""
        tombstone = self.deployment(device, name)
        sequence = tombstone.event_sequence  # no transition is missing
        return self.report(status(device, State.REMOVED, tombstone.desired_generation, sequence, name=name))

    def report(self, document: DeploymentStatus | TransitionEvent) -> Story:
        channel = channels.STATUS if isinstance(document, DeploymentStatus) else channels.EVENT
        topic = TOPICS.topic(channel, device=document.device, deployment=document.deployment)
        return self.message(topic, encode(document))

    def command(self, action: str, id: str = "c1", name: str = NAME, **fields: Any) -> Story:
        payload = json.dumps({"id": id, "action": action, **fields}).encode()
        return self.message(TOPICS.topic(channels.OPERATOR_COMMAND, deployment=name), payload)

    def rendered(self, *, pins: tuple[tuple[str, str], ...] = ()) -> Story:
        """The renders that the last decision asked for are ready."""
        for task in self.effects(Render):
            manifests = {device: manifest(task.name, device, task.generation) for device in task.devices}
            self.timed(Rendered(task.name, task.generation, manifests, pins))
        return self

    def render_failed(self, generation: int, *, retryable: bool, code: str = "no-chart", name: str = NAME) -> Story:
        reason = Reason(path="spec.components[0]", code=code, message="the chart is not there")
        return self.timed(RenderFailed(name, generation, (reason,), retryable))

    def deployed(self, device: str, generation: int, first: int = 1, *, name: str = NAME) -> Story:
        """The device goes through all stages, with its events and its status."""
        source: State | None = None if first == 1 else State.DEPLOYED
        for number, target in enumerate(_STAGES, start=first):
            self.report(event(device, number, source, target, generation, name=name))
            source = target
        return self.report(
            status(device, State.DEPLOYED, generation, first + len(_STAGES) - 1, name=name, deployed=generation)
        )

    # -- what came of it -------------------------------------------------------------------------

    def effects(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.last.effects if isinstance(effect, kind)]

    @property
    def notes(self) -> list[str]:
        return [note.event for note in self.effects(Note)]

    @property
    def renders(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(task.generation, task.devices) for task in self.effects(Render)]

    @property
    def published(self) -> list[str]:
        """The topics of the last decision, below the root."""
        return [publication.topic.removeprefix(TOPICS.root + "/") for publication in self.last.publications]

    def record(self, name: str = NAME) -> SpecRecord:
        return self.fleet.specs[name]

    def deployment(self, device: str, name: str = NAME) -> DeploymentRecord:
        found = self.fleet.deployment(name, device)
        assert found is not None, f"{device} does not hold {name}"
        return found

    def holders(self, name: str = NAME) -> set[str]:
        """The devices that hold the spec and are not being taken off."""
        return {device for device, item in self.fleet.of_spec(name).items() if not item.removing}

    def result(self, name: str = NAME) -> SpecResult:
        return SpecResult.model_validate_json(self.retained_on(channels.RESULT, deployment=name))

    def manifest(self, device: str, name: str = NAME) -> Manifest:
        payload = self.retained_on(channels.MANIFEST, device=device, deployment=name)
        return Manifest.model_validate_json(payload)

    def retained_on(self, channel: Channel, **ids: str) -> bytes:
        return self.retained.get(TOPICS.topic(channel, **ids), b"")

    def aggregate(self, name: str = NAME) -> AggregateStatus:
        return aggregation.aggregate(self.fleet, self.fleet.specs[name])

    def commands_to(self, device: str, name: str = NAME) -> list[Command]:
        """The commands that the last decision sends to a device."""
        topic = TOPICS.topic(channels.COMMAND, device=device, deployment=name)
        return [Command.model_validate_json(item.payload) for item in self.last.publications if item.topic == topic]

    def reasons(self, device: str, name: str = NAME) -> list[str]:
        """What keeps the device from taking the spec, in words, as the aggregate says it."""
        refused = {item.device: item.reasons for item in self.aggregate(name).not_placeable}
        return [reason.message for reason in refused.get(device, ())]

    def why(self, name: str = NAME) -> dict[str, str]:
        """The chosen devices and why, as the result says it."""
        return {item.device: item.why for item in self.result(name).placed}

    def outcomes(self, name: str = NAME) -> dict[str, str]:
        return {answer.id: answer.outcome for answer in self.aggregate(name).commands}

    def _take(self, decision: Decision) -> Story:
        """Apply it with all that follows; ``last`` is everything together, and results follow at once."""
        last = Decision()
        for part in conclude(self.fleet, decision, self.context):
            _add(last, part)
        for part in replace_lost(self.fleet, last.replaced, self.context):
            _add(last, part)
        for name in sorted(last.restated):
            found = self.fleet.specs[name]
            if not found.rejected:
                last.publications.append(accepted(self.fleet, found, self.context))
        self.last = last
        self.transitions += last.transitions
        for publication in last.publications:
            if publication.retain and self._digests.get(publication.topic) == publication.digest != "":
                continue  # what stands there already is not published again
            self._digests[publication.topic] = publication.digest
            self.sent.append((publication.topic, publication.payload))
            if not publication.retain:
                continue
            if publication.payload:
                self.retained[publication.topic] = publication.payload
            else:
                self.retained.pop(publication.topic, None)
        return self


def _add(whole: Decision, part: Decision) -> None:
    whole.records += part.records
    whole.dropped += part.dropped
    whole.transitions += part.transitions
    whole.publications += part.publications
    whole.effects += part.effects
    whole.touched |= part.touched
    whole.replaced += part.replaced
    whole.restated |= part.restated
