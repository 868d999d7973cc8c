"""Hands the journal's outbox to the broker, a window at a time, and forgets what was delivered."""

from __future__ import annotations

from edge_agent.ports import Journal
from topics.errors import ContractError
from topics.program.logs import EventLog
from topics.transport.port import Bus

WINDOW = 200
"""Messages on their way at a time: enough for the link, few enough for a small device's memory."""


class OutboxPump:
    """Messages go out once, in the order of their numbers: the bus keeps those on their way over a
    reconnect, and a replaced retained message has a new number. After a restart all go out again."""

    def __init__(self, journal: Journal, bus: Bus, log: EventLog) -> None:
        self._journal = journal
        self._bus = bus
        self._log = log
        self._sent = 0
        self._on_their_way: set[int] = set()
        self._delivered: list[int] = []
        self._may_be_more = True

    @property
    def delivered(self) -> int:
        """How many delivered messages the journal still has."""
        return len(self._delivered)

    def wake(self) -> None:
        """There are new messages in the journal."""
        self._may_be_more = True

    def confirm(self, number: int) -> None:
        """The broker has the message (numbers that are not of the outbox change nothing)."""
        if number in self._on_their_way:
            self._on_their_way.discard(number)
            self._delivered.append(number)

    def take_delivered(self) -> list[int]:
        """The delivered messages, to be deleted by the next transaction."""
        taken, self._delivered = self._delivered, []
        return taken

    def pump(self) -> bool:
        """Publish what the window allows; whether anything was."""
        room = WINDOW - len(self._on_their_way)
        if not self._may_be_more or room <= 0 or not self._bus.connected:
            return False
        rows = self._journal.outbox(self._sent, room)
        self._may_be_more = len(rows) == room
        for row in rows:
            self._sent = row.number
            self._on_their_way.add(row.number)
            try:
                self._bus.publish(row.topic, row.payload, qos=1, retain=row.retain, token=row.number)
            except ContractError as error:
                # No retry would ever succeed, and everything behind it would wait.
                self._log.error("message dropped", topic=row.topic, reason=str(error))
                self.confirm(row.number)
        return bool(rows)
