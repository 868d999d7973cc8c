"""The main job with real processes: a spec published to the broker becomes a running deployment.

Each broker gets one orchestrator and two devices for the whole module; every test has deployments,
and where it needs them devices, of its own.
"""

from __future__ import annotations

import http.server
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.functional.chart_servers import WebServer, index_of, send
from tests.support.brokers import KINDS
from tests.support.observer import publish, retained
from tests.support.processes import Agent, Site, spec
from tests.unit.charts.chart_files import WEB, archive, write
from topics.lifecycle import STAGES

PRESS, PAINT = "edge-01", "edge-02"


@pytest.fixture(scope="module", params=list(KINDS))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator and two devices, line=press and line=paint, online on a broker of each kind."""
    kind = KINDS[str(request.param)]
    if missing := kind.missing():
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("site")
    charts = write(folder / "charts" / "web", WEB).parent
    with (
        kind(folder / "broker") as broker,
        Site(broker, folder, orchestrator_options=("--charts", str(charts))) as started,
    ):
        started.agent(PRESS, "--label", "line=press")
        started.agent(PAINT, "--label", "line=paint")
        yield started.start(PRESS, PAINT)


def deploy(site: Site, name: str, text: str = "1", generation: int = 1, **body: Any) -> None:
    """Publish a spec for the press and wait until it is Deployed."""
    site.publish(spec(name, text, devices=(PRESS,), **body))
    site.observer.wait_phase(name, "Deployed", generation)
    site.observer.wait_state(PRESS, name, "Deployed", generation)


def block(agent: Agent, deployment: str, other: str) -> Path:
    """Put a foreign file where a component ``other`` of the deployment, not applied yet, has to be written."""
    [own] = list(agent.manifests.glob(f"fleetbus-{deployment}-0050-*.yaml"))
    foreign = own.with_name(name_of_file(deployment, other))
    foreign.write_text("# somebody else's\n")
    return foreign


def name_of_file(deployment: str, component: str) -> str:
    """The name that the second component of a deployment gets, as the agent's own plan says."""
    from edge_agent.appliers.directory.plan import plan_component
    from topics.documents.manifest import Manifest, ManifestComponent

    part = ManifestComponent(
        name=component, type="kubernetes", source="spec",
        objects=({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": component}},),
    )  # fmt: skip
    manifest = Manifest(action="apply", deployment=deployment, device=PRESS, generation=1, components=(part,))
    return plan_component(manifest, component, 100)[0].name


def with_second(document: dict[str, Any]) -> dict[str, Any]:
    """The spec with a second component ``more``."""
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}, "data": {"text": "more"}}]
    document["spec"]["components"].append({"name": "more", "kubernetes": {"objects": objects}})
    return document


# -- deploying ---------------------------------------------------------------------------------------


def test_a_yaml_spec_is_deployed_on_every_selected_device(site: Site) -> None:
    """All five stages in order, sequences 1 to 5, and the objects lie in the manifests folder."""
    site.publish(yaml.safe_dump(spec("from-yaml", "hello", devices=(PRESS, PAINT))))
    aggregate = site.observer.wait_phase("from-yaml", "Deployed", 1)
    assert aggregate["counts"] == {"Deployed": 2}
    for device in (PRESS, PAINT):
        wanted = [(number, str(stage)) for number, stage in enumerate(STAGES, start=1)]
        site.observer.wait("five transitions", partial(has_transitions, site, device, "from-yaml", len(wanted)))
        assert transitions(site, device, "from-yaml") == wanted
        kinds = {item["kind"] for item in site.agents[device].objects() if item["metadata"]["labels"]
                 ["fleetbus.io/deployment"] == "from-yaml"}  # fmt: skip
        assert kinds == {"Namespace", "ConfigMap"}
        assert site.agents[device].data_of("from-yaml") == [{"text": "hello"}]


def test_a_json_spec_is_deployed(site: Site) -> None:
    """The result names the digest of the exact bytes that were published."""
    deploy(site, "from-json", "hello")
    result = site.observer.wait_result("from-json", "acceptance", lambda found: found["outcome"] == "accepted")
    assert (result["generation"], result["reasons"]) == (1, [])
    assert site.agents[PRESS].data_of("from-json") == [{"text": "hello"}]
    assert site.agents[PAINT].data_of("from-json") == []


def test_an_update_is_a_new_generation_and_replaces_the_files(site: Site) -> None:
    """Generation 2; the old content is gone, and a component that is left out takes its file along."""
    site.publish(with_second(spec("updated", "old", devices=(PRESS,))))
    site.observer.wait_phase("updated", "Deployed", 1)
    assert site.agents[PRESS].data_of("updated") == [{"text": "old"}, {"text": "more"}]
    deploy(site, "updated", "new", 2)
    assert site.agents[PRESS].data_of("updated") == [{"text": "new"}]


def test_the_same_content_again_is_no_new_generation(site: Site) -> None:
    """Neither the same bytes nor another spelling of the same content; no file is written again."""
    document = spec("again", devices=(PRESS,))
    deploy(site, "again")
    before = own_stamps(site, "again")
    site.publish(document)
    site.publish(yaml.safe_dump(document))
    from topics.codec import digest_of

    digest = digest_of(yaml.safe_dump(document).encode())
    result = site.observer.wait_result("again", "the answer", lambda found: found["specDigest"] == digest)
    assert result["generation"] == 1
    deploy(site, "after-again")  # whatever the two would have brought about came before this
    assert site.observer.status(PRESS, "again")["sequence"] == 5
    assert own_stamps(site, "again") == before


def test_a_selector_takes_devices_that_match_and_one_that_joins_later(site: Site) -> None:
    """The paint line never gets it; a new device of the press line does, without a new generation."""
    site.publish(spec("by-label", labels={"line": "press"}))
    site.observer.wait_phase("by-label", "Deployed", 1)
    late = site.start_agent("edge-late", "--label", "line=press")
    aggregate = site.observer.wait_aggregate(
        "by-label", "both devices", lambda found: found["phase"] == "Deployed" and found["total"] == 2
    )
    assert [item["device"] for item in aggregate["devices"]] == [PRESS, "edge-late"]
    assert aggregate["generation"] == 1
    assert late.data_of("by-label") == [{"text": "1"}]
    assert site.agents[PAINT].data_of("by-label") == []
    assert late.stop()[0] == 0


def test_a_device_that_no_spec_selects_any_more_loses_the_deployment(site: Site) -> None:
    """An update with another selection: deployed there, removed here, nothing retained left here."""
    deploy(site, "moving")
    site.publish(spec("moving", devices=(PAINT,)))
    site.observer.wait_state(PAINT, "moving", "Deployed", 2)
    site.observer.wait_aggregate("moving", "one device", lambda found: found["total"] == 1)
    site.observer.wait("the files to go", lambda: site.agents[PRESS].data_of("moving") == [])
    wait_gone(site, "moving", PRESS)


def test_a_spec_that_no_device_can_take_is_not_placeable_with_every_reason(site: Site) -> None:
    """Result and aggregate name each device, field path, what is required and what is there."""
    needs = {"cpu": {"cores": "4096"}, "memory": "900Ti", "storage": "900Pi"}
    site.publish(spec("too-big", devices=(PRESS, PAINT), requirements=needs))
    aggregate = site.observer.wait_phase("too-big", "NotPlaceable", 1)
    refused = {item["device"]: [reason["path"] for reason in item["reasons"]] for item in aggregate["notPlaceable"]}
    paths = ["spec.requirements.cpu.cores", "spec.requirements.memory", "spec.requirements.storage"]
    assert {device: sorted(found) for device, found in refused.items()} == {PRESS: paths, PAINT: paths}
    assert all(item["required"] and item["available"] for item in aggregate["notPlaceable"][0]["reasons"])
    result = site.observer.wait_result("too-big", "the answer", lambda found: found["outcome"] == "accepted")
    assert len(result["reasons"]) == 6
    assert not [topic for topic in retained(site.url) if topic.endswith("manifests/too-big")]


def test_a_named_device_that_is_unknown_is_waited_for(site: Site) -> None:
    """Pending with its name; taken when it appears."""
    site.publish(spec("for-unknown", devices=("edge-unknown",)))
    aggregate = site.observer.wait_phase("for-unknown", "Pending", 1)
    assert aggregate["waitingFor"] == ["edge-unknown"]
    agent = site.start_agent("edge-unknown")
    site.observer.wait_phase("for-unknown", "Deployed", 1)
    assert agent.data_of("for-unknown") == [{"text": "1"}]
    assert agent.stop()[0] == 0


def test_an_architecture_that_the_device_does_not_have_is_refused(site: Site) -> None:
    """Capabilities come from the machine: no test device is a mainframe."""
    site.publish(spec("mainframe", devices=(PRESS,), requirements={"cpu": {"architectures": ["s390x"]}}))
    aggregate = site.observer.wait_phase("mainframe", "NotPlaceable")
    [reason] = aggregate["notPlaceable"][0]["reasons"]
    assert (reason["path"], reason["required"]) == ("spec.requirements.cpu.architectures", "s390x")


# -- failing -----------------------------------------------------------------------------------------


def test_a_failing_update_is_rolled_back(site: Site) -> None:
    """A foreign file has the new component's name: the good generation stays, and the status says why."""
    deploy(site, "failing", "good")
    before = own_stamps(site, "failing")
    foreign = block(site.agents[PRESS], "failing", "more")
    site.publish(with_second(spec("failing", "bad", devices=(PRESS,))))
    aggregate = site.observer.wait_phase("failing", "Failed", 2)
    status = site.observer.wait_status(
        PRESS, "failing", "the restored generation",
        lambda found: found["state"] == "Deployed" and found["desiredGeneration"] == 2,
    )  # fmt: skip
    assert (status["generation"], status["deployedGeneration"]) == (1, 1)
    assert (status["failure"]["code"], status["failure"]["generation"]) == ("foreign-file", 2)
    assert str(foreign) in status["failure"]["message"]
    assert aggregate["devices"][0]["failure"]["code"] == "foreign-file"
    assert site.agents[PRESS].data_of("failing") == [{"text": "good"}]
    assert foreign.read_text() == "# somebody else's\n"
    foreign.unlink()
    assert own_stamps(site, "failing") == before


def test_retry_tries_a_rolled_back_generation_again(site: Site) -> None:
    """Once the cause is gone, the command is all it takes; asked for twice, it is done once."""
    deploy(site, "retried", "good")
    foreign = block(site.agents[PRESS], "retried", "more")
    site.publish(with_second(spec("retried", "better", devices=(PRESS,))))
    site.observer.wait_phase("retried", "Failed", 2)
    site.observer.wait_status(PRESS, "retried", "the rollback", lambda found: found["state"] == "Deployed")
    foreign.unlink()
    site.command("retried", "retry", "again-1")
    site.observer.wait_phase("retried", "Deployed", 2)
    assert site.agents[PRESS].data_of("retried") == [{"text": "better"}, {"text": "more"}]
    sequence = site.observer.status(PRESS, "retried")["sequence"]
    site.command("retried", "retry", "again-1")
    site.command("retried", "retry", "again-2")
    answers = wait_answers(site, "retried", 2)
    assert [(item["id"], item["outcome"]) for item in answers] == [("again-1", "done"), ("again-2", "refused")]
    assert site.observer.status(PRESS, "retried")["sequence"] == sequence


# -- commands ----------------------------------------------------------------------------------------


def test_manual_activation_waits_for_the_command(site: Site) -> None:
    """Staged, with what it waits for; the old generation keeps running until then."""
    deploy(site, "manual", "old")
    site.publish(spec("manual", "new", devices=(PRESS,), activation={"mode": "manual"}))
    status = site.observer.wait_state(PRESS, "manual", "Staged", 2)
    assert "activate" in status["held"]
    # The event says Staged, the status a moment later also why: the aggregate follows both.
    aggregate = site.observer.wait_aggregate(
        "manual", "Staged and held", lambda found: found["counts"] == {"Staged": 1} and "held" in found["devices"][0]
    )
    assert (aggregate["phase"], aggregate["devices"][0]["held"]) == ("Progressing", status["held"])
    assert site.agents[PRESS].data_of("manual") == [{"text": "old"}]
    site.command("manual", "activate", "go")
    site.observer.wait_phase("manual", "Deployed", 2)
    assert site.agents[PRESS].data_of("manual") == [{"text": "new"}]
    [answer] = wait_answers(site, "manual", 1)
    assert (answer["id"], answer["outcome"]) == ("go", "done")


def test_a_paused_rollout_publishes_nothing_until_it_is_resumed(site: Site) -> None:
    """The update waits in the orchestrator; after resume it is deployed."""
    deploy(site, "paused", "old")
    site.command("paused", "pause", "stop-it")
    wait_answers(site, "paused", 1)
    site.publish(spec("paused", "new", devices=(PRESS,)))
    aggregate = site.observer.wait_phase("paused", "Paused", 2)
    assert aggregate["devices"][0]["desiredGeneration"] == 1
    assert site.agents[PRESS].data_of("paused") == [{"text": "old"}]
    site.command("paused", "resume", "go-on")
    site.observer.wait_phase("paused", "Deployed", 2)
    assert site.agents[PRESS].data_of("paused") == [{"text": "new"}]


def test_rollback_restores_the_generation_before(site: Site) -> None:
    """The older content is back, and the aggregate does not call that Deployed."""
    deploy(site, "back", "one")
    deploy(site, "back", "two", 2)
    site.command("back", "rollback", "undo")
    status = site.observer.wait_state(PRESS, "back", "Deployed", 1)
    assert (status["desiredGeneration"], status["failure"]["code"]) == (2, "rolled-back")
    assert site.agents[PRESS].data_of("back") == [{"text": "one"}]
    aggregate = site.observer.wait_phase("back", "Failed", 2)
    assert aggregate["devices"][0]["generation"] == 1


def test_cancel_stops_what_is_on_its_way(site: Site) -> None:
    """A staged update is given up; the generation before runs on."""
    deploy(site, "cancelled", "good")
    site.publish(spec("cancelled", "unwanted", devices=(PRESS,), activation={"mode": "manual"}))
    site.observer.wait_state(PRESS, "cancelled", "Staged", 2)
    site.command("cancelled", "cancel", "no")
    status = site.observer.wait_state(PRESS, "cancelled", "Deployed", 1)
    assert status["failure"]["code"] == "cancelled"
    assert site.agents[PRESS].data_of("cancelled") == [{"text": "good"}]


def test_commands_that_cannot_be_obeyed_are_answered_and_change_nothing(site: Site) -> None:
    """Unknown, malformed, for another generation, for a device that does not hold it: refused with the reason."""
    deploy(site, "commanded")
    sequence = site.observer.status(PRESS, "commanded")["sequence"]
    before = own_stamps(site, "commanded")
    topic = "deployments/commanded/commands"
    publish(site.url, topic, json.dumps({"id": "unknown", "action": "explode"}))
    publish(site.url, topic, b"\xff\xfe")
    publish(site.url, topic, b"{not json")
    publish(site.url, topic, json.dumps({"id": "more", "action": "retry", "force": True}))
    site.command("commanded", "retry", "old", generation=7)
    site.command("commanded", "retry", "elsewhere", devices=[PAINT])
    site.command("commanded", "activate", "no-need")
    answers = wait_answers(site, "commanded", 7)
    assert {item["outcome"] for item in answers} == {"refused"}
    text = " / ".join(item["message"] for item in answers)
    for part in ("explode", "UTF-8", "not valid JSON", "force", "generation 7", PAINT, "only a Staged one"):
        assert part in text
    assert site.observer.status(PRESS, "commanded")["sequence"] == sequence
    assert own_stamps(site, "commanded") == before


def test_a_command_for_nobody_changes_nothing(site: Site) -> None:
    """There is no aggregate to answer in, and none appears."""
    site.command("never-published", "retry", "x")
    deploy(site, "after-nobody")
    assert not of_deployment(site, "never-published")


def test_a_command_expires_while_its_device_is_away(site: Site) -> None:
    """It is not sent to a device that comes back too late."""
    agent = site.start_agent("edge-away")
    site.publish(spec("expiring", devices=("edge-away",), activation={"mode": "manual"}))
    site.observer.wait_state("edge-away", "expiring", "Staged", 1)
    agent.stop()
    site.observer.wait_aggregate("expiring", "offline", lambda found: not found["devices"][0]["online"])
    site.command("expiring", "activate", "too-late", expirySeconds=0.5)
    site.command("expiring", "pause", "in-time")
    answers = wait_answers(site, "expiring", 2, lambda item: item["outcome"] != "sent")
    assert [(item["id"], item["outcome"]) for item in answers] == [("too-late", "expired"), ("in-time", "done")]
    site.start_agent("edge-away")
    site.publish(spec("after-expiry", devices=("edge-away",)))
    site.observer.wait_state("edge-away", "after-expiry", "Deployed", 1)
    assert site.observer.status("edge-away", "expiring")["state"] == "Staged"
    assert agent.stop()[0] == 0


# -- removing ----------------------------------------------------------------------------------------


def test_a_deleted_deployment_leaves_nothing_behind(site: Site) -> None:
    """No file on any device, and no retained topic of it, as a fresh subscriber sees."""
    site.publish(spec("deleted", devices=(PRESS, PAINT)))
    site.observer.wait_phase("deleted", "Deployed", 1)
    assert {topic.split("/")[0] for topic in of_deployment(site, "deleted")} == {"specs", "deployments", "devices"}
    site.delete("deleted")
    wait_gone(site, "deleted")
    for device in (PRESS, PAINT):
        assert site.agents[device].data_of("deleted") == []
        assert not list(site.agents[device].manifests.glob("*deleted*"))
        targets = [target for _, target in transitions(site, device, "deleted")]
        assert targets[-2:] == ["Removing", "Removed"]


def test_a_deleted_deployment_can_be_published_again(site: Site) -> None:
    """Generations and sequences go on; the device runs the new one."""
    deploy(site, "revived", "first")
    site.delete("revived")
    wait_gone(site, "revived")
    site.publish(spec("revived", "second", devices=(PRESS,)))
    site.observer.wait_phase("revived", "Deployed", 3)
    assert site.agents[PRESS].data_of("revived") == [{"text": "second"}]


def test_a_removal_is_completed_when_an_offline_device_returns(site: Site) -> None:
    """Until then the aggregate says so; then nothing is left."""
    agent = site.start_agent("edge-gone")
    site.publish(spec("deleted-late", devices=("edge-gone", PRESS)))
    site.observer.wait_phase("deleted-late", "Deployed", 1)
    agent.kill()
    site.observer.wait_aggregate(
        "deleted-late", "offline", lambda found: any(not item["online"] for item in found["devices"])
    )
    site.delete("deleted-late")
    aggregate = site.observer.wait_aggregate(
        "deleted-late", "the rest", lambda found: found["phase"] == "Removing" and found["total"] == 1
    )
    assert (aggregate["devices"][0]["device"], aggregate["devices"][0]["online"]) == ("edge-gone", False)
    site.start_agent("edge-gone")
    wait_gone(site, "deleted-late")
    assert agent.data_of("deleted-late") == []
    assert agent.stop()[0] == 0


# -- charts ------------------------------------------------------------------------------------------


def test_a_local_chart_is_rendered_and_deployed(site: Site) -> None:
    """Values of the spec, release name and namespace as documented; pinned by digest in the manifest's source."""
    component = {"name": "web", "helm": {"chart": "./web", "values": {"replicas": 3}}}
    site.publish(spec("from-chart", devices=(PRESS,), components=[component]))
    site.observer.wait_phase("from-chart", "Deployed", 1)
    objects = {item["kind"]: item for item in site.agents[PRESS].objects()
               if item["metadata"]["labels"].get("fleetbus.io/deployment") == "from-chart"}  # fmt: skip
    assert set(objects) == {"Namespace", "Deployment", "Service"}
    assert objects["Deployment"]["spec"]["replicas"] == 3
    assert objects["Deployment"]["metadata"]["namespace"] == "from-chart"
    manifest = json.loads(retained(site.url)[f"devices/{PRESS}/manifests/from-chart"])
    assert "sha256:" in manifest["components"][0]["source"]


def test_a_chart_that_cannot_be_fetched_is_tried_again(site: Site) -> None:
    """The reference and the reason stand in the aggregate; once the repository answers, it is deployed."""

    def unavailable(handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, 503, b"")

    with WebServer() as server:
        server.files["/index.yaml"] = unavailable
        chart = {"chart": "web", "repository": server.url, "version": "1.2.3"}
        site.publish(spec("late-chart", devices=(PRESS,), components=[{"name": "web", "helm": chart}]))
        aggregate = site.observer.wait_phase("late-chart", "Pending", 1)
        assert server.url in aggregate["message"]
        assert "tried again" in aggregate["message"]
        result = site.observer.wait_result("late-chart", "the reason", lambda found: bool(found["reasons"]))
        assert result["reasons"][0]["path"].startswith("spec.components[0].helm")
        data = archive(WEB)
        server.files["/web-1.2.3.tgz"] = data
        server.files["/index.yaml"] = index_of({"web": {"1.2.3": data}})
        site.observer.wait_phase("late-chart", "Deployed", 1)
        result = site.observer.wait_result("late-chart", "the result", lambda found: not found["reasons"])
        assert result["outcome"] == "accepted"


# -- devices come and go -----------------------------------------------------------------------------


def test_an_offline_device_does_not_block_the_others(site: Site) -> None:
    """It is waiting, with when it was last seen; when it returns it gets the newest generation."""
    agent = site.start_agent("edge-off")
    site.publish(spec("half", "old", devices=(PRESS, "edge-off")))
    site.observer.wait_phase("half", "Deployed", 1)
    agent.kill()
    site.observer.wait_aggregate("half", "the will", lambda found: any(not item["online"] for item in found["devices"]))
    site.publish(spec("half", "new", devices=(PRESS, "edge-off")))
    aggregate = site.observer.wait_aggregate(
        "half", "one of two", lambda found: found["counts"] == {"Deployed": 1, "Waiting": 1}
    )
    assert aggregate["phase"] == "Progressing"
    [away] = [item for item in aggregate["devices"] if item["device"] == "edge-off"]
    assert not away["online"]
    assert away["lastSeen"]
    assert (away["generation"], away["desiredGeneration"]) == (1, 2)
    site.start_agent("edge-off")
    site.observer.wait_phase("half", "Deployed", 2)
    assert agent.data_of("half") == [{"text": "new"}]
    assert agent.stop()[0] == 0


def test_labels_are_capabilities_and_a_new_label_brings_new_work(site: Site) -> None:
    """An agent that restarts with another label is selected by it, with nothing else said."""
    agent = site.start_agent("edge-relabelled", "--label", "line=none")
    site.publish(spec("by-new-label", labels={"shift": "night"}))
    site.observer.wait_phase("by-new-label", "Pending", 1)
    assert agent.stop()[0] == 0
    mark = site.observer.count
    relabelled = Agent(site.url, agent.device, agent.data.parent, ("--label", "shift=night"))
    relabelled.start()
    try:
        site.observer.wait_phase("by-new-label", "Deployed", 1)
        [capabilities] = site.observer.documents("devices/edge-relabelled/capabilities", mark)[-1:]
        assert capabilities["labels"] == {"shift": "night"}
    finally:
        relabelled.kill()


def test_a_killed_agent_goes_offline_by_its_will(site: Site) -> None:
    """Nobody says goodbye, and still the aggregate says offline, with the epoch of the session that died."""
    agent = site.start_agent("edge-dead")
    site.publish(spec("on-dead", devices=("edge-dead",)))
    alive = site.observer.wait_phase("on-dead", "Deployed", 1)["devices"][0]
    assert alive["online"]
    agent.kill()
    dead = site.observer.wait_aggregate("on-dead", "offline", lambda found: not found["devices"][0]["online"])
    assert dead["devices"][0]["epoch"] == alive["epoch"]
    assert dead["devices"][0]["state"] == "Deployed"  # what was last heard, beside offline and lastSeen
    assert dead["devices"][0]["lastSeen"]


def test_sigterm_ends_an_agent_in_time_and_says_goodbye(site: Site) -> None:
    """Status 0 within 5 s; presence says offline."""
    agent = site.start_agent("edge-polite")
    code, seconds = agent.stop()
    assert code == 0
    assert seconds < 5
    site.observer.wait(
        "the farewell", lambda: (site.observer.last("devices/edge-polite/presence") or {})["online"] is False
    )


# -- helpers -----------------------------------------------------------------------------------------


def transitions(site: Site, device: str, name: str) -> list[tuple[int, str]]:
    return [(event["sequence"], event["target"]) for event in site.observer.transitions(device, name)]


def has_transitions(site: Site, device: str, name: str, count: int) -> bool:
    return len(transitions(site, device, name)) == count


def own_stamps(site: Site, name: str) -> dict[str, Any]:
    """The stamps of a deployment's files on the press."""
    return {file: stamp for file, stamp in site.agents[PRESS].stamps().items() if file.startswith(f"fleetbus-{name}-0")}


def of_deployment(site: Site, name: str) -> list[str]:
    """The retained topics that a fresh subscriber finds of a deployment."""
    return sorted(topic for topic in retained(site.url) if name in topic.split("/"))


def wait_gone(site: Site, name: str, device: str = "") -> None:
    """A fresh subscriber finds no retained topic of the deployment (of one device)."""

    def left() -> list[str]:
        return [topic for topic in of_deployment(site, name) if device in topic]

    site.observer.wait(f"no retained topic of {name}", lambda: not left(), left)


def wait_answers(site: Site, name: str, count: int, fits: Any = lambda item: item["outcome"] != "sent") -> list[Any]:
    """The outcomes in the aggregate, when so many of them are final."""
    found = site.observer.wait_aggregate(
        name, f"{count} answers", lambda seen: len([item for item in seen["commands"] if fits(item)]) >= count
    )
    return list(found["commands"])
