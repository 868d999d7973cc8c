"""The orchestrator's core with everything that is retained on its bus, rendered for real: what ``plan`` reads."""

from __future__ import annotations

from typing import Any

from cli.plan_model import Plan
from cli.plan_rendering import rendering_with
from cli.planning import make_plan
from cli.retained import State, read_state
from orchestrator.decide_spec import content_digest
from orchestrator.decision import Render, Rendered
from tests.unit.orchestrator.story import TOPICS, Story
from topics import channels
from topics.codec import encode, seal
from topics.documents.device import Allocatable, Promise
from topics.spec_reader import read_document

MAKE = rendering_with({}.__getitem__)  # the specs of these tests have no charts


class Plant(Story):
    """A story whose devices' own messages are kept too; ``apply`` publishes a spec and renders what it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.bus: dict[str, bytes] = {}

    def message(self, topic: str, payload: bytes, *, live: bool = True) -> Plant:
        address = TOPICS.parse(topic)
        if address.channel.retain:
            self.bus[topic] = payload
        super().message(topic, payload, live=live)
        return self

    def apply(self, payload: bytes) -> Plant:
        """Publish a spec under its own name, and let the orchestrator render it."""
        name = read_document(payload).spec.name
        self.spec(payload, name)
        return self.render(name)

    def render(self, name: str) -> Plant:
        spec = self.fleet.specs[name].spec
        assert spec is not None
        for task in self.effects(Render):
            known = self.fleet.capabilities_of(task.devices)
            made = MAKE(spec, task.generation, content_digest(spec), task.devices, known)
            manifests = {
                device: seal(encode(manifest.model_copy(update={"device": device})))
                for device, manifest in made.manifests.items()
            }
            self.timed(Rendered(task.name, task.generation, manifests, refused=made.refused))
        return self

    def granted(self, device: str, name: str, *, memory: int) -> Plant:
        """The device says that it promised memory to a deployment."""
        promise = Promise(deployment=name, memory=memory)
        left = Allocatable(device=device, epoch=1, cpu=0, memory=0, storage=0, promised=(promise,))
        return self.message(TOPICS.topic(channels.ALLOCATABLE, device=device), encode(left))

    def grant_everything(self) -> Plant:
        """Every device says that it promised what was reserved on it, and keeps it until it is taken off."""
        for device in self.fleet.devices:
            promised = tuple(
                Promise(deployment=item.name, cpu=item.reserved.cpu, memory=item.reserved.memory)
                for item in self.fleet.of_device(device)
                if item.reserved
            )
            left = Allocatable(device=device, epoch=1, cpu=0, memory=0, storage=0, promised=promised)
            self.message(TOPICS.topic(channels.ALLOCATABLE, device=device), encode(left))
        return self

    @property
    def state(self) -> State:
        """What ``plan`` makes of the messages that are retained now."""
        return read_state(TOPICS, [*self.bus.items(), *self.retained.items()])

    def plan(self, payload: bytes, **options: Any) -> Plan:
        return make_plan(self.state, read_document(payload).spec, payload, MAKE, **options)


def fates(plan: Plan) -> dict[str, str]:
    """What becomes of each device."""
    return {item.device: item.change for item in plan.targets}
