"""The operator's file: what it adds and overrides, in which forms, and how its faults are named."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.adapters.operators_file import OperatorsFile
from edge_agent.adapters.system import DeviceProbe, Told
from edge_agent.bootstrap import build
from edge_agent.capabilities_file import LARGEST_BYTES, CapabilitiesFileError, CapabilitiesOverlay, read_overlay
from edge_agent.config import OPTIONS, read_config
from edge_agent.probe.runtimes import RuntimeSources
from topics.documents.device import Capabilities, Cpu, Interface, Peripheral, Policy, Runtime, Volume
from topics.program.logs import EventLog
from topics.program.options import OptionError

MEASURED = Capabilities(
    device="edge-01", labels={"line": "press"}, cpus=(Cpu(architecture="amd64", cores=4),), memory=8 * 2**30,
    storage=(Volume(path="/data", capacity=2**36),), interfaces=(Interface(name="eth0", type="ethernet"),),
    serial="Default", appliers=("kubernetes",), deployment_types=("helm", "kubernetes"),
)  # fmt: skip
LOG = EventLog("edge_agent")


def overlay(folder: Path, content: str | bytes | dict[str, Any], name: str = "device.json") -> CapabilitiesOverlay:
    path = folder / name
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_overlay(path)[1]


def problem(folder: Path, content: str | bytes | dict[str, Any], name: str = "device.json") -> str:
    with pytest.raises(CapabilitiesFileError) as refused:
        overlay(folder, content, name)
    assert str(folder / name) in str(refused.value)
    return str(refused.value)


def test_lists_are_appended_and_labels_merged(tmp_path: Path) -> None:
    """What is added stands behind what was measured; sizes may be quantities."""
    found = overlay(
        tmp_path,
        {
            "add": {
                "labels": {"hall": "3", "line": "weld"},
                "peripherals": [{"type": "camera", "manufacturer": "Basler", "model": "acA1300"}],
                "interfaces": [{"name": "field", "type": "canbus"}],
                "storage": [{"path": "/media/nas", "capacity": "2Ti"}],
            }
        },
    ).applied_to(MEASURED)
    assert found.labels == {"line": "weld", "hall": "3"}
    assert found.peripherals == (Peripheral(type="camera", manufacturer="Basler", model="acA1300"),)
    assert [item.name for item in found.interfaces] == ["eth0", "field"]
    assert [volume.capacity for volume in found.storage] == [2**36, 2 * 2**40]
    assert (found.memory, found.cpus, found.serial) == (MEASURED.memory, MEASURED.cpus, "Default")


def test_what_is_overridden_replaces_what_was_measured(tmp_path: Path) -> None:
    """Scalars and whole lists; an addition comes on top of it."""
    found = overlay(
        tmp_path,
        {
            "override": {
                "memory": "6Gi", "serial": "SN-7", "gateway": "gate-1", "interfaces": [], "labels": {"only": "this"},
                "runtimes": [{"name": "docker", "version": "27"}],
            },
            "add": {"runtimes": [{"name": "compose", "version": "2"}]},
        },
    ).applied_to(MEASURED)  # fmt: skip
    assert (found.memory, found.serial, found.gateway) == (6 * 2**30, "SN-7", "gate-1")
    assert (found.interfaces, found.labels) == ((), {"only": "this"})
    assert found.runtimes == (Runtime(name="docker", version="27"), Runtime(name="compose", version="2"))
    assert found.deployment_types == MEASURED.deployment_types


def test_json_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    """The name's ending tells the form."""
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    forms = {
        "a.json": '{"override": {"memory": "1Gi"}, "add": {"labels": {"hall": "3"}}}',
        "b.toml": '[override]\nmemory = "1Gi"\n[add.labels]\nhall = "3"\n',
        "c.yaml": 'override: {memory: 1Gi}\nadd: {labels: {hall: "3"}}\n',
        "d.YML": 'override: {memory: 1Gi}\nadd: {labels: {hall: "3"}}\n',
    }
    assert len({overlay(tmp_path, text, name).model_dump_json() for name, text in forms.items()}) == 1
    for name, nothing in (("e.json", "{}"), ("f.toml", "#"), ("g.yaml", "#")):
        assert overlay(tmp_path, nothing, name).applied_to(MEASURED) == MEASURED


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"add": {"peripherals": [{"type": "kamera"}]}}, ["add.peripherals[0].type", "'camera'"]),
        (
            {"add": {"peripherals": [{"type": "camera", "modell": "x"}]}},
            ["add.peripherals[0].modell", "is not a field"],
        ),
        ({"add": {"memory": "1Gi"}}, ["add.memory", "is not a field"]),
        ({"override": {"memory": "lots"}}, ["override.memory", "is not a quantity"]),
        ({"override": {"memory": -1}}, ["override.memory", "greater than or equal to 0"]),
        ({"override": {"memory": "500m"}}, ["override.memory", "not a whole number"]),
        ({"override": {"memory": "9E999"}}, ["override.memory"]),
        ({"override": {"memory": True}}, ["override.memory"]),
        ({"override": {"device": "edge-02"}}, ["override.device", "is not a field"]),
        ({"override": {"appliers": ["compose"]}}, ["override.appliers", "is not a field"]),
        ({"override": {"deploymentTypes": ["compose"]}}, ["override.deploymentTypes", "is not a field"]),
        ({"override": {"gateway": "a/b"}}, ["override.gateway", "is not a device id"]),
        ({"add": {"labels": {"a b": "c"}}}, ["add.labels", "label key"]),
        ({"add": {"cpus": [{"architecture": "amd64", "cores": -2}]}}, ["add.cpus[0].cores"]),
        ({"overide": {}}, ["overide", "is not a field"]),
        ({"override": {"memory": "x"}, "add": {"cpus": [{}]}}, ["override.memory", "add.cpus[0].architecture"]),
        ("", ["it is empty"]),
        (b" \n", ["it is empty"]),
        ("[]", ["should be an object"]),
        ("{", ["line 1 column 2"]),
        ('{"add": {}, "add": {}}', ["stands twice"]),
        (b"\xff", ["not UTF-8"]),
        ("[" * 100_000, [str(LARGEST_BYTES)]),
        ("[" * 50_000, ["nested deeper"]),
    ],
)
def test_a_fault_names_file_and_field(tmp_path: Path, content: str | bytes | dict[str, Any], parts: list[str]) -> None:
    """All of them at once."""
    text = problem(tmp_path, content)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.toml", "[override]\nmemory = 1979-05-27\n", "not JSON serializable"),
        ("a.toml", "[override]\nmemory = inf\n", "not JSON compliant"),
        ("a.toml", "a = \n", "line 1"),
        ("a.toml", "\n" + "a." * 30_000 + "b = 1", "line 2 holds more than 300 dots"),
        ("a.toml", "a = " + "[" * 30_000, ""),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "a: &x [*x]", ""),
        ("a.conf", "x", "ends neither in .json nor in .toml"),
        ("noending", "x", "ends neither"),
    ],
)
def test_every_form_has_its_faults_told(tmp_path: Path, name: str, text: str, part: str) -> None:
    """As ``CapabilitiesFileError`` and as nothing else."""
    if name.endswith(".yaml"):
        pytest.importorskip("yaml", reason="PyYAML is not installed")
    assert part in problem(tmp_path, text, name)


def test_yaml_without_its_parser_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own install has none."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "topics.yaml_loader":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "write it as .json or .toml" in problem(tmp_path, "add: {}", "device.yaml")


@given(st.binary(max_size=200), st.sampled_from(["a.json", "a.toml", "a.yaml"]))
def test_any_bytes_are_a_file_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    """Never another exception."""
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    with contextlib.suppress(CapabilitiesFileError):
        read_overlay(path)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Also when its size and time stay the same."""
    path = tmp_path / "device.json"
    path.write_text('{"override": {"serial": "A"}}')
    file = OperatorsFile(path, "edge-01", LOG)
    assert file.overlay().override.serial == "A"
    before = path.stat()
    path.write_text('{"override": {"serial": "B"}}')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.overlay().override.serial == "B"


@pytest.mark.parametrize("content", ["{", None, "", "folder", "pipe", "x" * (LARGEST_BYTES + 1)])
def test_a_file_that_breaks_later_changes_nothing(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What it last said stays, the log says so once, and the mended file is taken."""
    path = tmp_path / "device.json"
    path.write_text('{"override": {"serial": "A"}}')
    file = OperatorsFile(path, "edge-01", LOG)
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_text(content)
    assert [file.overlay().override.serial for _ in range(3)] == ["A"] * 3
    assert caplog.text.count("is not taken") == 1
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_text('{"override": {"serial": "C"}}')
    assert file.overlay().override.serial == "C"


def test_a_wrong_file_ends_the_start(tmp_path: Path) -> None:
    """With the option, the file and the field; a file that is not there, too. The data folder is free again."""
    path = tmp_path / "device.json"
    options = [
        "--broker", "mqtt://127.0.0.1", "--device", "a", "--data", str(tmp_path / "d"), "--capabilities", str(path),
    ]  # fmt: skip
    with pytest.raises(OptionError, match=r"--capabilities .*device\.json: No such file"):
        build(read_config(options, {}))
    path.write_text('{"override": {"memory": "x"}}')
    with pytest.raises(OptionError, match=r"--capabilities .*device\.json: override\.memory"):
        build(read_config(options, {}))


def test_the_file_names_no_device_its_own_gateway(tmp_path: Path) -> None:
    """As the option does not."""
    path = tmp_path / "device.json"
    path.write_text('{"override": {"gateway": "edge-01"}}')
    with pytest.raises(CapabilitiesFileError, match=r"override\.gateway: edge-01 is this device itself"):
        OperatorsFile(path, "edge-01", LOG)
    assert OperatorsFile(path, "edge-02", LOG).overlay().override.gateway == "edge-01"


def test_a_device_is_not_its_own_gateway(tmp_path: Path) -> None:
    """And a gateway's id is a device id."""
    options = ["--broker", "mqtt://h", "--device", "a", "--data", str(tmp_path), "--gateway"]
    assert read_config([*options, "gate-1"], {}).gateway == "gate-1"
    for wrong in ("a", "x/y"):
        with pytest.raises(OptionError, match="--gateway"):
            read_config([*options, wrong], {})


def test_a_device_says_what_it_measured_was_told_and_was_corrected(tmp_path: Path) -> None:
    """All sources in one document."""
    path = tmp_path / "device.json"
    path.write_text('{"override": {"serial": "SN-7"}, "add": {"peripherals": [{"type": "gpu"}]}}')
    probe = DeviceProbe(
        Told("edge-01", {"line": "press"}, "gate-1"), tmp_path, ["kubernetes"], "0.1",
        runtimes=RuntimeSources(tmp_path, {"PATH": str(tmp_path)}), correct=OperatorsFile(path, "edge-01", LOG).correct, log=LOG,
    )  # fmt: skip
    found = probe.capabilities()
    assert (found.device, found.gateway, found.labels, found.serial) == (
        "edge-01", "gate-1", {"line": "press"}, "SN-7",
    )  # fmt: skip
    assert (found.runtimes, found.deployment_types) == ((), ("helm", "kubernetes"))
    assert found.peripherals[-1].type == "gpu"
    assert found.memory > 0


def test_a_problem_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And again when it comes back."""
    config = tmp_path / "config"
    probe = DeviceProbe(
        Told("edge-01"), tmp_path, [], "0.1",
        runtimes=RuntimeSources(tmp_path, {"PATH": str(tmp_path)}, config), log=LOG,
    )  # fmt: skip
    probe.capabilities()
    probe.capabilities()
    assert caplog.text.count("cannot be asked") == 1
    config.write_text("- a")
    probe.capabilities()
    config.unlink()
    probe.capabilities()
    assert caplog.text.count("cannot be asked") == 3


def test_every_option_of_the_agent_is_documented() -> None:
    """docs/agent.md has them all."""
    page = (Path(__file__).parents[3] / "docs" / "agent.md").read_text(encoding="utf-8")
    assert [option.name for option in OPTIONS if f"`--{option.name}`" not in page] == []


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    """The example of docs/agent.md does what the page says."""
    page = (Path(__file__).parents[3] / "docs" / "agent.md").read_text(encoding="utf-8")
    found = overlay(tmp_path, page.partition("```json\n")[2].partition("```")[0]).applied_to(MEASURED)
    assert (found.memory, found.labels["hall"], found.peripherals[0].manufacturer) == (6 * 2**30, "3", "Basler")


def test_a_policy_stands_under_override(tmp_path: Path) -> None:
    """It is the operator's alone: nothing of it is measured."""
    policy = {
        "allowedNamespaces": ["press"],
        "forbid": ["privileged", "hostPath"],
        "forbiddenKinds": ["Ingress.networking.k8s.io"],
        "allowedRegistries": ["registry.example/press"],
    }
    found = overlay(tmp_path, {"override": {"policy": policy}}).applied_to(MEASURED).policy
    assert found == Policy(
        allowed_namespaces=("press",), forbid=("privileged", "hostPath"),
        forbidden_kinds=("Ingress.networking.k8s.io",), allowed_registries=("registry.example/press",),
    )  # fmt: skip
    assert overlay(tmp_path, {}).applied_to(MEASURED).policy is None


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"forbid": ["privilege"]}, "forbid[0]"),
        ({"namespaces": []}, "namespaces"),
        ({"forbid": "privileged"}, "forbid"),
    ],
)
def test_a_typing_error_in_a_policy_is_refused(tmp_path: Path, policy: dict[str, Any], says: str) -> None:
    """Or the operator would believe that something is forbidden which is not."""
    assert f"override.policy.{says}" in problem(tmp_path, {"override": {"policy": policy}})
