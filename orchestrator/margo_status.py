"""The state of a deployment as Margo's own document, for specs that came as a Margo document. Pure."""

from __future__ import annotations

from orchestrator.decision import Context, Publication
from orchestrator.model import DeploymentRecord


def publication(context: Context, record: DeploymentRecord) -> Publication | None:
    return None
