"""Fixtures and rules for every test: real brokers, honest skips, no leaked threads."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.brokers import KINDS, Broker, MosquittoBroker, NatsBroker
from tests.support.cluster import ControlPlane
from tests.support.cluster_kubelet import Kubelet

# A shell starts what it puts into the background with SIGINT ignored, and programs hand that on to those they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a machine is, no test can know: that an example took long, or drawing it, is no failure.
settings.register_profile("fleetbus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fleetbus")

_IN_CI = os.environ.get("CI", "").lower() == "true"


@pytest.fixture(params=list(KINDS))
def broker_kind(request: pytest.FixtureRequest) -> str:
    """``mosquitto``, then ``nats``; skipped with the reason where it is not installed."""
    kind = str(request.param)
    missing = KINDS[kind].missing()
    if missing:
        pytest.skip(missing)
    return kind


@pytest.fixture
def broker(broker_kind: str, tmp_path: Path) -> Iterator[Broker]:
    """A running, empty broker of each kind, for one test alone."""
    with KINDS[broker_kind](tmp_path / "broker") as started:
        yield started


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[MosquittoBroker]:
    """A running, empty Mosquitto, for what only Mosquitto does."""
    if missing := MosquittoBroker.missing():
        pytest.skip(missing)
    with MosquittoBroker(tmp_path / "mosquitto") as started:
        yield started


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsBroker]:
    """A running, empty NATS server, for what only the embedded broker does."""
    if missing := NatsBroker.missing():
        pytest.skip(missing)
    with NatsBroker(tmp_path / "nats") as started:
        yield started


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real Kubernetes control plane for all tests of a worker, started when the first one asks for it."""
    if missing := ControlPlane.missing():
        pytest.skip(missing)
    with ControlPlane(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def kubelet(cluster: ControlPlane) -> Iterator[Kubelet]:
    """What makes pods of ``cluster`` run, for the module's time."""
    with Kubelet(cluster.api) as playing:
        yield playing


@pytest.fixture(autouse=True, scope="module")
def no_leaked_threads() -> Iterator[None]:
    """Fail a module that leaves a thread behind which keeps the process alive or serves an MQTT client."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5.0
    while leaked := [thread for thread in threading.enumerate() if thread not in before and _must_end(thread)]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {', '.join(thread.name for thread in leaked)}")
        leaked[0].join(0.1)


def _must_end(thread: threading.Thread) -> bool:
    # paho's network threads are daemons; one that is left still means a client nobody closed. The test
    # runner's own are pytest-xdist's (execnet) and pytest-timeout's, which runs until after this check.
    runner = thread.name.startswith(("execnet", "pytest_timeout"))
    return thread.name.startswith("paho") or not (thread.daemon or runner)


def pytest_configure(config: pytest.Config) -> None:
    """Show the reason of each skip in the summary, whatever options the run has."""
    if "s" not in config.option.reportchars and "S" not in config.option.reportchars:
        config.option.reportchars += "s"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``CI=true`` a skipped test is a failed one: what CI cannot run is not tested."""
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which fails with CI=true: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself while it is imported."""
    report = yield
    if _IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, which fails with CI=true: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
