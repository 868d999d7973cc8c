"""Manifests that are each device's own, with the programs as they are: labels, policies, and who goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.functional.cli_support import run
from tests.support.brokers import NatsBroker
from tests.support.processes import Site, spec


def document(text: str, **body: Any) -> dict[str, Any]:
    """A spec for every device, with one ConfigMap."""
    return spec("settings-of-the-line", text, **body)


def test_each_device_gets_its_own_and_one_that_cannot_is_named(nats: NatsBroker, tmp_path: Path) -> None:
    """Two of three have the label; the third is refused with the reason, and gets it once it has the label."""
    with Site(nats, tmp_path) as site:
        site.start_orchestrator()
        site.start_agent("edge-01", "--label", "line=weld")
        site.start_agent("edge-02", "--label", "line=paint")
        site.start_agent("edge-03")
        site.publish(document("${device.id} in ${device.labels.line}"))
        status = site.observer.wait_phase("settings-of-the-line", "Deployed", 1)
        [refused] = status["notPlaceable"]
        assert refused["device"] == "edge-03"
        assert "no label 'line'" in refused["reasons"][0]["message"]
        assert site.agents["edge-01"].data_of("settings-of-the-line") == [{"text": "edge-01 in weld"}]
        assert site.agents["edge-02"].data_of("settings-of-the-line") == [{"text": "edge-02 in paint"}]
        assert site.agents["edge-03"].objects() == []

        site.agents["edge-03"].stop()
        del site.agents["edge-03"]
        site.start_agent("edge-03", "--label", "line=press")
        site.observer.wait_state("edge-03", "settings-of-the-line", "Deployed", 1)
        assert site.agents["edge-03"].data_of("settings-of-the-line") == [{"text": "edge-03 in press"}]


def test_a_device_whose_policy_forbids_it_is_refused_before_anything_is_sent(nats: NatsBroker, tmp_path: Path) -> None:
    """With the rule; the other device takes it."""
    file = tmp_path / "device.json"
    file.write_text(json.dumps({"override": {"policy": {"allowedNamespaces": ["other"]}}}))
    with Site(nats, tmp_path) as site:
        site.start_orchestrator()
        site.start_agent("edge-01")
        site.start_agent("edge-02", "--capabilities", str(file))
        site.publish(document("1"))
        status = site.observer.wait_phase("settings-of-the-line", "Deployed", 1)
        [refused] = status["notPlaceable"]
        assert refused["device"] == "edge-02"
        assert {reason["required"] for reason in refused["reasons"]} == {"allowedNamespaces"}
        assert site.agents["edge-02"].objects() == []


def test_render_and_plan_show_each_devices_own(nats: NatsBroker, tmp_path: Path) -> None:
    """From what the devices say of themselves on the broker, and who would be refused and why."""
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(document("${device.id} in ${device.labels.line}")))
    with Site(nats, tmp_path) as site:
        site.start_agent("edge-01", "--label", "line=weld")
        site.start_agent("edge-02")
        shown = run(site.url, "render", "--file", str(file), "--live")
        assert "edge-01 in weld" in shown.stdout
        assert "[edge-02] spec.components[0].kubernetes.objects[0].data.text" in shown.stderr
        planned = run(site.url, "plan", "--file", str(file))
        assert "edge-01" in planned.stdout
        assert "no label 'line'" in planned.stdout
        offline = run(site.url, "render", "--file", str(file), "--device", "edge-01")
        assert offline.exit_code != 0
        assert "nothing is known of the device" in offline.stderr
