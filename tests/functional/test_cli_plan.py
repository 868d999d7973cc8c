"""``plan``, ``explain`` and ``query`` with a real orchestrator and real agents, on both brokers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.exits import Exit
from tests.functional.cli_support import FleetProcesses, manifest, repeated_until, rows, run, running_fleet
from tests.support.brokers import KINDS


@pytest.fixture(scope="module", params=list(KINDS))
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcesses]:
    """An orchestrator and two agents (press and paint), online, on a broker of each kind."""
    with running_fleet(str(request.param), tmp_path_factory.mktemp("fleet")) as processes:
        yield processes


def workload(name: str, image: str, **body: Any) -> bytes:
    """A spec with one Deployment."""
    document = json.loads(manifest(name))
    labels = {"app": name}
    document["spec"]["components"][0]["kubernetes"]["objects"] = [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}},
        }
    ]  # fmt: skip
    document["spec"] |= body
    return json.dumps(document).encode()


def test_a_plan_says_what_apply_then_does_and_sends_nothing(fleet: FleetProcesses) -> None:
    """New, then unchanged, then changed with the fields, and the pods that restart."""
    first, second = (workload("planned", f"registry.example/planned:{number}") for number in (1, 2))
    planned = run(fleet.url, "plan", "-f", "-", "-o", "json", stdin=first)
    assert planned.exit_code == Exit.OK, planned.output
    [plan] = rows(planned)
    assert {item["device"]: item["change"] for item in plan["targets"]} == {"edge-01": "new", "edge-02": "new"}
    assert run(fleet.url, "get", "spec", "planned").exit_code == Exit.NOT_FOUND
    assert run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=first).exit_code == Exit.OK
    same = run(fleet.url, "plan", "-f", "-", stdin=first)
    assert same.exit_code == Exit.OK
    assert "planned: generation 1 stays; 2 unchanged" in same.stdout
    changed = run(fleet.url, "plan", "-f", "-", "--device", "edge-01", stdin=second)
    assert changed.exit_code == Exit.OK
    assert "planned: generation 1 → 2; 1 changed" in changed.stdout
    assert "~ Deployment planned/planned (restarts)" in changed.stdout
    assert '[main].image: "registry.example/planned:1" → "registry.example/planned:2"' in changed.stdout
    assert "edge-02" not in changed.stdout


def test_a_plan_that_no_device_can_take_ends_with_1_and_every_reason(fleet: FleetProcesses) -> None:
    """All reasons at once."""
    payload = workload("vast", "a:1", requirements={"cpu": {"cores": "9999"}, "memory": "1Ei"})
    result = run(fleet.url, "plan", "-f", "-", stdin=payload)
    assert result.exit_code == Exit.FAILED
    assert "refused: edge-01, edge-02" in result.stdout
    assert "spec.requirements.cpu.cores: needs 9999 cores" in result.stdout
    assert "spec.requirements.memory: needs 1Ei memory" in result.stdout


def test_a_plan_counts_what_was_promised_to_others(fleet: FleetProcesses) -> None:
    """Two specs that want more than half of the same device: the second is told who has it."""
    [device] = rows(run(fleet.url, "get", "devices", "edge-01", "-o", "json"))
    most = str(device["capabilities"]["memory"] * 6 // 10)
    first, second = (
        workload(name, "a:1", agents={"devices": ["edge-01"]}, requirements={"memory": most})
        for name in ("first", "second")
    )
    both = run(fleet.url, "plan", "-f", "-", stdin=first + b"\n---\n" + second)
    assert both.exit_code == Exit.FAILED
    assert "promised to first" in both.stdout
    assert run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=first).exit_code == Exit.OK
    alone = run(fleet.url, "plan", "-f", "-", stdin=second)
    assert alone.exit_code == Exit.FAILED
    assert "promised to first" in alone.stdout
    assert run(fleet.url, "delete", "first", "--wait", "-t", "30s").exit_code == Exit.OK
    repeated_until(
        lambda: run(fleet.url, "plan", "-f", "-", stdin=second),
        lambda result: result.exit_code == Exit.OK,
        "the memory is free again",
    )


def test_a_plan_without_a_renderer_is_the_rejection_that_apply_gets(fleet: FleetProcesses) -> None:
    """The same reason from both; here for a component that no program brings a renderer for."""
    document = json.loads(manifest("unrenderable"))
    document["spec"]["components"] = [{"name": "c", "renderer": "nobodys", "custom": {}}]
    payload = json.dumps(document).encode()
    planned = run(fleet.url, "plan", "-f", "-", stdin=payload)
    applied = run(fleet.url, "apply", "-f", "-", stdin=payload)
    assert planned.exit_code == applied.exit_code == Exit.FAILED
    assert "unrenderable: would be rejected; nothing of it would run" in planned.stdout
    assert planned.stdout.splitlines()[1:] == applied.stdout.splitlines()[1:]
    assert run(fleet.url, "delete", "unrenderable").exit_code == Exit.OK


def test_explain_tells_every_device_its_story(fleet: FleetProcesses) -> None:
    """Why it runs there, why not elsewhere, and what happens next."""
    payload = manifest("explained", selector={"matchLabels": {"line": "press"}})
    assert run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=payload).exit_code == Exit.OK
    text = run(fleet.url, "explain", "explained").stdout
    assert "edge-01:" in text
    assert "It is to run here: it is selected, and all that suit take it." in text
    assert "The device reports Deployed, generation 1" in text
    assert "edge-02" not in text
    other = run(fleet.url, "explain", "explained", "edge-02", "-o", "json")
    assert other.exit_code == Exit.OK
    [story] = json.loads(other.stdout)["devices"]
    assert story["standing"] == "not-selected"
    assert "line" in story["reasons"][0]["message"]
    assert run(fleet.url, "explain", "explained", "edge-99").exit_code == Exit.NOT_FOUND
    assert run(fleet.url, "explain", "nothing").exit_code == Exit.NOT_FOUND


def test_a_device_measures_itself_when_it_is_asked(fleet: FleetProcesses) -> None:
    """Its answer carries what it is now and what is left; in Margo's form too."""
    result = run(fleet.url, "query", "edge-01", "-o", "json", "-t", "20s")
    assert result.exit_code == Exit.OK, result.output
    answer = json.loads(result.stdout)
    assert answer["device"] == answer["capabilities"]["device"] == "edge-01"
    assert answer["allocatable"]["memory"] > 0
    assert "Measured:" in run(fleet.url, "query", "edge-01", "-t", "20s").stdout
    margo = json.loads(run(fleet.url, "query", "edge-01", "-o", "margo", "-t", "20s").stdout)
    assert margo["properties"]["id"] == "edge-01"
    assert run(fleet.url, "query", "edge-99").exit_code == Exit.NOT_FOUND


def test_devices_show_how_old_their_capabilities_are_and_what_they_run(fleet: FleetProcesses) -> None:
    """In the list, in full, and as Margo's documents."""
    listed = run(fleet.url, "get", "devices")
    assert all(heading in listed.stdout for heading in ("MEASURED", "PROMISED TO", "RUNS", "RUNTIMES", "GATEWAY"))
    [row] = rows(run(fleet.url, "get", "devices", "edge-01", "-o", "json"))
    assert row["capabilitiesAgeSeconds"] >= 0
    assert "Runs: " in run(fleet.url, "describe", "device", "edge-01").stdout
    margo = json.loads(run(fleet.url, "get", "devices", "-o", "margo").stdout)
    assert [item["properties"]["id"] for item in margo] == ["edge-01", "edge-02"]
    assert run(fleet.url, "get", "specs", "-o", "margo").exit_code == Exit.USAGE


def test_deployments_are_shown_as_margo_statuses(fleet: FleetProcesses) -> None:
    """One for each device."""
    assert run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("as-margo")).exit_code == Exit.OK
    found = json.loads(run(fleet.url, "get", "deployments", "as-margo", "-o", "margo").stdout)
    assert [(item["deviceId"], item["status"]["state"]) for item in found] == [
        ("edge-01", "installed"), ("edge-02", "installed"),
    ]  # fmt: skip


def test_a_device_that_is_gone_cannot_be_asked_and_its_news_is_old(fleet: FleetProcesses) -> None:
    """The last test of the module: it stops an agent."""
    assert run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("left")).exit_code == Exit.OK
    fleet.stop("edge-02")
    result = repeated_until(
        lambda: run(fleet.url, "query", "edge-02", "-t", "1s"),
        lambda result: "is offline" in result.stderr,
        "edge-02 is known to be offline",
    )
    assert result.exit_code == Exit.TIMED_OUT
    assert "this is the last that was known" in run(fleet.url, "explain", "left", "edge-02").stdout
    plan = run(fleet.url, "plan", "-f", "-", stdin=manifest("left", text="2"))
    assert plan.exit_code == Exit.OK
    assert "offline, and served when they return: edge-02" in plan.stdout
