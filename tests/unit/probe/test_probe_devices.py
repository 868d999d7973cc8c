"""What the probe says of whole devices, each built as a tree of the files that its kernel shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.probe import measure_free, probe_capabilities
from tests.unit.probe.trees import Tree, industrial_pc, raspberry_pi
from topics.documents.device import Capabilities, Cpu, Volume


def probe(root: Path, machine: str) -> Capabilities:
    return probe_capabilities("edge-01", {"line": "press"}, root, ["kubernetes"], "0.1.0", root=root, machine=machine)


def interfaces(capabilities: Capabilities) -> list[tuple[str, str, str]]:
    return [(item.name, item.type, item.address) for item in capabilities.interfaces]


def peripherals(capabilities: Capabilities) -> list[tuple[str, str, str]]:
    return [(item.type, item.manufacturer, item.model) for item in capabilities.peripherals]


def test_a_raspberry_pi_is_described(tmp_path: Path) -> None:
    """Everything that a Raspberry Pi 4 shows, and nothing that is not a device of its own."""
    found = probe(raspberry_pi(tmp_path).root, "aarch64")
    assert found.cpus == (Cpu(architecture="arm64", cores=4, physical_cores=4, model="Cortex-A72"),)
    assert found.memory == 3884360 * 1024
    assert (found.vendor, found.model) == ("raspberrypi", "Raspberry Pi 4 Model B Rev 1.2")
    assert found.serial == "10000000abcdef01"
    assert (found.operating_system, found.kernel) == ("Debian GNU/Linux 12 (bookworm)", "6.6.31+rpt-rpi-v8")
    assert interfaces(found) == [
        ("eth0", "ethernet", "dc:a6:32:00:00:01"),
        ("wlan0", "wifi", "dc:a6:32:00:00:02"),
        ("ttyAMA0", "rs232", "/dev/ttyAMA0"),
        ("ttyUSB0", "rs232", "/dev/ttyUSB0"),
        ("usb1", "usb", ""),
        ("usb2", "usb", ""),
        ("hci0", "bluetooth", "dc:a6:32:00:00:03"),
    ]
    assert peripherals(found) == [
        ("gpu", "Broadcom", "2711-v3d"),
        ("display", "DEL", "DELL P2419H"),
        ("camera", "", "unicam-image"),
        ("speaker", "", "bcm2835 Headphones"),
    ]


def test_an_industrial_pc_is_described(tmp_path: Path) -> None:
    """A PC with a GPU, CAN bus and modem; placeholders of the board maker are not taken for values."""
    found = probe(industrial_pc(tmp_path).root, "x86_64")
    assert found.cpus == (Cpu(architecture="amd64", cores=8, physical_cores=4, model="Intel(R) Core(TM) i7-9700TE"),)
    assert (found.vendor, found.model, found.serial) == ("Advantech", "MIC-770", "KSA1234567")
    assert found.operating_system == "Ubuntu 24.04"
    assert interfaces(found) == [
        ("can0", "canbus", ""),
        ("enp1s0", "ethernet", "00:d0:c9:00:00:01"),
        ("slcan0", "canbus", ""),
        ("wwan0", "cellular", "16:00:00:00:00:01"),
        ("ttyS0", "rs232", "/dev/ttyS0"),
        ("ttyS1", "rs232", "/dev/ttyS1"),
        ("ttyS10", "rs232", "/dev/ttyS10"),
    ]
    assert peripherals(found) == [
        ("gpu", "Intel", "CoffeeLake-S GT2 [UHD Graphics 630]"),
        ("gpu", "NVIDIA", "NVIDIA A2"),
        ("display", "", "DP-1"),
        ("camera", "Logitech", "C922 Pro Stream Webcam"),
        ("microphone", "", "HDA Intel PCH"),
        ("microphone", "", "C922 Pro Stream Webcam"),
        ("speaker", "", "HDA Intel PCH"),
    ]


def test_an_empty_container_is_described_by_what_is_left(tmp_path: Path) -> None:
    """Without /sys and /proc there are still cores, memory, storage and a kernel, and nothing raises."""
    found = probe(tmp_path, "riscv64")
    assert found.cpus[0].architecture == "riscv64"
    assert found.cpus[0].cores >= 1
    assert found.memory > 0
    assert found.storage[0].capacity > 0
    assert found.kernel
    assert (found.interfaces, found.peripherals, found.vendor, found.serial) == ((), (), "", "")


def test_every_source_may_be_rubbish(tmp_path: Path) -> None:
    """Folders where files belong, broken links, bytes that are no text: left out, never an error."""
    for build in (raspberry_pi, industrial_pc):
        root = tmp_path / build.__name__
        build(root)
        files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        for number, path in enumerate(files):
            path.unlink()
            if number % 3 == 0:
                path.mkdir()
            elif number % 3 == 1:
                path.symlink_to("nowhere")
            else:
                path.write_bytes(b"\xff\xfe\0:=\n\n-\x80" * 30)
        assert probe(root, "x86_64").device == "edge-01"


@pytest.mark.parametrize("build", [raspberry_pi, industrial_pc])
def test_the_same_machine_gives_the_same_document(tmp_path: Path, build: object) -> None:
    """Two probes of one device are equal byte for byte, whatever the order of its labels."""
    assert callable(build)
    root = build(tmp_path).root
    first = probe_capabilities("d", {"a": "1", "b": "2"}, root, ["x", "y"], "1", root=root, machine="x86_64")
    second = probe_capabilities("d", {"b": "2", "a": "1"}, root, ["y", "x"], "1", root=root, machine="x86_64")
    assert first.model_dump_json() == second.model_dump_json()


def test_this_machine_can_be_probed(tmp_path: Path) -> None:
    """On the real root: a sensible CPU, memory and storage, with less free than there is."""
    found = probe_capabilities("edge-01", {}, tmp_path, [], "0.1.0")
    free = measure_free([Volume(path=str(tmp_path), capacity=1)])
    assert found.cpus[0].cores >= (found.cpus[0].physical_cores or 1) >= 1
    assert 0 < free.memory <= found.memory
    assert 0 < free.storage <= found.storage[0].capacity


def test_the_runtimes_own_volumes_are_told_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind that of the data folder: one entry for each file system, however many folders lie on it."""
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    lib = tmp_path / "var/lib"
    lib.mkdir(parents=True)
    (lib / "docker").mkdir()
    (lib / "containerd").symlink_to("/dev/shm")
    (lib / "kubelet").symlink_to("/dev/shm")
    found = probe_capabilities("edge-01", {}, tmp_path / "data", [], "0.1.0", root=tmp_path)
    assert [volume.path for volume in found.storage] == [str(tmp_path / "data"), str(lib / "containerd")]


def test_free_storage_is_that_of_the_volume_that_is_promised_from(tmp_path: Path) -> None:
    """The largest one; what an operator named and nobody can look at counts as empty."""
    here = Volume(path=str(tmp_path), capacity=2**20)
    assert measure_free([here, Volume(path="/no/such/disk", capacity=2**50)]).storage == 2**50
    assert measure_free([here, Volume(path="/no/such/disk", capacity=7)]).storage > 7
    assert measure_free([]).storage == 0


def test_storage_of_a_folder_to_be_is_that_of_its_parent(tmp_path: Path) -> None:
    """The data folder need not exist yet, and the path stays the one asked for."""
    future = tmp_path / "not" / "yet"
    found = probe_capabilities("edge-01", {}, future, [], "0.1.0", root=tmp_path)
    assert found.storage[0].path == str(future)
    assert measure_free(found.storage).storage > 0
    assert not future.exists()


def test_an_8250_driver_without_chips_shows_no_ports(tmp_path: Path) -> None:
    """The kernel registers ports for chips that are not there."""
    tree = Tree(tmp_path)
    for number in range(4):
        tree.files(f"sys/class/tty/ttyS{number}", type="0")
        tree.link(f"sys/class/tty/ttyS{number}/device", "sys/devices/platform/serial8250")
    assert probe(tmp_path, "x86_64").interfaces == ()
