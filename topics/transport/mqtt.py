"""The bus over MQTT 3.1.1, on paho. With ``paho_client`` the only module that imports paho.

What brokers were measured to do, and what this adapter does about it:

- a resumed session does not resend retained messages: every connect subscribes again;
- SUBACK can carry a failure while a cluster elects a leader: it is asked again;
- CONNACK, SUBACK or PUBACK may never come after a cluster node died: ``check`` closes a connection
  that owes an answer for too long, and paho sends everything unacknowledged again on the next;
- an acknowledgement of an older connection must not be sent on a newer one, where its packet id may
  belong to another message: each message knows its connection.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from topics.codec import MAX_PAYLOAD_BYTES
from topics.errors import ContractError
from topics.transport.paho_client import BatchingClient
from topics.transport.port import BusEvent, Connected, Delivered, Disconnected, Received
from topics.transport.settings import BrokerSettings
from topics.transport.watchdog import Patience, same_socket

KEEPALIVE_SECONDS = 30
ANSWER_SECONDS = 5.0
"""How long CONNACK, SUBACK or the oldest PUBACK may take before the connection is given up."""

SLOWEST_BYTES_PER_SECOND = 2_000
"""The slowest link that must still work (about 16 kbit/s): unacknowledged bytes extend the wait."""

RECONNECT_SECONDS = (1.0, 30.0)
"""First and longest wait before a reconnect; it doubles. Each client draws its own: one to three times the
first, half to all of the longest, so that a fleet does not come back to a broker in step."""

_FEWEST_FREE_PACKET_IDS = 1_000
_PACKET_OVERHEAD = 16
SUBSCRIBE_AGAIN_SECONDS = 1.0

Will = tuple[str, bytes]


class MqttBus:
    """A connection that comes back by itself, with manual acknowledgement.

    ``subscriptions`` are (filter, QoS) pairs, asked for on every connect. ``epoch`` is called before
    each connection attempt and numbers the session; ``will`` gives that session's will (topic,
    payload; retained, QoS 1). ``on_event`` is called on the network thread and may block: that is
    the back-pressure.

    ``subscribe_again_seconds`` repeats a new session's subscription once, that long after it was granted. NATS (2.15,
    measured) can lose a message that is published within the same milliseconds as a new subscription
    is made: it is neither among the retained ones nor delivered, until the topic is subscribed again.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        *,
        on_event: Callable[[BusEvent], None],
        subscriptions: Sequence[tuple[str, int]] = (),
        epoch: Callable[[], int] = lambda: 0,
        will: Callable[[int], Will] | None = None,
        clean_session: bool = False,
        subscribe_again_seconds: float | None = None,
        max_packet_bytes: int = MAX_PAYLOAD_BYTES,
        answer_seconds: float = ANSWER_SECONDS,
        reconnect_seconds: tuple[float, float] = RECONNECT_SECONDS,
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._tell = Patience(on_event)
        self._subscriptions = list(subscriptions)
        self._next_epoch = epoch
        self._will = will
        self._max_packet_bytes = max_packet_bytes
        self._answer_seconds = answer_seconds
        self._subscribe_again_seconds = subscribe_again_seconds
        self._reconnect_seconds = reconnect_seconds
        self._epoch = 0
        self._connection = 0
        self._connected = False
        self._session_present = False
        self._owed_since: float | None = None  # CONNACK or SUBACK
        self._subscribe_again_at: float | None = None
        self._lock = threading.Lock()
        # packet id -> token (None: QoS 0, nobody is told), bytes, since (patience); in the order of sending
        self._unacknowledged: dict[int, tuple[int | None, int, float]] = {}
        # Packet ids that were reported as sent before publish() had returned them.
        self._early: set[int] = set()
        self._last_packet_id = 0
        self._client = self._new_client(client_id, clean_session)

    def _new_client(self, client_id: str, clean_session: bool) -> BatchingClient:
        settings = self._settings
        client = BatchingClient(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean_session,
            protocol=mqtt.MQTTv311,
            transport="websockets" if settings.transport == "websockets" else "tcp",
            reconnect_on_failure=True,
            manual_ack=True,
        )
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls:
            client.tls_set(
                ca_certs=str(settings.ca_file) if settings.ca_file else None,
                certfile=str(settings.cert_file) if settings.cert_file else None,
                keyfile=str(settings.key_file) if settings.key_file else None,
            )
        if settings.transport == "websockets":
            client.ws_set_options(path=settings.path)
        # No limit of paho's: with one it walks through all that is under way at each PUBACK. Callers have a window.
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(0)
        # A fleet must not come back in step; paho doubles the delay from the shortest to the longest.
        shortest, longest = self._reconnect_seconds
        shortest, longest = shortest * random.uniform(1, 3), longest * random.uniform(0.5, 1)  # noqa: S311
        # paho declares whole seconds and computes with any.
        client.reconnect_delay_set(shortest, longest)  # type: ignore[arg-type]
        client.on_pre_connect = self._before_connect
        client.on_socket_open = self._opened
        client.on_connect = self._connected_or_refused
        client.on_connect_fail = self._connect_failed
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_unsubscribe = self._settled
        client.on_message = self._received
        client.on_publish = self._published
        return client

    # -- what a program asks ---------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the session and it has not ended since."""
        return self._connected

    def start(self) -> None:
        self._client.connect_async(self._settings.host, self._settings.port, keepalive=KEEPALIVE_SECONDS)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, token: int = 0) -> None:
        size = len(topic.encode()) + len(payload) + _PACKET_OVERHEAD
        if size > self._max_packet_bytes:
            raise ContractError.because(
                "oversize", f"the packet for {topic} has {size} bytes, the limit is {self._max_packet_bytes}"
            )
        if not qos and self._packet_ids_are_scarce():
            return
        # No lock is held over this call: paho holds its own while it reports a PUBACK to us.
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        attempts = 0
        while info.rc is mqtt.MQTT_ERR_QUEUE_SIZE and attempts < 0xFFFF:  # the id still belongs to an older message
            info = self._client.publish(topic, payload, qos=qos, retain=retain)
            attempts += 1
        if info.rc is mqtt.MQTT_ERR_QUEUE_SIZE:
            raise RuntimeError("65,535 messages wait for their acknowledgement: keep further ones until it comes")
        if not qos and info.rc is not mqtt.MQTT_ERR_SUCCESS:
            return  # there is no connection, and QoS 0 is not sent again
        with self._lock:
            self._last_packet_id = info.mid
            if info.mid not in self._early:
                self._unacknowledged[info.mid] = (token if qos else None, size, self._tell.now())
                return
            self._early.discard(info.mid)
        if qos:
            self._on_event(Delivered(token))

    def acknowledge(self, *messages: Received) -> None:
        connection = self._connection
        self._client.acknowledge(
            [message.packet_id for message in messages if message.qos and message.connection == connection]
        )

    def check(self) -> None:
        now = time.monotonic()
        if self._subscribe_again_at is not None and now >= self._subscribe_again_at:
            self._subscribe_again_at = None
            self._subscribe()
        patience = self._tell.now()
        if (self._owed_since is not None and patience - self._owed_since > self._answer_seconds) or (
            self._connected and self._puback_overdue(patience)
        ):
            self._give_up()

    def stop(self, farewell: Will | None = None) -> None:
        if farewell is not None and self._connected:
            info = self._client.publish(farewell[0], farewell[1], qos=1, retain=True)
            if info.rc is mqtt.MQTT_ERR_SUCCESS:  # otherwise the connection is gone, and the will speaks
                info.wait_for_publish(timeout=1.0)
        self._client.disconnect()
        self._client.loop_stop()

    # -- what happens, on paho's thread ----------------------------------------------------------

    def _before_connect(self, client: mqtt.Client, userdata: Any) -> None:
        self._connection += 1
        self._epoch = self._next_epoch()
        if self._will is not None:
            topic, payload = self._will(self._epoch)
            client.will_set(topic, payload, qos=1, retain=True)
        self._owed_since = self._tell.now()

    def _opened(self, client: Any, userdata: Any, connection: Any) -> None:
        self._owed_since = self._tell.now()  # name resolution and handshakes have their own limits
        with same_socket(connection) as plain:
            # An acknowledgement followed by a publish would otherwise wait 40 ms for the peer's delayed ACK.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _connected_or_refused(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._owed_since = None
        if reason.is_failure:
            self._tell(Disconnected(f"the broker refuses the connection: {reason}"))
            return
        with self._lock:  # QoS 0 is not sent again; for the rest the wait starts anew
            now = self._tell.now()
            self._unacknowledged = {
                packet_id: (token, size, now)
                for packet_id, (token, size, _) in self._unacknowledged.items()
                if token is not None
            }
        self._session_present = flags.session_present
        if self._subscriptions:
            self._subscribe()
        else:  # any answer will do, see _session_is_up
            self._owed_since = self._tell.now()
            client.unsubscribe("nothing")

    def _settled(self, client: Any, userdata: Any, packet_id: int, reasons: Any, properties: Any) -> None:
        self._owed_since = None
        if not self._connected:
            self._session_is_up()

    def _session_is_up(self) -> None:
        """Not before SUBACK: by then paho has sent what was unacknowledged again. A newer message on
        the same retained topic, published in between, would be overwritten by the older one."""
        self._connected = True
        self._tell(Connected(self._epoch, self._session_present))

    def _connect_failed(self, client: Any, userdata: Any) -> None:
        cause = sys.exception()  # paho calls from where it caught it: a refusal, a certificate, a name
        self._owed_since = None
        why = f": {cause}" if cause is not None else ""
        self._tell(Disconnected(f"{self._settings.url} does not answer{why}"))

    def _disconnected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connection += 1
        self._owed_since = None
        self._subscribe_again_at = None
        if self._connected:
            self._connected = False
            self._tell(Disconnected(str(reason)))

    def _subscribe(self) -> None:
        self._owed_since = self._tell.now()
        self._client.subscribe(self._subscriptions)

    def _subscribed(self, client: Any, userdata: Any, packet_id: int, reasons: Any, properties: Any) -> None:
        self._owed_since = None
        if any(reason.is_failure for reason in reasons):
            self._subscribe_again_at = time.monotonic() + SUBSCRIBE_AGAIN_SECONDS
        elif not self._connected:
            if self._subscribe_again_seconds is not None and not self._session_present:
                self._subscribe_again_at = time.monotonic() + self._subscribe_again_seconds
            self._session_is_up()

    def _received(self, client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._tell(
            Received(message.topic, bytes(message.payload), message.qos, message.retain, message.mid, self._connection)
        )

    def _published(self, client: Any, userdata: Any, packet_id: int, reason: Any, properties: Any) -> None:
        with self._lock:
            known = self._unacknowledged.pop(packet_id, None)
            if known is None:
                self._early.add(packet_id)
                return
        if known[0] is not None:
            self._tell(Delivered(known[0]))

    # -- the watchdog ----------------------------------------------------------------------------

    def _packet_ids_are_scarce(self) -> bool:
        """Whether the next packet ids may be in use: paho reports a QoS 0 message as sent by its id alone, which
        must not be taken for the acknowledgement of a QoS 1 message."""
        with self._lock:
            oldest = next(iter(self._unacknowledged), None)
        return oldest is not None and (oldest - self._last_packet_id - 1) % 0xFFFF < _FEWEST_FREE_PACKET_IDS

    def _puback_overdue(self, now: float) -> bool:
        with self._lock:
            waiting = [(since, size) for token, size, since in self._unacknowledged.values() if token is not None]
        if not waiting:
            return False
        allowed = self._answer_seconds + sum(size for _, size in waiting) / SLOWEST_BYTES_PER_SECOND
        return now - min(since for since, _ in waiting) > allowed

    def _give_up(self) -> None:
        self._owed_since = None
        connection = self._client.socket()
        if connection is not None:
            try:
                with same_socket(connection) as plain:
                    plain.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already, which is what was wanted
