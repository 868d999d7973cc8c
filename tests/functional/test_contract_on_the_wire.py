"""What strangers may send and programs must stand: bad specs, bad options, brokers that come late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import KINDS, Broker
from tests.support.observer import ROOT, publish, retained
from tests.support.processes import Program, Site, spec
from topics.channels import TABLE, Topics
from topics.codec import MAX_PAYLOAD_BYTES, canonical_json, digest_of

DEVICE = "edge-01"

ALIAS_BOMB = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
"""11 levels of nine references: 31 billion entries if it were expanded."""


def changed(name: str, **changes: Any) -> bytes:
    return canonical_json(spec(name, devices=(DEVICE,)) | changes)


def oversize(name: str) -> bytes:
    return changed(name, metadata={"name": name, "annotations": {"filler": "x" * MAX_PAYLOAD_BYTES}})


BAD: dict[str, tuple[Any, str, str]] = {
    "malformed-json": (lambda name: b'{"apiVersion": "fleetbus/v1",', "malformed", ""),
    "malformed-yaml": (lambda name: b"apiVersion: [fleetbus/v1\nkind: }", "malformed", ""),
    "a-number": (lambda name: b"42", "malformed", ""),
    "nothing-but-space": (lambda name: b" \n", "malformed", ""),
    "not-utf8": (lambda name: b"apiVersion: fleetbus/v1\nkind: \xff\xfe", "not-utf8", ""),
    "oversize": (oversize, "oversize", ""),
    "deep-json": (lambda name: b"[" * 100_000 + b"]" * 100_000, "too-deep", ""),
    "deep-yaml": (lambda name: b"- " * 50_000 + b"x", "too-deep", ""),
    "deep-in-values": (
        lambda name: json.dumps(spec(name, devices=(DEVICE,))).replace('"text": "1"', '"a":' + "[" * 90 + "]" * 90),
        "too-deep", "",
    ),
    "alias-bomb": (lambda name: ALIAS_BOMB, "too-large", ""),
    "duplicate-key": (lambda name: b'{"kind": "DeploymentSpec", "kind": "DeploymentSpec"}', "duplicate-key", "kind"),
    "wrong-version": (lambda name: changed(name, apiVersion="fleetbus/v9"), "unsupported-version", "apiVersion"),
    "wrong-kind": (lambda name: changed(name, kind="Pod"), "wrong-kind", "kind"),
    "wrong-name": (lambda name: changed("another-name"), "wrong-name", "metadata.name"),
    "unknown-field": (lambda name: changed(name, replicas=3), "unknown-field", "replicas"),
    "no-components": (
        lambda name: canonical_json(spec(name, devices=(DEVICE,), components=[])), "invalid", "spec.components",
    ),
    "bad-quantity": (
        lambda name: canonical_json(spec(name, devices=(DEVICE,), requirements={"memory": "lots"})),
        "invalid", "spec.requirements.memory",
    ),
    "no-renderer": (
        lambda name: canonical_json(
            spec(name, devices=(DEVICE,), components=[{"name": "c", "renderer": "nobodys", "custom": {}}])
        ),
        "no-renderer", "spec.components[0].renderer",
    ),
}  # fmt: skip
"""Name: how the payload is made, and the code and field path of the reason that must be given."""


@pytest.fixture(scope="module", params=list(KINDS))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An orchestrator and one device on a broker of each kind."""
    kind = KINDS[str(request.param)]
    if missing := kind.missing():
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("site")
    with kind(folder / "broker") as broker, Site(broker, folder) as started:
        yield started.start(DEVICE)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_rejected_with_code_and_path_and_the_next_one_is_taken(site: Site, case: str) -> None:
    """The answer names the very bytes; what runs keeps running; a good spec afterwards is deployed."""
    make, code, path = BAD[case]
    name = f"bad-{case}"
    site.publish(spec(name, "good", devices=(DEVICE,)))
    site.observer.wait_phase(name, "Deployed", 1)
    payload = make(name)
    payload = payload.encode() if isinstance(payload, str) else payload
    site.publish_raw(name, payload)
    result = site.observer.wait_result(name, "a rejection", lambda found: found["outcome"] == "rejected")
    assert result["specDigest"] == digest_of(payload)
    assert result["generation"] == 1
    assert any((reason["code"], reason["path"]) == (code, path) for reason in result["reasons"]), result["reasons"]
    assert all(reason["message"] for reason in result["reasons"])
    site.publish(spec(name, "better", devices=(DEVICE,)))
    site.observer.wait_phase(name, "Deployed", 2)
    assert site.agents[DEVICE].data_of(name) == [{"text": "better"}]


def test_every_fault_of_a_spec_is_reported_at_once(site: Site) -> None:
    """Three mistakes, three reasons."""
    document = spec("three-faults", devices=(DEVICE,), requirements={"memory": "lots"})
    document["spec"]["agents"]["count"] = 0
    document["spec"]["typo"] = True
    site.publish(document)
    result = site.observer.wait_result("three-faults", "a rejection", lambda found: found["outcome"] == "rejected")
    assert result["generation"] == 0
    assert {reason["path"] for reason in result["reasons"]} == {
        "spec.requirements.memory", "spec.agents.count", "spec.typo",
    }  # fmt: skip
    site.delete("three-faults")
    site.observer.wait(
        "the answer to go with its spec", lambda: not [topic for topic in retained(site.url) if "three-faults" in topic]
    )


def test_a_spec_under_an_impossible_name_is_answered_beside_it(site: Site) -> None:
    """The name is no DNS label: there is a result all the same, and deleting the spec takes it along."""
    site.publish_raw("Not_A-Name", changed("not-a-name"))
    result = site.observer.wait_result("Not_A-Name", "a rejection", lambda found: found["outcome"] == "rejected")
    assert result["reasons"][0]["code"] == "bad-id"
    site.delete("Not_A-Name")
    site.observer.wait("nothing left", lambda: not [topic for topic in retained(site.url) if "Not_A-Name" in topic])


def test_what_devices_say_wrongly_stops_nobody(site: Site) -> None:
    """Garbage, documents of another device, and versions from the future are refused, and work goes on."""
    other = json.dumps({"device": "edge-99", "online": False, "epoch": 9_000_000})
    for topic, payload in (
        (f"devices/{DEVICE}/status/garbage", b"\x00\xff"),
        (f"devices/{DEVICE}/events/garbage", b"[]"),
        (f"devices/{DEVICE}/presence", other),
        ("devices/edge-77/capabilities", b"{}"),
        ("devices/edge-77/presence", json.dumps({"device": "edge-77", "online": True, "epoch": 1, "schemaVersion": 9})),
        (f"devices/{DEVICE}/unheard/of", b"x"),
        ("devices/" + "x" * 300 + "/presence", b"{}"),
    ):
        publish(site.url, topic, payload)
    site.publish(spec("after-garbage", devices=(DEVICE,)))
    aggregate = site.observer.wait_phase("after-garbage", "Deployed", 1)
    assert aggregate["devices"][0]["online"]


def test_every_message_is_on_a_topic_of_the_table_and_self_describing(site: Site) -> None:
    """All channels that this run must have used were used, every payload is JSON with a schema version."""
    site.publish(spec("all-topics", devices=(DEVICE,), activation={"mode": "manual"}))
    site.observer.wait_state(DEVICE, "all-topics", "Staged", 1)
    site.command("all-topics", "activate", "go")
    site.observer.wait_phase("all-topics", "Deployed", 1)
    topics = Topics(ROOT)
    used = set()
    for topic in site.observer.topics():
        if "all-topics" not in topic and not topic.endswith(("presence", "capabilities", "allocatable")):
            continue
        if topic.startswith("devices/") and f"/{DEVICE}/" not in topic:
            continue
        channel = topics.parse(f"{ROOT}/{topic}").channel
        used.add(channel.name)
        if channel.name not in ("spec", "operator-command"):
            document = site.observer.documents(topic)[0]
            assert document.get("schemaVersion") == 1, topic
    asked_for = {"query", "answer", "margo-status"}  # by a question, and by a Margo document
    assert used == {channel.name for channel in TABLE} - asked_for


def test_programs_that_start_before_the_broker_wait_for_it(broker: Broker, tmp_path: Path) -> None:
    """Both run on without one; once it is there, the spec is deployed."""
    with Site(broker, tmp_path) as site:
        broker.stop()
        site.orchestrator.start()
        agent = site.agent(DEVICE)
        agent.start()
        for program in (site.orchestrator, agent):
            site.observer.wait(f"the first attempt of {program.name}", partial(says_connect, program))
        broker.start()
        site.observer.wait("presence of both", lambda: all(
            (site.observer.last(topic) or {"online": False})["online"]
            for topic in ("orchestrator/presence", f"devices/{DEVICE}/presence")
        ))  # fmt: skip
        site.publish(spec("early", devices=(DEVICE,)))
        site.observer.wait_phase("early", "Deployed", 1)


def says_connect(program: Program) -> bool:
    return "connect" in program.text


def test_sigterm_ends_the_orchestrator_in_time_and_it_goes_on_where_it_was(broker: Broker, tmp_path: Path) -> None:
    """Status 0 within 5 s, offline on the bus, also without a broker; specs meanwhile are taken afterwards."""
    with Site(broker, tmp_path) as site:
        site.start(DEVICE)
        site.publish(spec("kept", "1", devices=(DEVICE,)))
        site.observer.wait_phase("kept", "Deployed", 1)
        code, seconds = site.orchestrator.stop()
        assert code == 0
        assert seconds < 5
        site.observer.wait("the farewell", lambda: not (site.observer.last("orchestrator/presence") or {})["online"])
        site.publish(spec("kept", "2", devices=(DEVICE,)))
        site.start_orchestrator()
        site.observer.wait_phase("kept", "Deployed", 2)
        broker.stop()
        for program in (site.orchestrator, site.agents[DEVICE]):
            code, seconds = program.stop()
            assert code == 0
            assert seconds < 5


def test_a_second_orchestrator_on_the_same_data_is_refused(mosquitto: Broker, tmp_path: Path) -> None:
    """One line that says why, exit status 2, and the first one runs on."""
    with Site(mosquitto, tmp_path) as site:
        site.start()
        second = Program("second", ["-m", "orchestrator", "--broker", site.url, "--data", str(site.orchestrator.data)],
                         tmp_path / "second.log")  # fmt: skip
        second.start(failpoints="never.reached=kill")
        assert second.wait_ended() == 2
        assert "another process works on" in second.text
        assert "Traceback" not in second.text
        assert site.orchestrator.running


BAD_OPTIONS: dict[str, tuple[str, list[str], str]] = {
    "no broker": ("orchestrator", ["--data", "{data}"], "--broker is missing"),
    "no data": ("orchestrator", ["--broker", "mqtt://h"], "--data is missing"),
    "unknown scheme": ("orchestrator", ["--broker", "http://h", "--data", "{data}"], "http://h"),
    "bad port": ("orchestrator", ["--broker", "mqtt://h:99999", "--data", "{data}"], "99999"),
    "bad root": ("orchestrator", ["--broker", "mqtt://h", "--data", "{data}", "--root", "a/#"], "root"),
    "bad number": ("orchestrator", ["--broker", "mqtt://h", "--data", "{data}", "--max-packet", "-1"], "--max-packet"),
    "data is a file": ("orchestrator", ["--broker", "mqtt://h", "--data", "{file}"], "{file}"),
    "no such config": ("orchestrator", ["--config", "/nonexistent.toml"], "/nonexistent.toml"),
    "bad log level": ("orchestrator", ["--broker", "mqtt://h", "--data", "{data}", "--log-level", "loud"], "loud"),
    "agent: bad device": ("edge_agent", ["--broker", "mqtt://h", "--device", "a/b", "--data", "{data}"], "a/b"),
    "agent: bad label": (
        "edge_agent", ["--broker", "mqtt://h", "--device", "a", "--data", "{data}", "--label", "x"], "key=value",
    ),
    "agent: unknown applier": (
        "edge_agent", ["--broker", "mqtt://h", "--device", "a", "--data", "{data}", "--applier", "magic"], "magic",
    ),
    "agent: data is a file": ("edge_agent", ["--broker", "mqtt://h", "--device", "a", "--data", "{file}"], "{file}"),
    "agent: bad log level": (
        "edge_agent",
        ["--broker", "mqtt://h", "--device", "a", "--data", "{data}", "--log-level", "loud"], "loud",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_a_bad_option_is_one_clear_line_and_exit_status_2(tmp_path: Path, case: str) -> None:
    """It names the option or its value; no traceback."""
    module, options, text = BAD_OPTIONS[case]
    file = tmp_path / "a-file"
    file.write_text("")
    places = {"data": str(tmp_path / "data"), "file": str(file)}
    program = Program(case, ["-m", module, *(option.format(**places) for option in options)], tmp_path / "log")
    program.start()
    assert program.wait_ended() == 2, program.text
    lines = program.text.splitlines()
    assert len(lines) == 2, program.text  # what is wrong, and where help is
    assert text.format(**places) in lines[0]
