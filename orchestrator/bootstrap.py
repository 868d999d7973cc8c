"""The only place that wires the orchestrator: options to adapters, adapters to the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.render_pool import ThreadedRenderPool
from orchestrator.adapters.sql_store import SqlStore, sqlite_url
from orchestrator.charts.store import ChartStore
from orchestrator.inbound import SUBSCRIBED
from orchestrator.packages.store import PackageStore
from orchestrator.rendering.registry import load_renderers
from orchestrator.service import Orchestrator
from topics import __version__
from topics.channels import Topics
from topics.identifiers import client_id
from topics.program.clock import SystemClock
from topics.transport.mqtt import SUBSCRIBE_AGAIN_SECONDS, MqttBus
from topics.transport.settings import broker_settings

_HEADROOM = 1_024
"""Bytes of a packet that are not payload: its header and the longest topic."""


def build(options: Mapping[str, Any]) -> Orchestrator:
    """An orchestrator, ready for ``start``. Raises ``ValueError`` for options that do not fit."""
    settings = broker_settings(
        options["broker"],
        username=options["username"],
        password_file=options["password_file"],
        ca_file=options["ca_file"],
        cert_file=options["cert_file"],
        key_file=options["key_file"],
    )
    topics = Topics(options["root"])
    data: Path = options["data"]
    data.mkdir(parents=True, exist_ok=True)
    renderers = load_renderers()
    charts, packages = _stores(data / "charts", options)

    def connection(orchestrator: Orchestrator) -> MqttBus:
        return MqttBus(
            settings,
            client_id("orchestrator", options["id"]),
            on_event=orchestrator.receive,
            subscriptions=[(topics.filter(channel), 1) for channel in SUBSCRIBED],
            epoch=lambda: orchestrator.epoch,
            will=lambda epoch: orchestrator.presence(epoch, online=False),
            subscribe_again_seconds=SUBSCRIBE_AGAIN_SECONDS,
            max_packet_bytes=options["max_packet"],
        )

    return Orchestrator(
        topics=topics,
        store=SqlStore(sqlite_url(data)),
        renderers=ThreadedRenderPool(renderers, charts, packages, options["max_packet"] - _HEADROOM),
        clock=SystemClock(),
        bus=connection,
        offers=renderers.offers,
        max_payload_bytes=options["max_packet"] - _HEADROOM,
        version=__version__,
    )


def _stores(cache: Path, options: Mapping[str, Any]) -> tuple[ChartStore, PackageStore]:
    credentials, authorities = options["registry_config"], options["registry_ca_file"]
    try:
        charts = ChartStore(
            cache,
            local_root=options["charts"],
            credentials_file=credentials,
            ca_file=authorities,
            keyring=options["chart_keyring"],
        )
        return charts, PackageStore(cache, credentials_file=credentials, ca_file=authorities)
    except OSError as error:
        raise ValueError(f"--registry-ca-file {authorities}: {error}; it must hold certificates in PEM") from error
