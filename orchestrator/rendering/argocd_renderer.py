"""Renders Helm components for Argo CD: an ``Application`` in the cluster namespace.

The namespace must be one that Argo CD watches: its own (``argocd``), or one of those that its option for
applications in any namespace names. The agent waits until the application is synced and healthy
(``edge_agent/appliers/readiness/custom.py``).

Source of the fields: Argo CD's API types, ``argoproj.io/v1alpha1``; ``valuesObject`` needs Argo CD 2.8 or later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from orchestrator.charts.archive import ChartArchive
from orchestrator.rendering.chart_source import (
    Carried,
    FromRegistry,
    FromRepository,
    driver_name,
    not_deliverable,
    source_of,
)
from orchestrator.rendering.driven import chart_of, driving
from orchestrator.rendering.helm_renderer import release_name
from orchestrator.rendering.port import RenderContext, RenderError
from topics.documents.base import JsonObject
from topics.documents.manifest import ManifestComponent
from topics.documents.spec import Component, HelmChart

_FINALIZER = "resources-finalizer.argocd.argoproj.io"
"""Lets Argo CD delete what it applied before the Application itself goes."""

_IN_CLUSTER = "https://kubernetes.default.svc"


class ArgocdRenderer:
    """``Application`` of project ``default``, synced automatically.

    What a new version no longer has is pruned. With ``drift: heal`` Argo CD puts right what was changed; with
    ``report`` it shows ``OutOfSync``, and so does the deployment. Syncs that fail are tried again without an end:
    the agent's time-out decides.

    Argo CD cannot pin a chart by digest; it is asked for the exact version. Charts in a registry need the
    registry as a repository with ``enableOCI`` in Argo CD, which is also where its credentials are.

    Patches of the component change the ``Application``: Argo CD cannot patch what the chart renders to.
    """

    name: ClassVar[str] = "argocd"
    kinds: ClassVar[frozenset[str]] = frozenset({"helm"})
    manifest_type: ClassVar[str] = "kubernetes"
    depends_on_device: ClassVar[bool] = False

    def render(
        self, component: Component, context: RenderContext, charts: Mapping[str, ChartArchive]
    ) -> ManifestComponent:
        """See ``Renderer``."""
        body, archive = chart_of(component, charts)
        helm: dict[str, Any] = {"releaseName": release_name(component, context.deployment)}
        if body.values:
            helm["valuesObject"] = body.values
        application: JsonObject = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": driver_name(context, component.name), "finalizers": [_FINALIZER]},
            "spec": {
                "project": "default",
                "source": {**_source(body, archive), "helm": helm},
                "destination": {"server": _IN_CLUSTER, "namespace": context.workload_namespace},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": context.drift == "heal"},
                    "retry": {"limit": -1, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
                    "syncOptions": [f"CreateNamespace={'true' if context.create_namespace else 'false'}"],
                },
            },
        }
        return driving((application,), component, context, body, archive, patches=component.patches)


def _source(body: HelmChart, archive: ChartArchive) -> JsonObject:
    if body.pull_secret is not None:
        raise RenderError.because(
            "pull-secret-unsupported",
            "Argo CD takes credentials from its own repositories, not from a Secret that an Application names",
            path="helm.pullSecret",
            hint="register the repository with its credentials in Argo CD, and leave 'pullSecret' out",
        )
    place = source_of(body, archive)
    match place:
        case FromRegistry():
            path, _, name = place.repository.rpartition("/")
            return {"repoURL": path, "chart": name, "targetRevision": archive.version}
        case FromRepository():
            return {"repoURL": place.address, "chart": place.name, "targetRevision": place.version}
        case Carried():
            raise not_deliverable(
                "argocd",
                "cannot deliver a chart that lies on the orchestrator: Argo CD fetches charts itself",
                "push the chart to a registry or repository, or use the renderer 'helm', 'helm-release' or 'k3s'",
            )
        case _:
            raise not_deliverable(
                "argocd",
                "cannot deliver a chart behind a plain address: Argo CD knows repositories and registries",
                "write the repository's address in 'repository' and the chart's name in 'chart'",
            )
