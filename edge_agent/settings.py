"""Who the agent is and how often it does what."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.deliberation import Policy
from topics.documents.device import HEARTBEAT_SECONDS

PROBE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an ``AgentService`` is told of the device and of its own pace."""

    device: str
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    probe_seconds: float = PROBE_SECONDS
    policy: Policy = field(default_factory=Policy)
