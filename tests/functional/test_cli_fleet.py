"""The CLI on a whole fleet: real broker, orchestrator and agents, from apply to delete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli.exits import Exit
from tests.functional.cli_support import (
    Background,
    FleetProcesses,
    manifest,
    repeated_until,
    rows,
    run,
    running_fleet,
)
from tests.support.brokers import KINDS


@pytest.fixture(scope="module", params=list(KINDS))
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcesses]:
    """An orchestrator and two agents (press and paint), online, on a broker of each kind."""
    with running_fleet(str(request.param), tmp_path_factory.mktemp("fleet")) as processes:
        yield processes


def states(fleet: FleetProcesses, name: str) -> dict[str, tuple[str, int]]:
    """State and generation by device, as ``get deployments`` shows them."""
    result = run(fleet.url, "get", "deployments", name, "-o", "json")
    return {row["device"]: (row["state"], row["generation"]) for row in rows(result)}


def test_apply_wait_ends_when_every_device_has_it(fleet: FleetProcesses) -> None:
    """Then it is shown as deployed everywhere, and applying it again changes nothing."""
    result = run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("everywhere"))
    assert (result.exit_code, result.stdout) == (Exit.OK, "everywhere: accepted (generation 1)\n"), result.output
    assert states(fleet, "everywhere") == {"edge-01": ("Deployed", 1), "edge-02": ("Deployed", 1)}
    again = run(fleet.url, "apply", "-f", "-", "--wait", stdin=manifest("everywhere"))
    assert (again.exit_code, again.stdout) == (Exit.OK, "everywhere: unchanged (generation 1)\n")


def test_an_update_is_a_new_generation(fleet: FleetProcesses) -> None:
    """``--wait`` waits for that one and not for the old one, which is Deployed already."""
    run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("updated"))
    result = run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("updated", text="2"))
    assert result.exit_code == Exit.OK, result.output
    assert states(fleet, "updated") == {"edge-01": ("Deployed", 2), "edge-02": ("Deployed", 2)}


def test_a_spec_the_orchestrator_rejects_ends_with_1(fleet: FleetProcesses) -> None:
    """It is valid by the contract, and nobody here renders it; the reason has its field path."""
    spec = json.loads(manifest("composed"))
    spec["spec"]["components"] = [{"name": "c", "renderer": "nobodys", "custom": {}}]
    result = run(fleet.url, "apply", "-f", "-", "-o", "json", stdin=json.dumps(spec).encode())
    assert result.exit_code == Exit.FAILED
    [item] = rows(result)
    assert item["outcome"] == "rejected"
    assert item["result"]["reasons"][0]["path"] == "spec.components[0].renderer"
    described = run(fleet.url, "describe", "spec", "composed")
    assert "spec.components[0].renderer: no renderer" in described.stdout


def test_what_no_device_can_take_ends_with_1_and_every_reason(fleet: FleetProcesses) -> None:
    """The spec is accepted; waiting for it would be in vain."""
    spec = json.loads(manifest("too-large"))
    spec["spec"]["requirements"] = {"cpu": {"cores": "9999"}, "memory": "1Ei"}
    payload = json.dumps(spec).encode()
    result = run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=payload)
    assert result.exit_code == Exit.FAILED
    assert "too-large: accepted" in result.stdout
    assert result.stderr.count("needs 1Ei memory") == 2
    described = run(fleet.url, "describe", "deployment", "too-large").stdout
    assert described.count("required 9999, available") == 2
    live = run(fleet.url, "render", "-f", "-", "--live", stdin=payload)
    assert live.exit_code == Exit.FAILED
    assert "no device can take it" in live.stderr


def test_a_file_of_several_documents_is_applied_and_deleted(fleet: FleetProcesses, tmp_path: Path) -> None:
    """``delete -f`` takes the same file; at the end nothing of them is on the broker."""
    file = tmp_path / "both.yaml"
    press = manifest("only-press", selector={"matchLabels": {"line": "press"}})
    file.write_bytes(press + b"\n---\n" + manifest("only-paint", devices=["edge-02"]) + b"\n")
    result = run(fleet.url, "apply", "-f", str(file), "--wait", "-t", "30s")
    assert result.exit_code == Exit.OK, result.output
    assert states(fleet, "only-press") == {"edge-01": ("Deployed", 1)}
    assert states(fleet, "only-paint") == {"edge-02": ("Deployed", 1)}
    live = run(fleet.url, "render", "-f", str(file), "--live")
    assert [item["device"] for item in yaml.safe_load_all(live.stdout)] == ["edge-01", "edge-02"]
    deleted = run(fleet.url, "delete", "-f", str(file), "--wait", "-t", "30s")
    assert (deleted.exit_code, deleted.stdout) == (Exit.OK, "only-press: deleted\nonly-paint: deleted\n"), (
        deleted.output
    )
    for kind in ("spec", "deployment"):
        assert run(fleet.url, "get", kind, "only-press").exit_code == Exit.NOT_FOUND


def test_a_generation_that_is_held_goes_on_by_command(fleet: FleetProcesses) -> None:
    """``activate --wait`` ends when every device has answered."""
    run(fleet.url, "apply", "-f", "-", stdin=manifest("by-hand", activation="manual"))
    repeated_until(
        lambda: run(fleet.url, "get", "deployments", "by-hand", "-o", "json"),
        lambda result: {row["state"] for row in rows(result)} == {"Staged"},
        "Staged on both devices",
    )
    assert "held" in run(fleet.url, "describe", "deployment", "by-hand").stdout
    result = run(fleet.url, "activate", "by-hand", "--wait", "-t", "30s")
    assert result.exit_code == Exit.OK, result.output
    assert result.stdout.count("by-hand: activate done on edge-0") == 2
    waited = run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("by-hand", activation="manual"))
    assert waited.exit_code == Exit.OK, waited.output


def test_a_roll_back_goes_to_the_last_good_generation(fleet: FleetProcesses) -> None:
    """On the one device that is named; a second one has nothing to go back to or is refused with a reason."""
    for text in ("1", "2"):
        run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("back", text=text))
    result = run(fleet.url, "rollback", "back", "--device", "edge-01", "--wait", "-t", "30s", "-o", "json")
    assert result.exit_code == Exit.OK, result.output
    assert [item["device"] for item in json.loads(result.stdout)["outcomes"]] == ["edge-01"]
    assert states(fleet, "back")["edge-02"] == ("Deployed", 2)
    repeated_until(
        lambda: run(fleet.url, "get", "deployments", "back", "-o", "json"),
        lambda result: next(row for row in rows(result) if row["device"] == "edge-01")["deployedGeneration"] == 1,
        "generation 1 runs on edge-01 again",
    )


def test_a_command_that_is_refused_ends_with_1_and_the_reason(fleet: FleetProcesses) -> None:
    """For another generation, or a device that does not hold it."""
    run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("steered", devices=["edge-01"]))
    other = run(fleet.url, "retry", "steered", "--generation", "7")
    assert other.exit_code == Exit.FAILED
    assert "is for generation 7, wanted is 1" in other.stdout
    absent = run(fleet.url, "cancel", "steered", "--device", "edge-02", "-o", "json")
    assert absent.exit_code == Exit.FAILED
    assert json.loads(absent.stdout)["outcomes"][0]["outcome"] == "refused"


def test_pause_holds_an_update_back_until_resume(fleet: FleetProcesses) -> None:
    """What runs keeps running meanwhile."""
    run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("paused"))
    assert run(fleet.url, "pause", "paused", "--wait").exit_code == Exit.OK
    result = run(fleet.url, "apply", "-f", "-", "--wait", "--timeout", "1s", stdin=manifest("paused", text="2"))
    assert result.exit_code == Exit.TIMED_OUT
    assert "Paused" in result.stderr
    assert set(states(fleet, "paused").values()) == {("Deployed", 1)}
    assert run(fleet.url, "resume", "paused", "--wait").exit_code == Exit.OK
    assert (
        run(fleet.url, "apply", "-f", "-", "--wait", "-t", "30s", stdin=manifest("paused", text="2")).exit_code
        == Exit.OK
    )


def test_events_show_every_stage(fleet: FleetProcesses) -> None:
    """From the first to Deployed, in order, for one device."""
    with Background(fleet.url, "events", "staged", "--device", "edge-01", "-o", "json", "--count", "5") as events:
        events.wait_for("listening")
        run(fleet.url, "apply", "-f", "-", stdin=manifest("staged"))
        assert events.process.wait(30) == Exit.OK
    targets = [json.loads(line)["target"] for line in events.lines if line.startswith("{")]
    assert targets == ["Created", "Prepared", "Downloading", "Configuration", "Deployed"]


def test_a_device_that_is_away_is_waited_for_and_named(fleet: FleetProcesses) -> None:
    """It is no error, only not done yet; when it comes back it takes what it missed."""
    fleet.stop("edge-02")
    try:
        result = run(fleet.url, "apply", "-f", "-", "--wait", "-t", "3s", stdin=manifest("late"))
        assert result.exit_code == Exit.TIMED_OUT
        assert "waiting for edge-02 (offline)" in result.stderr
        assert states(fleet, "late")["edge-01"] == ("Deployed", 1)
        shown = run(fleet.url, "get", "deployments", "late").stdout
        assert "waiting: the device is offline" in shown
        gone = run(fleet.url, "delete", "late", "--wait", "-t", "2s")
        assert gone.exit_code == Exit.TIMED_OUT
    finally:
        fleet.start_agent("edge-02", "line=paint")
    repeated_until(
        lambda: run(fleet.url, "get", "deployments", "late"),
        lambda result: result.exit_code == Exit.NOT_FOUND,
        "the deletion reaches the device that was away",
    )
