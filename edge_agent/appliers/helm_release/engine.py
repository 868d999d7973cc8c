"""The port between the applier and Helm, whatever plays it: what is asked, and how it is found."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_agent.appliers.helm_release.options import HelmReleaseOptions
from edge_agent.appliers.port import ApplyError, CancelCheck
from topics.documents.base import JsonObject
from topics.documents.release import HelmReleaseConfig

FIELD_MANAGER = "helm"
"""Under which Helm applies: the name of its program."""

HISTORY = 10
"""Revisions kept of each release; Helm's own default."""


@dataclass(frozen=True, slots=True)
class Login:
    """User and password for the server of a chart."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a release: an installation, an upgrade, or a rollback (``revision``)."""

    component: str
    release: str
    namespace: str
    create_namespace: bool
    values: JsonObject
    labels: Mapping[str, str]
    wait: bool
    atomic: bool
    seconds: float
    description: str = ""


class Helm(Protocol):
    """Helm. Every method raises ``ApplyError`` and ``Cancelled``."""

    def pull(self, chart: HelmReleaseConfig, folder: Path, cancelled: CancelCheck, *, component: str,
             login: Login | None, seconds: float) -> None: ...  # fmt: skip

    def install(self, change: Change, archive: Path, cancelled: CancelCheck) -> None: ...

    def upgrade(self, change: Change, archive: Path, cancelled: CancelCheck) -> None: ...

    def rollback(self, change: Change, revision: int, cancelled: CancelCheck) -> None: ...

    def uninstall(self, namespace: str, releases: Iterable[str], *, wait: bool, seconds: float,
                  cancelled: CancelCheck) -> None: ...  # fmt: skip


def find_helm(options: HelmReleaseOptions) -> Helm:
    """The command that was named, else the SDK, else the ``helm`` on the PATH.

    Raises ``ApplyError`` (``helm-missing``) where there is none of them.
    """
    # Both import what only they need.
    if options.helm is None and importlib.util.find_spec("helm_python") is not None:
        from edge_agent.appliers.helm_release.sdk import SdkHelm

        return SdkHelm(options)
    from edge_agent.appliers.helm_release.command import CommandHelm

    found = str(options.helm) if options.helm is not None else shutil.which("helm")
    if found is None:
        raise ApplyError(
            "helm-missing",
            "this device has no Helm: neither the package helm-python-sdk nor a helm command; install one of them "
            "(pip install 'fleetbus[helm]'), or name a command with the applier option helm",
            retryable=False,
        )
    return CommandHelm(options, found)
