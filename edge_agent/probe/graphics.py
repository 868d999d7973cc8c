"""GPUs and connected displays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge_agent.probe.source import entries, fields, read, read_bytes
from topics.documents.device import Peripheral

_PCI_DISPLAY_CLASS = "0x03"
# PCI-SIG vendor ids (https://pcisig.com/membership/member-companies), for what has a display class.
_PCI_VENDORS = {
    "0x1002": "AMD",
    "0x1022": "AMD",
    "0x10de": "NVIDIA",
    "0x8086": "Intel",
    "0x102b": "Matrox",
    "0x1234": "QEMU",
    "0x1a03": "ASPEED",
    "0x15ad": "VMware",
    "0x1af4": "Red Hat",
    "0x1d17": "Zhaoxin",
    "0x126f": "Silicon Motion",
}
# The vendor prefix of a device tree's compatible string.
_TREE_VENDORS = {
    "arm": "Arm",
    "brcm": "Broadcom",
    "img": "Imagination",
    "nvidia": "NVIDIA",
    "qcom": "Qualcomm",
    "ti": "Texas Instruments",
    "vivante": "Vivante",
}
_CARD = re.compile(r"card\d+\Z")
_CONNECTOR = re.compile(r"card\d+-(.+)\Z")
_PCI_IDS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")
_EDID_HEADER = bytes.fromhex("00ffffffffffff00")


def probe_gpus(root: Path) -> tuple[Peripheral, ...]:
    """PCI display controllers, with or without a driver, then GPUs of a system on a chip."""
    on_pci = [
        entry for entry in entries(root / "sys/bus/pci/devices") if read(entry / "class").startswith(_PCI_DISPLAY_CLASS)
    ]
    return (*(_pci_gpu(root, entry) for entry in on_pci), *_chip_gpus(root))


def probe_displays(root: Path) -> tuple[Peripheral, ...]:
    """One display per connector that reports one; its name from its EDID, or else the connector's."""
    found = []
    for entry in entries(root / "sys/class/drm"):
        connector = _CONNECTOR.match(entry.name)
        if connector and read(entry / "status") == "connected":
            manufacturer, name = read_edid(read_bytes(entry / "edid"))
            found.append(Peripheral(type="display", manufacturer=manufacturer, model=name or connector.group(1)))
    return tuple(found)


def read_edid(edid: bytes) -> tuple[str, str]:
    """The maker's three letters and the monitor's name (VESA E-EDID 1.4, 3.4 and 3.10.3); empty if not told."""
    if len(edid) < 128 or not edid.startswith(_EDID_HEADER):
        return "", ""
    packed = int.from_bytes(edid[8:10], "big")
    letters = [packed >> shift & 31 for shift in (10, 5, 0)]
    maker = "".join(chr(64 + letter) for letter in letters) if all(1 <= letter <= 26 for letter in letters) else ""
    for start in (54, 72, 90, 108):
        descriptor = edid[start : start + 18]
        if descriptor[:4] == b"\0\0\0\xfc":
            return maker, descriptor[5:].split(b"\n")[0].decode("ascii", errors="replace").strip()
    return maker, ""


def _pci_gpu(root: Path, entry: Path) -> Peripheral:
    vendor, device = read(entry / "vendor").lower(), read(entry / "device").lower()
    nvidia = fields(root / "proc/driver/nvidia/gpus" / entry.name / "information", ":").get("Model", "")
    ids = f"{vendor.removeprefix('0x')}:{device.removeprefix('0x')}"
    return Peripheral(
        type="gpu",
        manufacturer=_PCI_VENDORS.get(vendor, vendor),
        model=nvidia or _pci_name(root, vendor, device) or ids,
    )


def _pci_name(root: Path, vendor: str, device: str) -> str:
    """The device's name in the system's pci.ids, if there is one: a vendor line, then its devices behind a tab."""
    for path in _PCI_IDS:
        try:
            with (root / path).open(encoding="utf-8", errors="replace") as lines:
                inside = False
                for line in lines:
                    if not line.startswith(("\t", "#")):
                        inside = line.startswith(vendor.removeprefix("0x") + " ")
                    elif inside and line.startswith(f"\t{device.removeprefix('0x')} "):
                        return line.split(None, 1)[1].strip()
        except OSError:
            continue  # not installed: the ids themselves are the name
    return ""


def _chip_gpus(root: Path) -> Iterator[Peripheral]:
    for entry in entries(root / "sys/class/drm"):
        device = entry / "device"
        event = fields(device / "uevent")
        compatible = event.get("OF_COMPATIBLE_0", "")
        # What is not in the device tree is on PCI (and counted), a virtio device on PCI, or no hardware.
        if not _CARD.match(entry.name) or not compatible:
            continue
        # Without a render node it is a display controller only (vc4 beside v3d on a Raspberry Pi 4).
        if not any(node.name.startswith("renderD") for node in entries(device / "drm")):
            continue
        vendor, _, model = compatible.partition(",")
        yield Peripheral(
            type="gpu", manufacturer=_TREE_VENDORS.get(vendor, vendor), model=model or event.get("DRIVER", entry.name)
        )
