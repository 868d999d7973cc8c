"""Sends the outbox: in order, a bounded number under way, each message until the broker has it."""

from __future__ import annotations

from orchestrator.ports import Outgoing, Store
from topics.errors import ContractError
from topics.program.logs import EventLog
from topics.transport.port import Bus

WINDOW = 1_000
"""Most messages that wait for their PUBACK at a time."""

REPEATED_AFTER_RECONNECT = 1_000
"""How many of the newest retained messages are sent again when a session is resumed: a broker that was
killed may have lost what it acknowledged since its last save (measured for Mosquitto)."""

_LOG = EventLog("fleetbus.orchestrator.sender")


class Sender:
    """The way from the store's outbox to the bus. Called from the deciding thread only."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._cursor = 0
        self._more = True
        # What is sent again has its own place: up to ``_again_until``, and behind everything that is new.
        self._again = self._again_until = 0
        self._under_way: set[int] = set()

    def news(self) -> None:
        """Something new stands in the outbox."""
        self._more = True

    def repeat(self, *, everything: bool) -> None:
        """Send retained messages again, after the broker lost all (or perhaps the newest) of them."""
        self._store.send_again(newest=None if everything else REPEATED_AFTER_RECONNECT)
        self.rewind()

    def rewind(self) -> None:
        """Look at the whole outbox again. New messages overtake it: a spec's answer does not wait until ten
        thousand manifests are repeated. No order is lost, for of a topic there is only the newest message."""
        self._cursor = self._again_until = self._store.newest()
        self._again = 0

    def delivered(self, token: int) -> None:
        self._under_way.discard(token)

    def pump(self) -> list[int]:
        """Hand over what the window allows. Returns messages that can never be sent, as if delivered."""
        hopeless: list[int] = []
        while self._bus.connected and len(self._under_way) < WINDOW and (batch := self._next()):
            for item in batch:
                if item.seq in self._under_way:
                    continue
                try:
                    self._bus.publish(item.topic, item.payload, qos=1, retain=item.retain, token=item.seq)
                except ContractError as error:
                    _LOG.error("message cannot be sent", topic=item.topic, why=str(error))
                    hopeless.append(item.seq)
                else:
                    self._under_way.add(item.seq)
        return hopeless

    def _next(self) -> list[Outgoing]:
        """What is new, else what is sent again, as far as the window allows; empty if that is all."""
        room = WINDOW - len(self._under_way)
        if self._more:
            batch = self._store.to_send(self._cursor, room)
            if batch:
                self._cursor = batch[-1].seq
                return batch
            self._more = False
        batch = self._store.to_send(self._again, room) if self._again < self._again_until else []
        self._again = batch[-1].seq if batch else self._again_until
        return [item for item in batch if item.seq <= self._again_until]
