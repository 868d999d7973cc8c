"""The kinds that drive controllers in a cluster, as CustomResourceDefinitions for the tests' API server.

Written from the API types of the controllers (Flux 2: ``helm.toolkit.fluxcd.io/v2`` and
``source.toolkit.fluxcd.io/v1``; k3s-io/helm-controller: ``helm.cattle.io/v1``; Argo CD: ``argoproj.io/v1alpha1``):
the fields that are rendered and some beside them, with their patterns and limits. The API server prunes what a schema has not, so a field that is
misspelt or in the wrong place disappears, and the tests see it.
"""

from __future__ import annotations

from typing import Any

from topics.documents.base import JsonObject

Schema = dict[str, Any]

_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
_SHORT_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m))+$"
_ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _text(**more: object) -> Schema:
    return {"type": "string", **more}


def _one_of(*values: str) -> Schema:
    return _text(enum=list(values))


_BOOLEAN: Schema = {"type": "boolean"}
_INTEGER: Schema = {"type": "integer"}
_NAMED = _object(("name",), name=_text())
_STATUS: Schema = {"type": "object", **_ANY}


def _flux_action(*more: str) -> Schema:
    return _object(
        crds=_one_of("Skip", "Create", "CreateReplace"),
        disableWait=_BOOLEAN,
        disableWaitForJobs=_BOOLEAN,
        remediation=_object(retries=_INTEGER, remediateLastFailure=_BOOLEAN, ignoreTestFailures=_BOOLEAN),
        timeout=_text(pattern=_DURATION),
        **dict.fromkeys(more, _BOOLEAN),
    )


_TARGET = _object(**{
    name: _text()
    for name in ("annotationSelector", "group", "kind", "labelSelector", "name", "namespace", "version")
})  # fmt: skip

HELM_RELEASE = _object(
    ("interval",),
    interval=_text(pattern=_DURATION),
    timeout=_text(pattern=_DURATION),
    releaseName=_text(minLength=1, maxLength=53),
    targetNamespace=_text(minLength=1, maxLength=63),
    storageNamespace=_text(minLength=1, maxLength=63),
    chartRef=_object(
        ("kind", "name"), apiVersion=_text(), kind=_one_of("OCIRepository", "HelmChart", "ExternalArtifact"),
        name=_text(minLength=1, maxLength=253), namespace=_text(maxLength=63),
    ),
    chart=_object(
        ("spec",),
        spec=_object(
            ("chart", "sourceRef"), chart=_text(minLength=1, maxLength=2048), version=_text(),
            interval=_text(pattern=_DURATION),
            sourceRef=_object(
                ("kind", "name"), kind=_one_of("HelmRepository", "GitRepository", "Bucket"),
                name=_text(minLength=1, maxLength=253), namespace=_text(maxLength=63),
            ),
        ),
    ),
    install=_flux_action("createNamespace", "replace", "disableHooks"),
    upgrade=_flux_action("cleanupOnFail", "force", "preserveValues", "disableHooks"),
    driftDetection=_object(mode=_one_of("enabled", "warn", "disabled")),
    postRenderers=_list(
        _object(kustomize=_object(patches=_list(_object(("patch",), patch=_text(), target=_TARGET))))
    ),
    values=_ANY,
)  # fmt: skip

OCI_REPOSITORY = _object(
    ("interval", "url"),
    interval=_text(pattern=_DURATION),
    timeout=_text(pattern=_SHORT_DURATION),
    url=_text(pattern="^oci://.*$"),
    ref=_object(digest=_text(), semver=_text(), semverFilter=_text(), tag=_text()),
    layerSelector=_object(mediaType=_text(), operation=_one_of("extract", "copy")),
    insecure=_BOOLEAN,
    secretRef=_NAMED,
)

HELM_REPOSITORY = _object(
    ("url",),
    interval=_text(pattern=_DURATION),
    url=_text(pattern="^(http|https|oci)://.*$"),
    type=_one_of("default", "oci"),
    secretRef=_NAMED,
)

HELM_CHART = _object(
    **{name: _text() for name in ("targetNamespace", "chart", "version", "repo", "valuesContent", "chartContent",
                                  "helmVersion", "jobImage", "timeout")},
    **dict.fromkeys(("createNamespace", "bootstrap", "insecureSkipTLSVerify", "plainHTTP"), _BOOLEAN),
    failurePolicy=_one_of("abort", "reinstall"),
    authSecret=_object(name=_text()),
    dockerRegistrySecret=_object(name=_text()),
)  # fmt: skip

APPLICATION = _object(
    ("destination", "project"),
    project=_text(),
    source=_object(
        ("repoURL",), repoURL=_text(), chart=_text(), targetRevision=_text(), path=_text(),
        helm=_object(releaseName=_text(), valuesObject={"type": "object", **_ANY}, values=_text()),
    ),
    destination=_object(server=_text(), name=_text(), namespace=_text()),
    syncPolicy=_object(
        automated=_object(prune=_BOOLEAN, selfHeal=_BOOLEAN, allowEmpty=_BOOLEAN),
        retry=_object(
            limit={"type": "integer", "format": "int64"},
            backoff=_object(duration=_text(), factor={"type": "integer", "format": "int64"}, maxDuration=_text()),
        ),
        syncOptions=_list(_text()),
    ),
)  # fmt: skip


def _definition(group: str, version: str, kind: str, plural: str, spec: Schema) -> JsonObject:
    # Argo CD's Application has no status subresource; the others have one.
    subresources = {} if kind == "Application" else {"subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _object(spec=spec, status=_STATUS)},
                    **subresources,
                }
            ],
        },
    }


DEFINITIONS: tuple[JsonObject, ...] = (
    _definition("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases", HELM_RELEASE),
    _definition("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories", OCI_REPOSITORY),
    _definition("source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories", HELM_REPOSITORY),
    _definition("helm.cattle.io", "v1", "HelmChart", "helmcharts", HELM_CHART),
    _definition("argoproj.io", "v1alpha1", "Application", "applications", APPLICATION),
)
