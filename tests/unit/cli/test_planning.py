"""A plan says what the orchestrator then does."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.plan_model import Rendering
from cli.plan_text import plan_data, plan_lines
from cli.planning import make_plan
from orchestrator.offers import Offer
from orchestrator.placement import refusals_of
from orchestrator.rendering.port import RenderError
from tests.unit.cli.plant import MAKE, Plant, fates
from tests.unit.orchestrator.story import GIB, TOPICS, spec
from topics import channels
from topics.codec import encode
from topics.errors import Reason
from topics.spec_reader import read_document

PRESS = {"matchLabels": {"line": "press"}}


def plant() -> Plant:
    """Two press devices and one of paint."""
    made = Plant()
    made.device("edge-01", {"line": "press"}).device("edge-02", {"line": "press"}).device("edge-03", {"line": "paint"})
    return made


def test_a_spec_that_nobody_has_is_new_on_every_device_it_selects() -> None:
    """With why they are chosen, and the size of what is sent."""
    plan = plant().plan(spec(selector=PRESS))
    assert fates(plan) == {"edge-01": "new", "edge-02": "new"}
    assert (plan.before, plan.after, plan.identical) == (0, 1, False)
    assert {item.why for item in plan.targets} == {"is selected, and all that suit take it"}
    assert plan.manifest_bytes
    assert plan.taken


def test_the_spec_in_force_changes_nothing() -> None:
    """In the same bytes or in others; nothing is rendered for it."""
    running = plant().apply(spec(selector=PRESS))
    for payload in (spec(selector=PRESS), spec(selector=PRESS).replace(b": ", b":")):
        plan = running.plan(payload)
        assert fates(plan) == {"edge-01": "unchanged", "edge-02": "unchanged"}
        assert (plan.before, plan.after, plan.identical, plan.changes) == (1, 1, True, False)
        assert plan.rendering is None
    assert "byte for byte" in running.plan(spec(selector=PRESS)).remarks[0]


def test_a_change_is_compared_with_what_each_device_has() -> None:
    """Devices with the same manifest share one comparison."""
    running = plant().apply(spec(selector=PRESS))
    running.device("edge-04", {"line": "press"})  # it joins later and gets the same manifest
    running.render("press")
    plan = running.plan(spec(selector=PRESS, rate="20"))
    assert fates(plan) == {"edge-01": "changed", "edge-02": "changed", "edge-04": "changed"}
    [found] = plan.differences
    [part] = found.components
    [item] = part.objects
    assert (part.name, item.shown) == ("settings", "ConfigMap press/settings")
    assert [(change.path, change.old, change.new) for change in item.fields] == [("data.rate", "10", "20")]


def test_a_change_of_the_selector_alone_restarts_nothing_and_takes_devices_off() -> None:
    """The objects stay the same under the new generation."""
    running = plant().apply(spec(selector={}))
    plan = running.plan(spec(selector=PRESS))
    assert fates(plan) == {"edge-01": "same", "edge-02": "same", "edge-03": "removed"}
    assert not plan.differences
    [leaving] = [item for item in plan.targets if item.change == "removed"]
    assert "line" in leaving.why


def test_what_other_deployments_reserved_is_respected() -> None:
    """Also what a device granted itself, and what a paused generation was assigned."""
    running = plant()
    running.apply(spec("first", devices=("edge-01",), requirements={"memory": "6Gi"}))
    running.granted("edge-02", "second", memory=6 * GIB)
    running.apply(spec("third", devices=("edge-03",)))
    running.command("pause", name="third")
    running.spec(spec("third", devices=("edge-03",), requirements={"memory": "6Gi"}), "third")
    plan = running.plan(spec(selector={}, requirements={"memory": "4Gi"}))
    assert not plan.targets
    messages = {device: [reason.message for reason in reasons] for device, reasons in plan.refused.items()}
    assert messages == {
        "edge-01": ["needs 4Gi memory, 2Gi left of 8Gi: 6Gi promised to first"],
        "edge-02": ["needs 4Gi memory, 2Gi left of 8Gi: 6Gi promised to second"],
        "edge-03": ["needs 4Gi memory, 2Gi left of 8Gi: 6Gi promised to third"],
    }
    assert not plan.taken


def test_of_two_specs_in_one_plan_the_second_sees_what_the_first_takes() -> None:
    """As the orchestrator would: one of them gets the last gigabytes."""
    state = plant().state
    plans = []
    for name in ("first", "second"):
        payload = spec(name, devices=("edge-01",), requirements={"memory": "5Gi"})
        plans.append(make_plan(state, read_document(payload).spec, payload, MAKE))
    assert plans[0].taken
    assert not plans[1].taken
    assert "5Gi promised to first" in plans[1].refused["edge-01"][0].message


def test_a_device_that_cannot_take_the_new_generation_keeps_the_old_one() -> None:
    """It is refused with its reasons, and named as keeping what it has."""
    running = plant().apply(spec(selector=PRESS))
    plan = running.plan(spec(selector=PRESS, requirements={"memory": "64Gi"}))
    assert fates(plan) == {"edge-01": "kept", "edge-02": "kept"}
    assert set(plan.refused) == {"edge-01", "edge-02"}
    assert not plan.taken


def test_a_plan_can_be_asked_about_single_devices() -> None:
    """Those that the spec passes over are answered with why; the placement itself is that of the whole fleet."""
    running = plant()
    payload = spec(selector=PRESS, count=1)
    plan = running.plan(payload, devices=("edge-01", "edge-02", "edge-03", "edge-09"))
    assert fates(plan) == {"edge-01": "new"}
    codes = {device: [reason.code for reason in reasons] for device, reasons in plan.not_selected.items()}
    assert codes["edge-02"] == ["surplus"]
    assert codes["edge-09"] == ["unknown-device"]
    assert "line" in plan.not_selected["edge-03"][0].message
    assert running.plan(payload, devices=("edge-02",)).taken is False
    named = running.plan(spec(devices=("edge-01",)), devices=("edge-02",))
    assert "    spec.agents: the spec does not select the device" in plan_lines(named)


def test_what_cannot_be_rendered_is_said_and_nothing_is_sent() -> None:
    """The orchestrator accepts it and sends no manifest: what runs keeps running."""
    reason = Reason(path="spec.components[0].helm", code="chart-not-found", message="there is no such chart")

    def make(*_: object) -> Rendering:
        raise RenderError((reason,))

    payload = spec(selector=PRESS)
    plan = make_plan(plant().state, read_document(payload).spec, payload, make)
    assert plan.problems == (reason,)
    assert not plan.taken
    lines = plan_lines(plan)
    assert "  cannot be rendered: spec.components[0].helm: there is no such chart" in lines
    assert "  no manifest is sent until it can be; what runs keeps running" in lines


def test_a_kind_of_component_without_a_renderer_is_rejected_as_the_orchestrator_does() -> None:
    """Nothing is placed, and no device loses what it has."""
    running = plant().apply(spec(selector=PRESS))
    plan = running.plan(spec(selector={}, rate="20"), offers={"helm": Offer(frozenset({"helm"}), "kubernetes")})
    assert (plan.rejected, plan.taken, plan.changes, plan.targets) == (True, False, False, [])
    assert (plan.before, plan.after) == (1, 1)
    first, second = plan_lines(plan)
    assert first == "press: would be rejected; generation 1 stays in force"
    assert "no renderer takes 'kubernetes' components" in second
    assert plan_data(plan)["rejected"] is True


def test_a_device_that_gets_nothing_downloads_nothing() -> None:
    """Sizes and images are those of the devices that were asked about."""
    plan = plant().plan(spec(selector=PRESS), devices=("edge-03",))
    assert (plan.served, plan.manifest_bytes, plan.new_images, plan.rendering) == (0, None, (), None)


def test_the_size_of_images_is_told_where_the_spec_says_it() -> None:
    """Nobody else knows it."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
           "spec": {"containers": [{"name": "c", "image": "registry.example/c:1"}]}}  # fmt: skip
    component = {"name": "c", "kubernetes": {"objects": [pod]}}
    unknown = plan_lines(plant().plan(spec(selector=PRESS, component=component)))
    assert "  images that were not there before (of unknown size): registry.example/c:1" in unknown
    plan = plant().plan(spec(selector=PRESS, component=component, requirements={"images": "1.5Gi"}))
    told = "  images that were not there before (1.5Gi in all, as the spec says): registry.example/c:1"
    assert told in plan_lines(plan)
    assert plan_data(plan)["imageBytes"] == 3 * GIB // 2


def test_a_headline_counts_in_whole_sentences() -> None:
    """Also where several devices lose it, and where one other is enough."""
    running = plant().apply(spec(selector=PRESS))
    first, *rest = plan_lines(running.plan(spec(selector=PRESS, count=1)))
    assert first == "press: generation 1 → 2; 1 with the same objects, 1 losing it"
    assert "    1 other is enough" in rest
    lost = plan_lines(running.plan(spec(selector={"matchLabels": {"line": "paint"}})))
    assert lost[0] == "press: generation 1 → 2; 1 new, 2 losing it"


def test_a_rejected_spec_on_the_broker_is_not_taken_for_what_runs() -> None:
    """What is in force is known from the manifests, and it is said that the newest message was rejected."""
    running = plant().apply(spec(selector=PRESS))
    running.spec(b"{}")
    same = running.plan(spec(selector=PRESS))
    assert fates(same) == {"edge-01": "unchanged", "edge-02": "unchanged"}
    assert any("was rejected" in remark for remark in same.remarks)
    assert fates(running.plan(spec(selector=PRESS, rate="2"))) == {"edge-01": "changed", "edge-02": "changed"}


def test_a_deleted_spec_that_comes_again_goes_on_counting() -> None:
    """Above its tombstones."""
    running = plant().apply(spec(selector=PRESS))
    running.delete()
    plan = running.plan(spec(selector=PRESS))
    assert (plan.before, plan.after) == (0, 3)
    assert fates(plan) == {"edge-01": "new", "edge-02": "new"}


def test_a_paused_rollout_is_remarked_also_where_everything_is_deployed() -> None:
    """Then the phase is Deployed, and a new generation goes out to nobody all the same."""
    running = plant().apply(spec(selector=PRESS))
    running.deployed("edge-01", 1).deployed("edge-02", 1)
    running.command("pause")
    status = running.aggregate()
    assert (status.phase, status.paused) == ("Deployed", True)
    running.retained[TOPICS.topic(channels.AGGREGATE, deployment="press")] = encode(status)
    plan = running.plan(spec(selector=PRESS, rate="20"))
    assert "its rollout is paused: nothing goes out until 'fleetbus resume press'" in plan.remarks


def test_a_message_nobody_can_read_is_left_out_and_named() -> None:
    """A forged manifest is not compared with."""
    running = plant().apply(spec(selector=PRESS))
    topic = TOPICS.topic(channels.MANIFEST, device="edge-01", deployment="press")
    running.retained[topic] = running.retained[topic].replace(b'"rate":"10"', b'"rate":"66"')
    assert list(running.state.problems) == [topic]


def test_text_and_data_say_the_same() -> None:
    """Devices, reasons, fields."""
    running = plant().apply(spec(selector={}, requirements={"memory": "1Gi"}))
    running.presence("edge-02", online=False)
    plan = running.plan(spec(selector=PRESS, rate="20", requirements={"memory": "2Gi"}))
    text = "\n".join(plan_lines(plan))
    assert text.startswith("press: generation 1 → 2; 2 changed, 1 losing it")
    assert "offline, and served when they return: edge-02" in text
    assert 'data.rate: "10" → "20"' in text
    data = plan_data(plan)
    assert data["generation"] == {"before": 1, "after": 2}
    assert [item["change"] for item in data["targets"]] == ["changed", "changed", "removed"]
    fields = data["differences"][0]["components"][0]["objects"][0]["fields"]
    assert fields == [{"path": "data.rate", "old": "10", "new": "20"}]


_LABELS = st.sampled_from([{}, {"line": "press"}, {"line": "paint"}])
_DEVICES = st.lists(st.tuples(_LABELS, st.sampled_from([2, 4, 8])), min_size=1, max_size=5)
_AGENTS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {"selector": st.sampled_from([{}, PRESS])},
        optional={"count": st.integers(1, 4), "onMismatch": st.just("remove"), "spreadBy": st.just("line")},
    ),
    st.lists(st.sampled_from(["edge-0", "edge-1", "edge-4", "edge-9"]), min_size=1, unique=True).map(
        lambda devices: {"devices": devices}
    ),
)
_SPECS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), _AGENTS, st.sampled_from(["1Gi", "3Gi"]), st.sampled_from(["1", "2"])),
    min_size=1,
    max_size=5,
)


def _payload(name: str, agents: dict[str, Any], memory: str, rate: str) -> bytes:
    document = json.loads(spec(name, selector={}, rate=rate, requirements={"memory": memory}))
    document["spec"]["agents"] = agents
    return json.dumps(document).encode()


@settings(max_examples=150)
@given(_DEVICES, _SPECS)
def test_a_plan_is_what_the_orchestrator_then_does(
    devices: list[tuple[dict[str, str], int]], specs: list[tuple[str, dict[str, Any], str, str]]
) -> None:
    """Whatever fleet and history: who holds the spec, who is refused, who loses it, and the generation."""
    running = Plant()
    for number, (labels, memory) in enumerate(devices):
        running.device(f"edge-{number}", labels, memory=memory * GIB)
    for name, agents, memory_text, rate in specs:
        payload = _payload(name, agents, memory_text, rate)
        plan = running.plan(payload)
        before = running.holders(name)
        running.apply(payload).grant_everything()
        record = running.record(name)
        found = fates(plan)
        assert plan.after == record.generation
        assert {device for device, fate in found.items() if fate != "removed"} == running.holders(name)
        assert {device for device, fate in found.items() if fate == "removed"} == before - running.holders(name)
        assert set(plan.refused) == set(refusals_of(running.fleet, record))
        for device, fate in found.items():
            if fate in ("new", "changed", "same"):
                assert running.deployment(device, name).desired_generation == record.generation
            elif fate == "kept":
                assert running.deployment(device, name).desired_generation < record.generation
