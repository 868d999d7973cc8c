"""The single facts: architecture names, interface types, EDID, GPUs, cores."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.probe.graphics import probe_gpus, read_edid
from edge_agent.probe.media import probe_sound
from edge_agent.probe.network import probe_network
from edge_agent.probe.processor import go_architecture, probe_cpu
from edge_agent.probe.system import probe_machine
from tests.unit.probe.trees import Tree, edid


@pytest.mark.parametrize(
    ("machine", "bits", "expected"),
    [
        ("x86_64", 64, "amd64"),
        ("AMD64", 64, "amd64"),
        ("x86_64", 32, "386"),
        ("i686", 32, "386"),
        ("aarch64", 64, "arm64"),
        ("arm64", 64, "arm64"),
        ("aarch64", 32, "arm"),
        ("armv7l", 32, "arm"),
        ("armv6l", 32, "arm"),
        ("riscv64", 64, "riscv64"),
        ("ppc64le", 64, "ppc64le"),
        ("s390x", 64, "s390x"),
        ("loongarch64", 64, "loongarch64"),
    ],
)
def test_architectures_have_go_names(machine: str, bits: int, expected: str) -> None:
    """The machine of uname becomes GOARCH; a 32-bit process on a 64-bit kernel runs 32-bit programs."""
    assert go_architecture(machine, bits=bits) == expected


@pytest.mark.parametrize(
    ("event", "kind", "driver", "expected"),
    [
        ("", 1, "igb", "ethernet"),
        ("DEVTYPE=wlan", 1, "iwlwifi", "wifi"),
        ("DEVTYPE=wwan", 1, "cdc_mbim", "cellular"),
        ("", 1, "qmi_wwan", "cellular"),
        ("DEVTYPE=gadget", 1, "", "usb"),
        ("DEVTYPE=bluetooth", 1, "", "bluetooth"),
        ("", 280, "mcp251x", "canbus"),
        ("", 32, "mlx4_core", "other"),
    ],
)
def test_an_interface_has_the_type_the_kernel_gives_it(
    tmp_path: Path, event: str, kind: int, driver: str, expected: str
) -> None:
    """The link type, DEVTYPE and driver decide, not the name."""
    Tree(tmp_path).net(
        "net0", address="00:11:22:33:44:55", kind=kind, device="sys/devices/x", driver=driver, event=event
    )
    assert [(item.type, item.address) for item in probe_network(tmp_path)] == [(expected, "00:11:22:33:44:55")]


@pytest.mark.parametrize("name", ["lo", "docker0", "veth0", "br0", "tun0", "vcan0"])
def test_a_virtual_interface_is_left_out(tmp_path: Path, name: str) -> None:
    """What has no hardware behind it leads nowhere."""
    Tree(tmp_path).net(name, address="00:11:22:33:44:55", kind=280 if name == "vcan0" else 1)
    assert probe_network(tmp_path) == ()


def test_an_all_zero_address_is_no_address(tmp_path: Path) -> None:
    """Drivers without an address show zeros."""
    Tree(tmp_path).net("eth0", address="00:00:00:00:00:00", device="sys/devices/x")
    assert probe_network(tmp_path)[0].address == ""


def test_an_edid_gives_maker_and_name() -> None:
    """The maker's three packed letters and the name descriptor."""
    assert read_edid(edid("Panel 7")) == ("DEL", "Panel 7")


@given(st.binary(max_size=300))
def test_any_bytes_are_an_edid_or_not(data: bytes) -> None:
    """A damaged EDID gives empty names and never raises."""
    for block in (data, edid()[:54] + data, edid()[:8] + data.ljust(120, b"\xfc")):
        maker, _ = read_edid(block)
        assert maker == "" or (len(maker) == 3 and maker.isupper())


def test_an_unknown_gpu_is_named_by_its_ids(tmp_path: Path) -> None:
    """Without a list of ids on the device, vendor and device id are the name."""
    Tree(tmp_path).files("sys/bus/pci/devices/0000:01:00.0", vendor="0xABCD", device="0x0001", **{"class": "0x038000"})
    (gpu,) = probe_gpus(tmp_path)
    assert (gpu.manufacturer, gpu.model) == ("0xabcd", "abcd:0001")


def test_a_virtio_gpu_counts_once(tmp_path: Path) -> None:
    """Its DRM card hangs on a virtio device below the PCI function that is counted already."""
    tree = Tree(tmp_path)
    tree.files("sys/bus/pci/devices/0000:00:01.0", vendor="0x1af4", device="0x1050", **{"class": "0x038000"})
    tree.link("sys/class/drm/card0/device", "sys/bus/pci/devices/0000:00:01.0/virtio0")
    tree.file(
        "sys/bus/pci/devices/0000:00:01.0/virtio0/uevent", "DRIVER=virtio_gpu\nMODALIAS=virtio:d00000010v00001AF4\n"
    )
    tree.folder("sys/bus/pci/devices/0000:00:01.0/virtio0/drm/renderD128")
    assert [gpu.manufacturer for gpu in probe_gpus(tmp_path)] == ["Red Hat"]


def test_cores_of_two_kinds_are_both_named(tmp_path: Path) -> None:
    """A big.LITTLE chip has two part numbers."""
    parts = ["0xd03"] * 4 + ["0xd09"] * 2
    blocks = (f"processor: {n}\nCPU implementer: 0x41\nCPU part: {part}\n\n" for n, part in enumerate(parts))
    Tree(tmp_path).file("proc/cpuinfo", "".join(blocks))
    cpu = probe_cpu(tmp_path, "aarch64")
    assert (cpu.cores, cpu.physical_cores, cpu.model) == (6, None, "Cortex-A53 + Cortex-A73")


@pytest.mark.parametrize("value", ["Default string", "To Be Filled By O.E.M.", "None", "0123456789", ""])
def test_placeholders_are_no_values(tmp_path: Path, value: str) -> None:
    """What board makers forgot to fill in is the same as nothing."""
    Tree(tmp_path).files("sys/class/dmi/id", sys_vendor=value, product_name=value, product_serial=value)
    assert tuple(probe_machine(tmp_path)) == ("", "", "")


def test_sound_over_usb_names_its_maker(tmp_path: Path) -> None:
    """A conference microphone beside the board's own sound, whose maker nobody knows."""
    tree = Tree(tmp_path)
    tree.file("proc/asound/cards", " 0 [PCH  ]: HDA-Intel - HDA Intel PCH\n 1 [Jabra ]: USB-Audio - Jabra SPEAK 510\n")
    tree.file(
        "proc/asound/pcm", "00-00: ALC : ALC : playback 1\n01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
    )
    tree.link("sys/class/sound/card0/device", "sys/devices/pci0000:00/0000:00:1f.3")
    tree.link("sys/class/sound/card1/device", "sys/devices/usb1/1-2/1-2:1.0")
    tree.file("sys/devices/usb1/1-2/manufacturer", "GN Netcom\n")
    assert [(item.type, item.manufacturer, item.model) for item in probe_sound(tmp_path)] == [
        ("microphone", "GN Netcom", "Jabra SPEAK 510"),
        ("speaker", "", "HDA Intel PCH"),
        ("speaker", "GN Netcom", "Jabra SPEAK 510"),
    ]
