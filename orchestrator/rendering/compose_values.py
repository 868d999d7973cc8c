"""The small values of a Compose project: images, ports, volumes, durations. Each is read or refused with a sentence.

The forms are those of the Compose specification (https://github.com/compose-spec/compose-spec/blob/main/05-services.md);
image references follow https://github.com/distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?\Z"
)
_PORT = re.compile(
    r"(?:(?P<ip>\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]*\]):)?(?:(?P<host>\d{1,5}(?:-\d{1,5})?)?:)?"
    r"(?P<target>\d{1,5}(?:-\d{1,5})?)(?:/(?P<protocol>tcp|udp|sctp))?\Z"
)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|ms|s|m|h|d))+\Z")
_RESTART = re.compile(r"(?:no|always|unless-stopped|on-failure(?::\d+)?)\Z")
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
MAX_PORTS = 2000
"""Most host ports of one service: a range may name 65,535 of them in eleven characters."""


@dataclass(frozen=True, slots=True)
class Published:
    """One port of the host that a service wants."""

    ip: str
    port: int
    protocol: str

    def meets(self, other: Published) -> bool:
        """Whether both cannot be there at once."""
        everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - read, not bound
        same_place = self.ip == other.ip or self.ip in everywhere or other.ip in everywhere
        return same_place and (self.port, self.protocol) == (other.port, other.protocol)

    def __str__(self) -> str:
        return f"{self.ip + ':' if self.ip else ''}{self.port}/{self.protocol}"


def image_problem(image: object) -> str | None:
    """Why this is no image reference; ``None`` if it is one."""
    if not isinstance(image, str) or not image:
        return "is no text that names an image"
    if len(image) > 512 or not _IMAGE.match(image):
        return f"{image[:120]!r} is not an image reference such as registry.example/path/name:tag, all lower case"
    return None


def duration_problem(value: object) -> str | None:
    """Why this is no duration as Compose writes them (``1m30s``); ``None`` if it is one."""
    if isinstance(value, str) and _DURATION.match(value):
        return None
    return f"{value!r:.60} is not a duration such as 10s or 1m30s"


def restart_problem(value: object) -> str | None:
    """Why this is no restart policy. YAML reads an unquoted ``no`` as false, which Compose takes for ``no``."""
    if value is False or (isinstance(value, str) and _RESTART.match(value)):
        return None
    return f"{value!r:.60} is not one of no, always, unless-stopped, on-failure[:attempts]"


def published(entry: Any) -> list[Published]:
    """The host's ports that an entry of ``ports`` takes; none where the engine chooses.

    Raises ``ValueError`` for what is no entry.
    """
    if isinstance(entry, dict):
        return _long_port(entry)
    if isinstance(entry, bool) or not isinstance(entry, int | float | str):
        raise ValueError("is neither a port such as 8080:80 nor a mapping with 'target'")  # noqa: TRY004 - a finding
    match = _PORT.match(str(entry))
    if match is None:
        raise ValueError(f"{str(entry)[:60]!r} is not a port such as 8080:80, 127.0.0.1:8080:80/tcp or 8000-8010:80-90")
    first, last = _range(match["target"])
    if match["host"] is None:
        return []
    host_first, host_last = _range(match["host"])
    if first != last and host_last - host_first != last - first:
        raise ValueError(f"{entry!r:.60}: the two ranges are of different length")
    if first == last and host_first != host_last:
        return []  # any one of the range is taken
    ip = (match["ip"] or "").strip("[]")
    return _ports(ip, host_first, host_last, match["protocol"] or "tcp")


def _long_port(entry: dict[str, Any]) -> list[Published]:
    known = {"target", "published", "host_ip", "protocol", "mode", "name", "app_protocol"}
    for key in entry:
        if key not in known and not str(key).startswith("x-"):
            raise ValueError(f"has no field {str(key)[:60]!r}; it has {', '.join(sorted(known))}")
    target = entry.get("target")
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise ValueError("has no 'target', the port in the container")  # noqa: TRY004 - a finding
    _range(str(target))
    host = entry.get("published")
    if host in (None, "", 0, "0"):
        return []
    first, last = _range(str(host))
    return (
        _ports(str(entry.get("host_ip") or ""), first, last, str(entry.get("protocol") or "tcp"))
        if first == last
        else []
    )


def _ports(ip: str, first: int, last: int, protocol: str) -> list[Published]:
    return [Published(ip, port, protocol) for port in range(first, last + 1)]


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{text[:30]!r} is not a port")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(f"{text[:30]!r} is not a port from 1 to 65535")
    if high - low >= MAX_PORTS:
        raise ValueError(f"{text[:30]!r} are {high - low + 1} ports; at most {MAX_PORTS} are taken")
    return low, high


@dataclass(frozen=True, slots=True)
class Mount:
    """What an entry of ``volumes`` mounts: ``named`` volume, ``file`` of the project, ``host`` path, or ``none``."""

    kind: str
    source: str


def mount(entry: Any) -> Mount:
    """Read an entry of a service's ``volumes``. Raises ``ValueError`` for what is none."""
    if isinstance(entry, dict):
        kind, source = entry.get("type"), entry.get("source")
        if kind not in ("volume", "bind", "tmpfs", "npipe", "cluster", "image"):
            raise ValueError(f"'type' is {kind!r:.30}, not volume, bind or tmpfs")
        if not isinstance(entry.get("target"), str) or not entry["target"]:
            raise ValueError("has no 'target', the path in the container")
        if kind in ("tmpfs", "image") or (kind == "volume" and source is None):
            return Mount("none", "")
        if not isinstance(source, str) or not source:
            raise ValueError("has no 'source'")
        return _source(source) if kind == "bind" else Mount("named", source)
    if not isinstance(entry, str) or not entry:
        raise ValueError("is neither a volume such as data:/var/lib/data nor a mapping with 'type' and 'target'")
    parts = entry.split(":")
    if len(parts) > 3:
        raise ValueError(f"{entry[:100]!r} has more than source:target:mode")
    if len(parts) == 1:
        return Mount("none", "")  # an anonymous volume
    if not parts[1].startswith("/"):
        raise ValueError(f"{entry[:100]!r}: the path in the container must start with '/'")
    if _VOLUME_NAME.match(parts[0]) and not parts[0].startswith("."):
        return Mount("named", parts[0])
    return _source(parts[0])


def _source(source: str) -> Mount:
    if source.startswith("/"):
        return Mount("host", source)
    if source.startswith("~"):
        raise ValueError(f"{source[:100]!r}: a device has no home folder; write the whole path, or use a named volume")
    return Mount("file", source)
