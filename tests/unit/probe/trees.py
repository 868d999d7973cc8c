"""Builds the parts of a root file system that the probe reads, as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path


class Tree:
    """A root under construction; paths are relative to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, path: str, content: str | bytes = "") -> Tree:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def files(self, folder: str, **contents: str) -> Tree:
        for name, content in contents.items():
            self.file(f"{folder}/{name}", f"{content}\n")
        return self

    def folder(self, path: str) -> Tree:
        (self.root / path).mkdir(parents=True, exist_ok=True)
        return self

    def link(self, path: str, target: str) -> Tree:
        """A link to another place of the tree, made if need be."""
        self.folder(target)
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.root / target)
        return self

    def net(
        self, name: str, *, address: str = "", kind: int = 1, device: str = "", driver: str = "", event: str = ""
    ) -> Tree:
        """A network interface; ``device`` is the path of its hardware, none for a virtual one."""
        folder = f"sys/class/net/{name}"
        self.files(folder, address=address, type=str(kind), uevent=f"{event}\nINTERFACE={name}")
        if device:
            self.link(f"{folder}/device", device)
            if driver:
                self.link(f"{device}/driver", f"sys/drivers/{driver}")
        return self


def raspberry_pi(root: Path) -> Tree:
    """A Raspberry Pi 4 with its camera, a monitor, Wi-Fi, Bluetooth and a USB-serial adapter."""
    tree = Tree(root)
    cores = "".join(
        f"processor\t: {n}\nBogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n" for n in range(4)
    )
    tree.file("proc/cpuinfo", cores + "Revision\t: c03112\nModel\t\t: Raspberry Pi 4 Model B Rev 1.2\n")
    for core in range(4):
        tree.files(f"sys/devices/system/cpu/cpu{core}/topology", thread_siblings_list=str(core))
    tree.folder("sys/devices/system/cpu/cpufreq")
    tree.file("proc/meminfo", "MemTotal:        3884360 kB\nMemFree:         2774556 kB\n")
    tree.file("proc/sys/kernel/osrelease", "6.6.31+rpt-rpi-v8\n")
    tree.file("etc/os-release", 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    tree.file("proc/device-tree/model", b"Raspberry Pi 4 Model B Rev 1.2\0")
    tree.file("proc/device-tree/serial-number", b"10000000abcdef01\0")
    tree.file("proc/device-tree/compatible", b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    tree.net("lo", address="00:00:00:00:00:00", kind=772)
    tree.net("eth0", address="dc:a6:32:00:00:01", device="sys/devices/platform/scb/fd580000.ethernet")
    tree.net("wlan0", address="dc:a6:32:00:00:02", device="sys/devices/platform/mmc1", event="DEVTYPE=wlan")
    tree.folder("sys/class/net/wlan0/wireless")
    tree.link("sys/class/tty/ttyAMA0/device", "sys/devices/platform/serial0")
    tree.link("sys/class/tty/ttyUSB0/device", "sys/devices/usb1/1-1/ttyUSB0")
    tree.link("sys/devices/usb1/1-1/ttyUSB0/driver", "sys/drivers/ftdi_sio")
    tree.folder("sys/class/tty/tty1").folder("sys/class/tty/console")
    for hub in ("usb1", "usb2", "1-1", "1-1:1.0"):
        tree.folder(f"sys/bus/usb/devices/{hub}")
    tree.files("sys/class/bluetooth/hci0", address="dc:a6:32:00:00:03").folder("sys/class/bluetooth/hci0:11")
    for card, driver, compatible in (("card0", "v3d", "brcm,2711-v3d"), ("card1", "vc4-drm", "brcm,bcm2711-vc5")):
        device = f"sys/devices/platform/{driver}"
        tree.link(f"sys/class/drm/{card}/device", device)
        tree.file(f"{device}/uevent", f"DRIVER={driver}\nOF_COMPATIBLE_0={compatible}\nOF_COMPATIBLE_N=1\n")
        tree.folder(f"{device}/drm/{card}")
    tree.folder("sys/devices/platform/v3d/drm/renderD128").folder("sys/class/drm/renderD128")
    tree.file("sys/class/drm/card1-HDMI-A-1/status", "connected\n").file("sys/class/drm/card1-HDMI-A-1/edid", edid())
    tree.file("sys/class/drm/card1-HDMI-A-2/status", "disconnected\n")
    for node, name in (
        ("video0", "unicam-image"),
        ("video10", "bcm2835-codec-decode"),
        ("video13", "bcm2835-isp-output0"),
    ):
        tree.files(f"sys/class/video4linux/{node}", name=name, index="0")
        tree.link(f"sys/class/video4linux/{node}/device", f"sys/devices/platform/{node}")
    tree.file("proc/asound/pcm", "00-00: bcm2835 Headphones : bcm2835 Headphones : playback 8\n")
    tree.file(
        "proc/asound/cards",
        " 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones\n                      bcm2835\n",
    )
    return tree


def industrial_pc(root: Path) -> Tree:
    """An industrial PC: hyper-threaded CPU, NVIDIA card beside Intel graphics, CAN, LTE modem, RS-232, sound."""
    tree = Tree(root)
    blocks = "".join(
        f"processor\t: {n}\nmodel name\t: Intel(R) Core(TM) i7-9700TE\nphysical id\t: 0\ncore id\t\t: {n % 4}\n\n"
        for n in range(8)
    )
    tree.file("proc/cpuinfo", blocks)
    tree.file("proc/meminfo", "MemTotal:       32658852 kB\n")
    tree.file("proc/sys/kernel/osrelease", "6.8.0-45-generic\n")
    tree.file("usr/lib/os-release", "NAME=Ubuntu\nVERSION_ID='24.04'\n")
    tree.files(
        "sys/class/dmi/id",
        sys_vendor="To be filled by O.E.M.",
        board_vendor="Advantech",
        product_name="MIC-770",
        product_serial="Default string",
        board_serial="KSA1234567",
    )
    tree.net("lo", kind=772).net("docker0", address="02:42:00:00:00:01", event="DEVTYPE=bridge")
    tree.net("veth12ab", address="aa:00:00:00:00:01").net("vcan0", kind=280)
    tree.net("enp1s0", address="00:d0:c9:00:00:01", device="sys/devices/pci0000:00/0000:01:00.0", driver="igb")
    tree.net("can0", kind=280, device="sys/devices/pci0000:00/0000:05:00.0", driver="peak_pciefd")
    tree.net("slcan0", kind=280)
    tree.net(
        "wwan0", address="16:00:00:00:00:01", device="sys/devices/usb3/3-1", driver="qmi_wwan", event="DEVTYPE=wwan"
    )
    for port, chip in (("ttyS0", "4"), ("ttyS1", "4"), ("ttyS10", "4"), ("ttyS2", "0")):
        tree.files(f"sys/class/tty/{port}", type=chip)
        tree.link(f"sys/class/tty/{port}/device", f"sys/devices/pnp0/{port}")
    tree.link("sys/class/tty/ttyUSB0/device", "sys/devices/usb3/3-1/ttyUSB0")
    tree.link("sys/devices/usb3/3-1/ttyUSB0/driver", "sys/drivers/option1")
    tree.link("sys/class/tty/hvc0/device", "sys/devices/hvc0")
    pci = "sys/bus/pci/devices"
    tree.files(f"{pci}/0000:00:02.0", vendor="0x8086", device="0x3e98", **{"class": "0x030000"})
    tree.files(f"{pci}/0000:02:00.0", vendor="0x10de", device="0x25b6", **{"class": "0x030200"})
    tree.files(f"{pci}/0000:01:00.0", vendor="0x8086", device="0x1533", **{"class": "0x020000"})
    tree.file(
        "proc/driver/nvidia/gpus/0000:02:00.0/information",
        "Model: \t\t NVIDIA A2\nIRQ:   \t\t 130\nBus Location: \t 0000:02:00.0\n",
    )
    tree.file(
        "usr/share/misc/pci.ids",
        "# ids\n1022  Advanced Micro Devices\n\t3e98  Not this one\n8086  Intel Corporation\n"
        "\t3e98  CoffeeLake-S GT2 [UHD Graphics 630]\n\t\t1028 0001  A subsystem\n",
    )
    tree.link("sys/class/drm/card0/device", f"{pci}/0000:00:02.0").folder(f"{pci}/0000:00:02.0/drm/renderD128")
    tree.file("sys/class/drm/card0-DP-1/status", "connected\n").file("sys/class/drm/card0-DP-1/edid", b"")
    for node, index in (("video0", "0"), ("video1", "1")):
        tree.files(f"sys/class/video4linux/{node}", name="C922 Pro Stream Webcam", index=index)
        tree.link(f"sys/class/video4linux/{node}/device", "sys/devices/usb1/1-4/1-4:1.0")
    tree.file("sys/devices/usb1/1-4/manufacturer", "Logitech\n")
    tree.files("sys/class/video4linux/video9", name="Dummy video device (0x0000)", index="0")  # v4l2loopback
    tree.file(
        "proc/asound/pcm",
        "00-00: ALC888S Analog : ALC888S Analog : playback 1 : capture 1\n"
        "00-03: HDMI 0 : HDMI 0 : playback 1\n"
        "01-00: USB Audio : USB Audio : capture 1\n"
        "02-00: Loopback PCM : Loopback PCM : playback 8 : capture 8\n",
    )
    tree.file(
        "proc/asound/cards",
        " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA Intel PCH at 0xa1230000 irq 131\n"
        " 1 [C922           ]: USB-Audio - C922 Pro Stream Webcam\n                      C922 at usb-0000:00:14.0-4\n"
        " 2 [Loopback       ]: Loopback - Loopback\n                      Loopback 1\n",
    )
    return tree


def edid(name: str = "DELL P2419H") -> bytes:
    """A base EDID block of maker DEL with a monitor name."""
    block = bytearray(128)
    block[:8] = bytes.fromhex("00ffffffffffff00")
    block[8:10] = (4 << 10 | 5 << 5 | 12).to_bytes(2, "big")
    block[72:90] = b"\0\0\0\xfc\0" + f"{name}\n".encode().ljust(13)
    return bytes(block)
