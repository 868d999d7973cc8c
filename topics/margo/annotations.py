"""The annotations by which a native spec remembers the Margo document or package that it was.

They are no part of what makes a generation, and statuses are written from them.
"""

from __future__ import annotations

import re
import uuid

APPLICATION = "margo.org/application-id"
"""The id of the application that it is a deployment of."""

DEPLOYMENT = "margo.org/deployment-id"
"""The deployment's id, a UUID: ``deploymentId`` of its statuses. A Margo document brings its own, a package has none."""

NAME = "margo.org/deployment-name"
"""The document's ``metadata.name``, which need not be the deployment's name here: ``source`` of its errors."""

DEVICES = "fleetbus/devices"
"""In a Margo document that names no device: those it is for, ids or paths with commas between them."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def is_deployment_id(text: str) -> bool:
    """Whether it is a UUID in its usual form."""
    return _UUID.match(text) is not None


def deployment_id(application: str, name: str) -> str:
    """The id of a package's deployment: the same whenever and wherever it is made of the same application's id and
    the same name. A UUID of version 5 (RFC 9562) of a URI, so that anyone can make it again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"fleetbus:deployment/{application}/{name}"))
