"""Documents of the Margo standard, read into and written from the native ones. Pure.

``read_deployment`` and ``read_capabilities`` read, ``capabilities_manifest`` and ``status_manifest`` write;
``package`` is for application packages. ``docs/margo.md`` says what is taken and what is tolerated.
"""

from topics.margo.annotations import APPLICATION, DEPLOYMENT, DEVICES, NAME
from topics.margo.capabilities import read_capabilities
from topics.margo.capabilities_manifest import capabilities_manifest
from topics.margo.deployment import read_deployment
from topics.margo.kinds import MargoKind, margo_kind
from topics.margo.status import MARGO_STATE, is_margo, status_manifest

__all__ = [
    "APPLICATION",
    "DEPLOYMENT",
    "DEVICES",
    "MARGO_STATE",
    "NAME",
    "MargoKind",
    "capabilities_manifest",
    "is_margo",
    "margo_kind",
    "read_capabilities",
    "read_deployment",
    "status_manifest",
]
