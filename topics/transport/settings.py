"""Where the broker is and how to get in: the URL and the TLS and login options of every program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SCHEMES = {
    "mqtt": ("tcp", False, 1883),
    "mqtts": ("tcp", True, 8883),
    "ws": ("websockets", False, 9001),
    "wss": ("websockets", True, 443),
}
"""Scheme: paho's transport, encrypted or not, the port if none is given."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """A broker address. ``transport`` is paho's word for TCP or WebSocket."""

    host: str
    port: int
    transport: str = "tcp"
    tls: bool = False
    path: str = "/mqtt"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def url(self) -> str:
        """The address without credentials, as it may stand in a log."""
        scheme = next(name for name, (kind, tls, _) in _SCHEMES.items() if (kind, tls) == (self.transport, self.tls))
        return f"{scheme}://{self.host}:{self.port}"


def broker_settings(
    url: str,
    *,
    username: str | None = None,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
) -> BrokerSettings:
    """The settings for ``mqtt://``, ``mqtts://``, ``ws://`` or ``wss://`` ``[user:password@]host[:port]``.

    Raises ``ValueError`` for another scheme, a URL without host or with an impossible port, a
    certificate without its key, or a file that cannot be read.
    """
    parts = urlsplit(url if "://" in url else f"mqtt://{url}")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"broker {url!r} is not mqtt://host[:port], mqtts://, ws:// or wss://")
    transport, tls, default_port = _SCHEMES[parts.scheme]
    try:
        port = parts.port or default_port
    except ValueError as error:
        raise ValueError(f"broker {url!r} has no port between 1 and 65535") from error
    if (cert_file is None) != (key_file is None):
        raise ValueError("a client certificate needs both the certificate file and the key file")
    if (ca_file or cert_file) and not tls:
        raise ValueError(f"certificates are given, but {parts.scheme}:// is not encrypted: use mqtts:// or wss://")
    for file in (ca_file, cert_file, key_file, password_file):
        if file is not None and not file.is_file():
            raise ValueError(f"{file} is not a file that can be read")
    password = password_file.read_text().rstrip("\r\n") if password_file else None
    if password is None and parts.password is not None:
        password = unquote(parts.password)
    return BrokerSettings(
        host=parts.hostname,
        port=port,
        transport=transport,
        tls=tls,
        path=parts.path or "/mqtt",
        username=username or (unquote(parts.username) if parts.username else None),
        password=password,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
    )
