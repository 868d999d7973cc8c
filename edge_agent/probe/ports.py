"""Serial ports, USB host controllers and Bluetooth adapters."""

from __future__ import annotations

from pathlib import Path

from edge_agent.probe.source import entries, read, target
from topics.documents.device import Interface

# Serial drivers of cellular modems: their ports are the modem's control channels, not a plug.
_MODEM_DRIVERS = frozenset({"option", "option1", "qcserial", "sierra", "hso"})
_NOT_A_PLUG = ("hvc", "rfcomm", "ttyGS", "ttyprintk")
_NO_UART = "0"
"""``type`` of an 8250 port without a chip behind it (PORT_UNKNOWN): the driver registers four or more."""


def probe_ports(root: Path) -> tuple[Interface, ...]:
    """Serial ports (``rs232``, the address is the device file), then USB hosts, then Bluetooth adapters."""
    return (
        *(
            Interface(name=entry.name, type="rs232", address=f"/dev/{entry.name}")
            for entry in entries(root / "sys/class/tty")
            if _is_serial_port(entry)
        ),
        *(
            Interface(name=entry.name, type="usb")
            for entry in entries(root / "sys/bus/usb/devices")
            if entry.name.removeprefix("usb").isdigit() and entry.name.startswith("usb")
        ),
        *(
            Interface(name=entry.name, type="bluetooth", address=read(entry / "address"))
            for entry in entries(root / "sys/class/bluetooth")
            # hci0:11 is a connection of hci0.
            if ":" not in entry.name
        ),
    )


def _is_serial_port(entry: Path) -> bool:
    if not (entry / "device").exists() or entry.name.startswith(_NOT_A_PLUG):
        return False
    if read(entry / "type") == _NO_UART:
        return False
    return target(entry / "device/driver") not in _MODEM_DRIVERS
