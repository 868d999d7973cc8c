"""Network interfaces that lead out of the device; virtual ones (loopback, bridges, pairs) are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from edge_agent.probe.source import entries, fields, read, target
from topics.documents.device import Interface

NetworkType: TypeAlias = Literal["ethernet", "wifi", "cellular", "bluetooth", "usb", "canbus", "other"]

# Values of /sys/class/net/*/type: ARPHRD_ETHER and ARPHRD_CAN of linux/if_arp.h.
_ETHER, _CAN = "1", "280"
_CELLULAR_DRIVERS = frozenset(
    {"qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso", "cdc_ncm_wwan", "iosm", "mtk_t7xx"}
)
_BY_DEVTYPE: dict[str, NetworkType] = {"wlan": "wifi", "wwan": "cellular", "bluetooth": "bluetooth", "gadget": "usb"}


def probe_network(root: Path) -> tuple[Interface, ...]:
    """Every physical interface with its type and MAC address, by name."""
    found = []
    for entry in entries(root / "sys/class/net"):
        kind = _kind(entry)
        if kind:
            address = read(entry / "address")
            found.append(Interface(name=entry.name, type=kind, address=address if address.strip("0:") else ""))
    return tuple(found)


def _kind(entry: Path) -> NetworkType | None:
    """The type of an interface; ``None`` for one that is purely virtual."""
    link_type = read(entry / "type")
    by_devtype = _BY_DEVTYPE.get(fields(entry / "uevent").get("DEVTYPE", ""))
    if link_type == _CAN:
        # A CAN interface over a serial line (slcan) has no device of its own and is real nevertheless.
        return None if entry.name.startswith(("vcan", "vxcan")) else "canbus"
    if by_devtype == "bluetooth":
        return by_devtype
    if not (entry / "device").exists():
        return None
    if (entry / "wireless").is_dir() or (entry / "phy80211").exists():
        return "wifi"
    if by_devtype:
        return by_devtype
    if entry.name.startswith("wwan") or target(entry / "device/driver") in _CELLULAR_DRIVERS:
        return "cellular"
    return "ethernet" if link_type == _ETHER else "other"
