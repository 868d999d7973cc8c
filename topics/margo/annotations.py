"""The annotations by which a native spec remembers the Margo document that it was.

They are no part of what makes a generation, and statuses are written from them.
"""

from __future__ import annotations

from topics.margo.package.making import APPLICATION

__all__ = ["APPLICATION", "DEPLOYMENT", "DEVICES", "NAME"]

DEPLOYMENT = "margo.org/deployment-id"
"""The document's id: ``deploymentId`` of its statuses."""

NAME = "margo.org/deployment-name"
"""The document's ``metadata.name``, which need not be the deployment's name here: ``source`` of its errors."""

DEVICES = "fleetbus/devices"
"""In a Margo document that names no device: those it is for, ids or paths with commas between them."""
