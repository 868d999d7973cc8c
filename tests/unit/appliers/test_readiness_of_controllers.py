"""When the objects that drive a controller are ready: statuses as Flux, Argo CD and k3s write them."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.appliers.readiness import READY, readiness_of
from edge_agent.appliers.readiness.custom import Related, related
from topics.documents.base import JsonObject


def flux(kind: str = "HelmRelease", *, generation: int = 2, seen: int | None = 2, **conditions: str) -> JsonObject:
    """``Ready="True"`` and the like."""
    group = "helm.toolkit.fluxcd.io/v2" if kind == "HelmRelease" else "source.toolkit.fluxcd.io/v1"
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": "press.web", "generation": generation},
        "status": {
            **({"observedGeneration": seen} if seen is not None else {}),
            "conditions": [
                {
                    "type": name,
                    "status": status,
                    "reason": "Because",
                    "message": "of that",
                    "observedGeneration": seen or 0,
                }
                for name, status in conditions.items()
            ],
        },
    }


@pytest.mark.parametrize("kind", ["HelmRelease", "OCIRepository", "HelmRepository"])
def test_flux_object_is_ready_when_it_says_so_of_its_newest_generation(kind: str) -> None:
    """Not before the controller has looked, and not for what an older generation was."""
    assert readiness_of(flux(kind, Ready="True")) == READY
    for other in (flux(kind, seen=1, Ready="True"), flux(kind, seen=-1), flux(kind, seen=None), flux(kind)):
        answer = readiness_of(other)
        assert not answer.ready
        assert not answer.failed
        assert answer.message


def test_flux_object_without_any_status_is_not_ready() -> None:
    """Other kinds without a status are ready as soon as they are there; this one only waits for its controller."""
    untouched = flux()
    del untouched["status"]
    assert not readiness_of(untouched).ready


def test_flux_failure_is_tried_again_until_it_is_stalled() -> None:
    """``Ready=False`` alone is no end: with endless retries Flux goes on."""
    answer = readiness_of(flux(Ready="False"))
    assert (answer.ready, answer.failed) == (False, False)
    assert "of that" in answer.message
    stalled = readiness_of(flux(Ready="False", Stalled="True"))
    assert stalled.failed
    assert "given up" in stalled.message


SOURCE = {"repoURL": "https://charts.example", "chart": "web", "targetRevision": "1.2.3", "helm": {"releaseName": "w"}}


def application(*, sync: str = "Synced", health: str = "Healthy", compared: Any = SOURCE, **status: Any) -> JsonObject:
    """An Application of Argo CD with its status."""
    found = {"sync": {"status": sync, "comparedTo": {"source": compared}}, "health": {"status": health}, **status}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "press.web", "generation": 5},
        "spec": {"source": SOURCE},
        "status": found,
    }


def test_application_is_ready_when_synced_and_healthy() -> None:
    """Argo CD may have filled in more fields of the source."""
    assert readiness_of(application()) == READY
    assert readiness_of(application(compared={**SOURCE, "helm": {"releaseName": "w", "version": "v3"}})) == READY


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sync": "OutOfSync"}, "not synced: OutOfSync"),
        ({"health": "Progressing"}, "not healthy: Progressing"),
        ({"health": "Degraded"}, "not healthy: Degraded"),
        ({"compared": {**SOURCE, "targetRevision": "1.2.2"}}, "newest source"),
        ({"compared": None}, "newest source"),
        (
            {"sync": "OutOfSync", "operationState": {"phase": "Failed", "message": "no such kind"}},
            "Failed: no such kind",
        ),
        ({"sync": "Unknown", "conditions": [{"type": "ComparisonError", "message": "no such chart"}]}, "no such chart"),
    ],
)
def test_application_is_waited_for(given: dict[str, Any], said: str) -> None:
    """Out of sync, unhealthy, or compared with an older source: not yet, with what Argo CD says."""
    answer = readiness_of(application(**given))
    assert (answer.ready, answer.failed) == (False, False)
    assert said in answer.message


def test_application_that_argocd_refuses_is_failed() -> None:
    """And one that it has not seen is only waited for."""
    conditions = [{"type": "InvalidSpecError", "message": "project default does not exist"}]
    assert readiness_of(application(conditions=conditions)).failed
    unseen = {**application(), "status": {}}
    assert not readiness_of(unseen).ready
    assert not readiness_of(unseen).failed


def helm_chart(**status: Any) -> JsonObject:
    """A HelmChart of k3s."""
    metadata = {"name": "press-web", "namespace": "fleet", "generation": 1}
    return {"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": metadata, "status": status}


def test_k3s_chart_is_as_ready_as_its_job() -> None:
    """It only points to the job, which is in the same namespace."""
    assert not readiness_of(helm_chart()).ready
    assert related(helm_chart()) is None
    made = helm_chart(jobName="helm-install-press-web", conditions=[{"type": "Failed", "status": "False"}])
    assert readiness_of(made) == READY
    assert related(made) == Related("batch/v1", "Job", "fleet", "helm-install-press-web")
    assert related(flux(Ready="True")) is None


def test_k3s_chart_without_a_job_is_failed() -> None:
    """The controller says why it could make none."""
    condition = {"type": "Failed", "status": "True", "reason": "Job create failed", "message": "no such version"}
    answer = readiness_of(helm_chart(conditions=[condition]))
    assert answer.failed
    assert "no such version" in answer.message


@pytest.mark.parametrize("status", [None, [], "x", {"conditions": "x"}, {"sync": [], "health": 3}])
def test_status_of_any_shape_raises_nothing(status: object) -> None:
    """It is content from elsewhere."""
    for kind in (flux(), application(), helm_chart()):
        assert not readiness_of({**kind, "status": status}).ready
