"""The options of ``fleetbus-orchestrator``."""

from __future__ import annotations

from pathlib import Path

from topics.codec import MAX_PAYLOAD_BYTES
from topics.program.options import BROKER_OPTIONS, LOG_OPTIONS, Option


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError(f"{text} is not a number above 0")
    return value


OPTIONS: tuple[Option, ...] = (
    *BROKER_OPTIONS,
    Option("data", "folder of the store and the chart cache; made if it is not there", Path, required=True),
    Option("id", "name of this orchestrator's session at the broker", default="main"),
    Option("charts", "folder that relative chart paths start from (default: the working directory)", Path),
    Option("registry-config", "credentials for chart registries, as in Docker's config.json", Path),
    Option("registry-ca-file", "authorities (PEM) to trust for charts and packages, beside the usual ones", Path),
    Option(
        "chart-keyring", "public keys (binary OpenPGP); with it only charts that one of them signed are taken", Path
    ),
    Option("max-packet", "largest MQTT packet in bytes that the broker takes", _positive, default=MAX_PAYLOAD_BYTES),
    *LOG_OPTIONS,
)
