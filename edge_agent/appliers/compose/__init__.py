"""The applier for Compose projects: an engine (Docker, Podman) and its Compose on the device."""

from edge_agent.appliers.compose.applier import ComposeApplier

__all__ = ["ComposeApplier"]
