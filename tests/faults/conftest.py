"""Brokers and sites of the fault tests: quick redelivery, everything real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import KINDS, MosquittoBroker, NatsBroker
from tests.support.processes import Site

ACK_WAIT_SECONDS = 2.0
"""After how long NATS delivers again what was not acknowledged; 30 s in production."""


def _broker(kind: str, folder: Path) -> MosquittoBroker | NatsBroker:
    if missing := KINDS[kind].missing():
        pytest.skip(missing)
    return NatsBroker(folder, ack_wait_seconds=ACK_WAIT_SECONDS) if kind == "nats" else MosquittoBroker(folder)


@pytest.fixture(params=list(KINDS))
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A broker of each kind and a site on it for one test alone; no program of ours runs yet."""
    with _broker(str(request.param), tmp_path / "broker") as broker, Site(broker, tmp_path) as started:
        yield started


@pytest.fixture(scope="module", params=list(KINDS))
def shared_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker of each kind with a running orchestrator, for tests that break only their own device."""
    folder = tmp_path_factory.mktemp("site")
    with _broker(str(request.param), folder / "broker") as broker, Site(broker, folder) as started:
        yield started.start()
