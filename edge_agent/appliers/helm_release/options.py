"""The options of the helm-release applier, checked when the agent starts and not when it first deploys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.appliers.port import OptionError

_KNOWN = ("kubeconfig", "context", "staging", "helm", "chart-credentials")
_K3S = Path("/etc/rancher/k3s/k3s.yaml")


@dataclass(frozen=True, slots=True)
class HelmReleaseOptions:
    """How the cluster is reached, what plays Helm, and with what charts are fetched.

    - ``kubeconfig`` and ``context``; without a kubeconfig: KUBECONFIG, else the pod's service account, else k3s's;
    - ``staging``: a folder in the agent's data folder, where charts wait until they are installed;
    - ``helm``: a ``helm`` command (3.14 or later, or 4) to use; without it Helm's SDK, else the ``helm`` on the PATH;
    - ``chart_credentials``: a file in the form of Docker's ``config.json``, as ``helm registry login`` writes it.
    """

    staging: Path
    kubeconfig: Path | None = None
    context: str | None = None
    helm: Path | None = None
    chart_credentials: Path | None = None

    @classmethod
    def parse(cls, options: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> HelmReleaseOptions:
        """Read the options; raises ``OptionError`` for unknown, missing and unusable ones."""
        unknown = sorted(set(options) - set(_KNOWN))
        if unknown:
            raise OptionError(f"the helm-release applier has no option {unknown[0]!r}; it has {', '.join(_KNOWN)}")
        if not options.get("staging"):
            raise OptionError(
                "the helm-release applier needs the option 'staging': a folder in the agent's data folder"
            )
        helm = _path(options, "helm")
        if helm is not None and not os.access(helm, os.X_OK):
            raise OptionError(f"'helm' is {str(helm)!r}, which is no program that can be run")
        credentials = _path(options, "chart-credentials")
        if credentials is not None and not credentials.is_file():
            raise OptionError(f"'chart-credentials' is {str(credentials)!r}, which is no file")
        return cls(
            staging=Path(options["staging"]).absolute(),
            kubeconfig=_path(options, "kubeconfig") or _found(environment),
            context=options.get("context") or None,
            helm=helm,
            chart_credentials=credentials,
        )


def _path(options: Mapping[str, str], name: str) -> Path | None:
    value = options.get(name)
    return Path(value).absolute() if value else None


def _found(environment: Mapping[str, str]) -> Path | None:
    """The kubeconfig that nobody named; ``None`` in a pod. Never a person's: it names clusters elsewhere."""
    for name in filter(None, environment.get("KUBECONFIG", "").split(os.pathsep)):
        return Path(name).absolute()
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return None
    return _K3S if _K3S.exists() else None
