"""The operator's file on the disk, read anew with every measurement. Imported only where there is one."""

from __future__ import annotations

from pathlib import Path

from edge_agent.capabilities_file import CapabilitiesFileError, CapabilitiesOverlay, read_overlay
from topics.documents.device import Capabilities
from topics.program.logs import EventLog


class OperatorsFile:
    """The operator's file: read when the agent starts, and again at every measurement."""

    def __init__(self, path: Path, device: str, log: EventLog) -> None:
        """Raises ``CapabilitiesFileError``: a wrong file is noticed when the agent is started."""
        self._path = path
        self._device = device
        self._log = log
        self._content: bytes | None
        self._content, self._overlay = read_overlay(path, device)

    def correct(self, measured: Capabilities) -> Capabilities:
        """The measured capabilities with what the file says now."""
        return self.overlay().applied_to(measured)

    def overlay(self) -> CapabilitiesOverlay:
        """What the file says now; if it cannot be read now, what it last said."""
        try:
            content, overlay = read_overlay(self._path, self._device)
        except CapabilitiesFileError as error:
            if self._content is not None:
                self._log.error("the capabilities file is not taken, what it said before stays", reason=str(error))
            self._content = None
            return self._overlay
        if content != self._content:
            self._log.info("the capabilities file is read", file=str(self._path))
        self._content, self._overlay = content, overlay
        return overlay
