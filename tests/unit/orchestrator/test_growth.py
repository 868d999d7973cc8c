"""What a fleet costs grows with its size, and not with its square. Counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from orchestrator.decision import Decision, Rendered
from orchestrator.engine import conclude, replace_lost
from orchestrator.inbound import decide_message, decide_timed
from orchestrator.model import DeploymentRecord
from orchestrator.ports import Unit
from orchestrator.summaries import ROUND_SECONDS, SHARE, Summaries
from tests.support.work import growth
from tests.unit.orchestrator.story import TOPICS, Story, capabilities, manifest, spec, status
from tests.unit.topics.margo.documents import RC_HELM, changed
from topics import channels
from topics.codec import canonical_json, encode, seal
from topics.lifecycle import State

LINEAR = 2.1  # per doubling; what is quadratic comes near 4, and is above this even where it is a small part
ID = "d{:05d}"


class Shell:
    """What the service does with a decision, without bus and store. Summaries wait until they are asked for,
    as under a flood: their share of the time is bounded there."""

    def __init__(self, *payloads: bytes) -> None:
        self.story = Story()
        self.now = 0.0
        self.lost: list[str] = []
        self.summaries = Summaries(self.story.fleet, lambda: self.now)
        for number, payload in enumerate(payloads):
            self.message(channels.SPEC, payload, deployment=f"spec-{number}")

    def message(self, channel: channels.Channel, payload: bytes, **ids: str) -> None:
        topic = TOPICS.topic(channel, **ids)
        self._take(decide_message(self.story.fleet, topic, payload, True, self.story.context))

    def timed(self, happened: object) -> None:
        self._take(decide_timed(self.story.fleet, happened, self.story.context))

    def join(self, number: int, line: str = "press", **fields: Any) -> None:
        """A device says what it is."""
        device = ID.format(number)
        labels = {"line": line, "zone": str(number % 7)}
        document = capabilities(device, labels, **{"gateway": "gw"} | fields)
        self.message(channels.CAPABILITIES, seal(encode(document)), device=device)

    def end(self) -> None:
        """A transaction ends: up to 2,000 messages of a flood are one."""
        lost, self.lost = self.lost, []
        self._keep(replace_lost(self.story.fleet, lost, self.story.context))

    def summarise(self) -> None:
        """Everything that waits to be published, in one long round."""
        self.now += ROUND_SECONDS / SHARE * 2
        self.summaries.add_to(Unit(), self.story.context)

    def _take(self, decision: Decision) -> None:
        self._keep(conclude(self.story.fleet, decision, self.story.context))

    def _keep(self, parts: Iterable[Decision]) -> None:
        for part in parts:
            self.lost += part.replaced
            self.summaries.note(part)
            self.summaries.look(record for record in part.records if isinstance(record, DeploymentRecord))


def _named(**fields: Any) -> bytes:
    return spec("spec-0", **fields)


MARGO = changed(RC_HELM, ("metadata/deviceId", "gw/*"))

SPECS: dict[str, Callable[[int], bytes]] = {
    "all": lambda _: _named(memory="1Gi"),
    "a number that is never reached": lambda size: _named(count=2 * size, spread_by="zone", memory="1Gi"),
    "a number that is reached half way": lambda size: _named(count=size // 2, spread_by="zone"),
    "one": lambda _: _named(count=1),
    "children of a gateway": lambda _: _named(devices=("gw/*",)),
    "one child of a gateway": lambda _: _named(devices=("gw/*",), count=1),
    "a list": lambda size: _named(devices=tuple(map(ID.format, range(size))), count=max(1, size - 1)),
    "too much": lambda _: _named(memory="64Gi"),
    "a margo document that refuses": lambda _: canonical_json(MARGO),
}


def _joined(size: int, *payloads: bytes) -> Shell:
    shell = Shell(*payloads)
    for number in range(size):
        shell.join(number)
    return shell


@pytest.mark.parametrize("what", SPECS)
def test_devices_that_join_one_by_one_cost_the_same_each(what: str) -> None:
    """However many there are already, and whatever the spec asks for."""

    def join(size: int) -> Callable[[], object]:
        shell = Shell(SPECS[what](size))
        return lambda: [shell.join(number) for number in range(size)]

    assert growth(join, 100) < LINEAR


@pytest.mark.parametrize("what", SPECS)
def test_what_is_published_of_all_devices_grows_with_their_number(what: str) -> None:
    """Result, aggregate and Margo's statuses, once."""

    def publish(size: int) -> Callable[[], object]:
        return _joined(size, SPECS[what](size)).summarise

    assert growth(publish, 100) < LINEAR


@pytest.mark.parametrize("policy", ["keep", "remove"])
@pytest.mark.parametrize("count", ["all", "half"])
def test_devices_that_stop_matching_one_by_one_cost_the_same_each(policy: str, count: str) -> None:
    """Whether they keep the spec or lose it, and others are chosen in their place."""

    def leave(size: int) -> Callable[[], object]:
        wanted = "all" if count == "all" else max(1, size // 2)
        shell = _joined(size, _named(selector={"matchLabels": {"line": "press"}}, count=wanted, on_mismatch=policy))

        def relabel() -> None:
            for number in range(size):
                shell.join(number, "oven")
            shell.end()

        return relabel

    assert growth(leave, 60) < LINEAR


def test_room_that_comes_free_on_each_device_costs_the_same_each() -> None:
    """One deployment leaves all devices, and another one waited for its room on each of them."""

    def free(size: int) -> Callable[[], object]:
        shell = _joined(size, spec("spec-0", memory="6Gi"), spec("spec-1", memory="6Gi"))
        devices = [ID.format(number) for number in range(size)]
        shell.timed(Rendered("spec-0", 1, {device: manifest("spec-0", device, 1) for device in devices}))
        shell.message(channels.SPEC, b"", deployment="spec-0")
        assert shell.story.holders("spec-1") == set()

        def gone() -> None:
            for device in devices:
                report = status(device, State.REMOVED, 2, 0, name="spec-0")
                shell.message(channels.STATUS, encode(report), device=device, deployment="spec-0")
            assert len(shell.story.holders("spec-1")) == size

        return gone

    assert growth(free, 60) < LINEAR


def test_many_specs_that_want_one_device_cost_the_same_each() -> None:
    """All but a few are refused, by name and by selector; each one that comes sees what the ones before it took."""

    def want(size: int) -> Callable[[], object]:
        shell = Shell()
        shell.join(0)
        payloads: Iterable[bytes] = [
            spec(f"spec-{number}", memory="1Gi", **({"devices": (ID.format(0),)} if number % 2 else {}))
            for number in range(size)
        ]
        return lambda: [
            shell.message(channels.SPEC, payload, deployment=f"spec-{number}")
            for number, payload in enumerate(payloads)
        ]

    assert growth(want, 60) < LINEAR
