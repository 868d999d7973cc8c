"""An application package from the command line to a device: real broker, orchestrator and agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.exits import Exit
from tests.functional.cli_support import FleetProcesses, repeated_until, rows, run
from tests.support.brokers import KINDS
from tests.unit.cli.test_margo_files import tar_of

PACKAGE = Path(__file__).parents[2] / "examples" / "margo" / "hello-margo"
NAME = "com-example-hello-margo"
DEVICES = ("edge-01", "edge-02")


@pytest.fixture(scope="module", params=list(KINDS))
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcesses]:
    """An orchestrator without any folder of charts, and two agents of which one has the label."""
    kind = KINDS[str(request.param)]
    if missing := kind.missing():
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("fleet")
    with kind(folder / "broker") as broker:
        processes = FleetProcesses(broker.url, folder)
        try:
            processes.start_orchestrator()
            processes.start_agent("edge-01", "line=press")
            processes.start_agent("edge-02", "line=paint")
            repeated_until(
                lambda: run(broker.url, "get", "devices", "-o", "json"),
                lambda result: [row["device"] for row in rows(result) if "capabilities" in row] == list(DEVICES),
                "both devices said what they are",
            )
            yield processes
        finally:
            processes.close()


def apply(fleet: FleetProcesses, package: Path, *options: str) -> Any:
    """Apply the package and wait for it."""
    return run(fleet.url, "apply", "-f", str(package), *options, "--wait", "--timeout", "60s")


def greeting_on(fleet: FleetProcesses, device: str) -> dict[str, str]:
    """The data of the ConfigMap that the device's runtime was given."""
    files = (fleet._folder / f"{device}-manifests").glob(f"fleetbus-{NAME}-*.yaml")
    found = [item for file in files for item in yaml.safe_load_all(file.read_text())]
    [config_map] = [item for item in found if item["kind"] == "ConfigMap"]
    data: dict[str, str] = config_map["data"]
    return data


def test_a_package_is_deployed_where_it_is_selected_with_the_value_that_was_set(fleet: FleetProcesses) -> None:
    """The chart travels in the spec: the orchestrator has no folder of charts, and no registry is asked."""
    result = apply(fleet, PACKAGE, "--set", "greeting=Hi", "--selector", "line=press")
    assert result.exit_code == Exit.OK, result.output
    assert f"{NAME}: accepted (generation 1)" in result.stdout
    [row] = rows(run(fleet.url, "get", "deployments", NAME, "-o", "json"))
    assert (row["device"], row["state"]) == ("edge-01", "Deployed")
    assert greeting_on(fleet, "edge-01") == {"greeting": "Hi, World!", "intervalSeconds": "30", "site": "demo"}
    assert not list((fleet._folder / "edge-02-manifests").rglob("*hello-margo*"))


def test_an_update_keeps_the_devices_and_the_immutable_value(fleet: FleetProcesses, tmp_path: Path) -> None:
    """From an archive this time; the command says only what changes."""
    archive = tmp_path / "hello-margo.tgz"
    files = [(path.relative_to(PACKAGE).as_posix(), path) for path in sorted(PACKAGE.rglob("*")) if path.is_file()]
    archive.write_bytes(tar_of(*((name, path.read_bytes()) for name, path in files)))
    first = apply(fleet, PACKAGE, "--selector", "line=press", "--name", "second", "--set", "site=north")
    assert first.exit_code == Exit.OK, first.output
    refused = apply(fleet, archive, "--name", "second", "--set", "site=south")
    assert refused.exit_code == Exit.USAGE
    assert "parameters.site: may only be set when the application is deployed for the first time" in refused.output
    result = apply(fleet, archive, "--name", "second", "--set", "intervalSeconds=60")
    assert result.exit_code == Exit.OK, result.output
    assert "second: accepted (generation 2)" in result.stdout
    assert "second" in run(fleet.url, "get", "specs").stdout
    deleted = run(fleet.url, "delete", "second", "--wait", "--timeout", "60s")
    assert deleted.exit_code == Exit.OK, deleted.output


def test_the_same_package_again_is_unchanged(fleet: FleetProcesses) -> None:
    """The same content is the same bytes, chart and all."""
    apply(fleet, PACKAGE, "--set", "greeting=Hi", "--selector", "line=press")
    again = apply(fleet, PACKAGE, "--set", "greeting=Hi", "--selector", "line=press")
    assert f"{NAME}: unchanged" in again.stdout


def test_what_is_wrong_is_told_before_anything_is_sent(fleet: FleetProcesses) -> None:
    """A value, a name that is taken, a place that is missing, a profile that is not there."""
    line = ("--selector", "line=press")
    for options, text in (
        ((*line, "--set", "greting=Hi"), "did you mean greeting?"),
        ((*line, "--set", "intervalSeconds=0"), "0 is less than 1"),
        (("--name", "new"), "say where 'new' is to run"),
        ((*line, "--name", "new", "--profile", "compose"), "no deployment profile has the id or type 'compose'"),
        (("--device", "nobody", "--name", "new"), "no target device is known"),
    ):
        result = run(fleet.url, "apply", "-f", str(PACKAGE), *options)
        assert result.exit_code == Exit.USAGE, result.output
        assert text in result.output
    assert "new" not in [row["name"] for row in rows(run(fleet.url, "get", "specs", "-o", "json"))]


def test_a_profile_that_no_device_supports_is_told_with_every_reason(fleet: FleetProcesses, tmp_path: Path) -> None:
    """Per profile and device, with what is required and what there is."""
    text = (PACKAGE / "margo.yaml").read_text().replace("memory: 16Mi", "memory: 900Ti")
    (tmp_path / "margo.yaml").write_text(text)
    result = run(fleet.url, "apply", "-f", str(tmp_path), "--selector", "line=press", "--name", "large")
    assert result.exit_code == Exit.USAGE
    at = "[edge-01] deploymentProfiles[0].deviceConstraints.capacityRequirements.memory: needs 900Ti"
    assert at in result.output


def test_plan_render_and_validate_take_the_options_of_apply(fleet: FleetProcesses) -> None:
    """The same words after another verb; a plan says what apply then does, also who loses it."""
    options = ("--name", "moved", "--namespace", "halls", "--profile", "helm", "--set", "greeting=Ho")
    assert apply(fleet, PACKAGE, *options, "--device", "edge-01").exit_code == Exit.OK
    try:
        assert run(fleet.url, "validate", "-f", str(PACKAGE), *options, "--device", "edge-02").exit_code == Exit.OK
        rendered = run(fleet.url, "render", "-f", str(PACKAGE), *options, "--device", "edge-02")
        assert rendered.exit_code == Exit.OK, rendered.output
        assert "greeting: Ho, World!" in rendered.stdout
        assert "namespace: halls" in rendered.stdout
        assert "devices/edge-02/manifests/moved" in rendered.stdout
        planned = run(fleet.url, "plan", "-f", str(PACKAGE), *options, "--device", "edge-02", "-o", "json")
        assert planned.exit_code == Exit.OK, planned.output
        [plan] = rows(planned)
        assert {item["device"]: item["change"] for item in plan["targets"]} == {"edge-01": "removed", "edge-02": "new"}
        assert plan["charts"][0]["carried"] is True
        assert apply(fleet, PACKAGE, *options, "--device", "edge-02").exit_code == Exit.OK
        repeated_until(
            lambda: run(fleet.url, "get", "deployments", "moved", "-o", "json"),
            lambda result: [(row["device"], row["state"]) for row in rows(result)] == [("edge-02", "Deployed")],
            "it runs on edge-02 and nowhere else",
        )
    finally:
        assert run(fleet.url, "delete", "moved", "--wait", "-t", "60s").exit_code == Exit.OK


def test_a_package_can_be_deleted_by_its_file(fleet: FleetProcesses) -> None:
    """By the name that it has where none is given."""
    assert apply(fleet, PACKAGE, "--selector", "line=press").exit_code == Exit.OK
    deleted = run(fleet.url, "delete", "-f", str(PACKAGE), "--wait", "-t", "60s")
    assert deleted.exit_code == Exit.OK, deleted.output
    assert run(fleet.url, "get", "spec", NAME).exit_code == Exit.NOT_FOUND


def test_a_package_is_rendered_for_the_devices_that_would_take_it(fleet: FleetProcesses) -> None:
    """``render`` takes what ``apply`` takes."""
    offline = run(fleet.url, "render", "-f", str(PACKAGE))
    assert offline.exit_code == Exit.OK
    assert "greeting: Hello, World!" in offline.stdout
