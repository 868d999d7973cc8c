"""The generated access rules on a real Mosquitto: every role tries to write and read every channel.

Return codes prove nothing here: Mosquitto acknowledges a forbidden publish and drops it, and grants a
forbidden subscription and filters the delivery. So each test looks at what arrives, and a message sent
after the attempt marks the point at which it must have arrived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.brokers import MOSQUITTO_SETTINGS, MosquittoBroker
from tests.support.mqtt_client import PlainClient, RefusedError
from topics.acl import DEFAULT_USERS, may_read, may_write, mosquitto_acl
from topics.channels import MANIFEST, PRESENCE, RESULT, TABLE, Channel, Role, Topics

TOPICS = Topics()
DEVICE = "edge-01"
OTHER_DEVICE = "edge-02"
OBSERVER = "_observer"  # sees and writes all: the tests' eye and hand
USERS = {role: names[0] for role, names in DEFAULT_USERS.items()} | {Role.AGENT: DEVICE}
ROLE_USERS = [user for role, user in USERS.items() if role is not Role.AGENT]
_numbers = count()

EVERY_CASE = [
    pytest.param(role, channel, device, id=f"{role}-{channel.name}" + ("-other" if device == OTHER_DEVICE else ""))
    for role in Role
    for channel in TABLE
    for device in ((DEVICE, OTHER_DEVICE) if "{device}" in channel.levels else (DEVICE,))
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Mosquitto with the generated rules, one password user for each role, and the observer."""
    if missing := MosquittoBroker.missing():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("acl")
    (folder / "acl").write_text(mosquitto_acl() + f"\nuser {OBSERVER}\ntopic readwrite #\n")
    _write_passwords(folder / "passwords", [*USERS.values(), OTHER_DEVICE, OBSERVER])
    configuration = [
        MOSQUITTO_SETTINGS,
        "listener {port} 127.0.0.1",
        "persistence_location {data}/",
        "allow_anonymous false",
        f"password_file {folder}/passwords",
        f"acl_file {folder}/acl",
        *(["user root"] if os.geteuid() == 0 else []),
    ]
    with MosquittoBroker(folder, configuration="\n".join(configuration) + "\n") as broker:
        yield broker.url


@pytest.fixture
def observer(url: str) -> Iterator[PlainClient]:
    """A client that sees every message below the root."""
    with _client(url, OBSERVER) as client:
        client.subscribe(f"{TOPICS.root}/#")
        yield client


@pytest.mark.parametrize(("role", "channel", "device"), EVERY_CASE)
def test_a_publish_reaches_others_only_if_the_table_allows_it(
    role: Role, channel: Channel, device: str, url: str, observer: PlainClient
) -> None:
    """A role writes what the table says, an agent only below its own device."""
    allowed = may_write(role, channel) and (role is not Role.AGENT or device == DEVICE)
    with _client(url, USERS[role]) as client:
        assert _write_arrives(client, _topic(channel, device), observer) == allowed


@pytest.mark.parametrize(("role", "channel", "device"), EVERY_CASE)
def test_a_subscription_delivers_only_what_the_table_allows(
    role: Role, channel: Channel, device: str, url: str, observer: PlainClient
) -> None:
    """A role reads what the table says, an agent only of its own device; retained or live, by any filter."""
    allowed = may_read(role, channel) and (role is not Role.AGENT or device == DEVICE)
    topic = _topic(channel, device)
    for topic_filter in (topic, TOPICS.filter(channel), f"{TOPICS.root}/#", "#"):
        retained, live = _payload(), _payload()
        observer.publish(topic, retained, retain=True)
        with _client(url, USERS[role]) as client:
            client.subscribe(topic_filter)
            observer.publish(topic, live)
            _wait_for_everything_sent_before(client, role, observer)
            assert (retained in client.payloads, live in client.payloads) == (allowed, allowed), topic_filter
        observer.publish(topic, b"", retain=True)


@pytest.mark.parametrize("user", ROLE_USERS)
@pytest.mark.parametrize(
    "channel", [row for row in TABLE if row.pattern.startswith("devices/{device}/")], ids=lambda row: row.name
)
def test_the_rules_for_devices_give_no_other_user_a_branch_of_its_own(
    user: str, channel: Channel, url: str, observer: PlainClient
) -> None:
    """Patterns hold for every user: a dashboard must not become device ``_dashboard`` by them."""
    topic = f"{TOPICS.root}/{channel.pattern.format(device=user, deployment='app')}"
    with _client(url, user) as client:
        assert not _write_arrives(client, topic, observer)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    "topic",
    [
        "elsewhere",
        "$SYS/broker/x",
        TOPICS.root,
        f"{TOPICS.root}/devices/{DEVICE}",
        f"{TOPICS.root}/devices/{DEVICE}/other",
        f"{TOPICS.root}/devices/{DEVICE}/status",
        f"{TOPICS.root}/devices/{DEVICE}/status/app/deeper",
        f"{TOPICS.root}/specs/app/other",
        f"{TOPICS.root}/orchestrator/other",
    ],
)
def test_nobody_writes_a_topic_that_is_not_in_the_table(role: Role, topic: str, url: str) -> None:
    """Everything the rules do not grant is denied, beside and below the table's topics, too."""
    with _client(url, OBSERVER) as observer, _client(url, USERS[role]) as client:
        observer.subscribe("#")
        observer.subscribe("$SYS/broker/x")
        assert not _write_arrives(client, topic, observer)


def test_a_will_on_a_forbidden_topic_is_not_published(url: str, observer: PlainClient) -> None:
    """A device cannot speak for another one by vanishing."""
    payloads = []
    for device in (OTHER_DEVICE, DEVICE):
        payloads.append(_payload())
        client = _client(url, DEVICE, will=(_topic(PRESENCE, device), payloads[-1]))
        client.connect()
        client.vanish()
    forbidden, allowed = payloads
    observer.wait_for(allowed)
    assert forbidden not in observer.payloads


def test_an_unknown_user_and_a_wrong_password_are_refused(url: str) -> None:
    """The rules rest on the user name: nobody gets one without its password."""
    for username, password in ((None, None), ("edge-99", "edge-99"), (DEVICE, "wrong")):
        with pytest.raises(RefusedError, match=r"(?i)not auth"):
            PlainClient(url, "x", username=username, password=password).connect()


def _write_passwords(file: Path, users: list[str]) -> None:
    """A password file in which each user's password is the user's name."""
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed (tests/setup/debian-packages.sh installs it)")
    file.write_text("".join(f"{user}:{user}\n" for user in users))
    file.chmod(0o600)
    subprocess.run([tool, "-U", str(file)], check=True)


def _client(url: str, user: str, *, will: tuple[str, bytes] | None = None) -> PlainClient:
    return PlainClient(url, f"{user}-{next(_numbers)}", username=user, password=user, will=will)


def _payload() -> bytes:
    return f"message {next(_numbers)}".encode()


def _topic(channel: Channel, device: str) -> str:
    return TOPICS.topic(channel, device=device, deployment="app")


def _write_arrives(client: PlainClient, topic: str, observer: PlainClient) -> bool:
    """Whether the observer receives what the client publishes, live."""
    payload, marker = _payload(), _payload()
    client.publish(topic, payload)  # acknowledged: the broker has dealt with it, either way
    observer.publish(f"{TOPICS.root}/marker", marker)
    observer.wait_for(marker)
    return payload in observer.payloads


def _wait_for_everything_sent_before(client: PlainClient, role: Role, observer: PlainClient) -> None:
    """Deliver a message that the role may read; the broker sends it after all that came before."""
    readable = _topic(MANIFEST, DEVICE) if role is Role.AGENT else _topic(RESULT, DEVICE)
    if role is Role.ORCHESTRATOR:
        readable = f"{TOPICS.root}/deployments/marker/commands"
    marker = _payload()
    client.subscribe(readable)
    observer.publish(readable, marker)
    client.wait_for(marker)
