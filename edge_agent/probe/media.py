"""Cameras, microphones and loudspeakers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from edge_agent.probe.source import entries, read
from topics.documents.device import Peripheral

# Video devices that convert pictures and take none: codecs and image processors of a system on a chip.
_NO_CAMERA = re.compile(
    r"codec|decode|encode|hevc|jpeg|rpivid|scaler|rotator|m2m|[-_ ]isp\b|\bvpu\b|\bvpe\b|\brga\b", re.IGNORECASE
)
_SOUND_CARD = re.compile(r"^\s*(\d+)\s+\[.*?\]: (.+?)(?: - (.*))?$", re.MULTILINE)
_VIRTUAL_CARDS = ("Loopback", "Dummy")


def probe_cameras(root: Path) -> tuple[Peripheral, ...]:
    """One entry per camera: drivers make further video nodes for a camera's metadata, with an index above 0."""
    found = []
    for entry in entries(root / "sys/class/video4linux"):
        name = read(entry / "name")
        first = read(entry / "index") in ("", "0")
        if entry.name.startswith("video") and first and (entry / "device").exists() and not _NO_CAMERA.search(name):
            found.append(Peripheral(type="camera", manufacturer=_usb_maker(entry), model=name or entry.name))
    return tuple(found)


def probe_sound(root: Path) -> tuple[Peripheral, ...]:
    """Microphones, then speakers: one of each per sound card that can capture, and play."""
    capture: set[int] = set()
    playback: set[int] = set()
    # Lines such as "00-01: ALC887 Digital : ALC887 Digital : playback 1 : capture 1".
    for line in read(root / "proc/asound/pcm").splitlines():
        card = line.partition("-")[0]
        if card.isdigit():
            directions = [part.strip().split(" ")[0] for part in line.split(":")[1:]]
            capture |= {int(card)} if "capture" in directions else set()
            playback |= {int(card)} if "playback" in directions else set()
    names = _card_names(root)
    return (
        *(_sound(root, "microphone", card, names) for card in sorted(capture & names.keys())),
        *(_sound(root, "speaker", card, names) for card in sorted(playback & names.keys())),
    )


def _sound(root: Path, kind: Literal["microphone", "speaker"], card: int, names: dict[int, str]) -> Peripheral:
    maker = _usb_maker(root / f"sys/class/sound/card{card}")
    return Peripheral(type=kind, manufacturer=maker, model=names[card])


def _usb_maker(entry: Path) -> str:
    """Who made it, if it hangs on USB: ``device`` is its interface there, and the strings stand one above."""
    return read((entry / "device").resolve().parent / "manufacturer")


def _card_names(root: Path) -> dict[int, str]:
    """The real sound cards: number → name, from lines such as `` 0 [PCH   ]: HDA-Intel - HDA Intel PCH``."""
    found = _SOUND_CARD.findall(read(root / "proc/asound/cards"))
    return {int(number): name or driver for number, driver, name in found if driver not in _VIRTUAL_CARDS}
