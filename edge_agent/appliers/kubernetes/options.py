"""The options of the Kubernetes applier, checked when the agent starts and not when it first deploys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.appliers.port import OptionError
from topics.documents.spec import DEFAULT_CLUSTER_NAMESPACE
from topics.identifiers import check_dns_label

_KNOWN = (
    "kubeconfig",
    "context",
    "namespace",
    "field-manager",
    "force-conflicts",
    "request-timeout",
    "initialization-timeout",
    "removal-timeout",
    "staging",
)
_MANAGER_NAME = "fleetbus"
_REQUEST_SECONDS = 15.0
_INITIALIZATION_SECONDS = 300.0
_REMOVAL_SECONDS = 120.0
_MANAGER = re.compile(r"[!-~]{1,128}\Z")
"""A field manager's name: printable, up to 128 characters (``fieldManager`` in the API's own validation)."""


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """How the cluster is reached, and what the applier may do there.

    - ``kubeconfig`` and ``context``; without a kubeconfig: the pod's service account, else KUBECONFIG, else k3s's;
    - ``namespace``: where the agent looks for its inventories first;
    - ``field_manager``: the name under which fields are owned;
    - ``force_conflicts``: take fields that another server-side applier has declared;
    - ``request_timeout``: seconds for one request; ``initialization_timeout``: for one job of the initialization;
      ``removal_timeout``: for what is being deleted to be gone, before the removal fails and is tried again.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = DEFAULT_CLUSTER_NAMESPACE
    field_manager: str = _MANAGER_NAME
    force_conflicts: bool = False
    request_timeout: float = _REQUEST_SECONDS
    initialization_timeout: float = _INITIALIZATION_SECONDS
    removal_timeout: float = _REMOVAL_SECONDS

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> KubernetesOptions:
        """Read the options; raises ``OptionError`` for unknown and unusable ones. ``staging`` is not needed here."""
        unknown = sorted(set(options) - set(_KNOWN))
        if unknown:
            raise OptionError(f"the kubernetes applier has no option {unknown[0]!r}; it has {', '.join(_KNOWN)}")
        namespace = options.get("namespace") or DEFAULT_CLUSTER_NAMESPACE
        try:
            check_dns_label(namespace)
        except ValueError as error:
            raise OptionError(f"'namespace': {error}") from error
        manager = options.get("field-manager") or _MANAGER_NAME
        if not _MANAGER.match(manager):
            raise OptionError(
                f"'field-manager' is {manager[:60]!r}, but it is 1 to 128 printable characters, no spaces"
            )
        kubeconfig = options.get("kubeconfig")
        return cls(
            kubeconfig=Path(kubeconfig).absolute() if kubeconfig else None,
            context=options.get("context") or None,
            namespace=namespace,
            field_manager=manager,
            force_conflicts=_boolean(options, "force-conflicts"),
            request_timeout=_seconds(options, "request-timeout", _REQUEST_SECONDS),
            initialization_timeout=_seconds(options, "initialization-timeout", _INITIALIZATION_SECONDS),
            removal_timeout=_seconds(options, "removal-timeout", _REMOVAL_SECONDS),
        )


def _boolean(options: Mapping[str, str], name: str) -> bool:
    value = options.get(name, "false")
    if value not in ("true", "false"):
        raise OptionError(f"{name!r} is {value[:60]!r}, but it is 'true' or 'false'")
    return value == "true"


def _seconds(options: Mapping[str, str], name: str, default: float) -> float:
    value = options.get(name, str(default))
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0.1 <= seconds <= 86_400:
        raise OptionError(f"{name!r} is {value[:60]!r}, but it is a number of seconds from 0.1 to 86400")
    return seconds
