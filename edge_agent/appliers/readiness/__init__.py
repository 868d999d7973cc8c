"""Whether a Kubernetes object is what it was applied to be: pure, from the object as the API server returns it.

The rules are those of kstatus (sigs.k8s.io/cli-utils, ``pkg/kstatus/status``) where this package does not say
otherwise: an object counts as ready when its controller has seen the newest generation and says that all of it is
there. There are three answers: ready, not yet, and failed. The last is given only where the controller itself has given
up, so that waiting on is pointless. Time-outs are the caller's: nothing here reads a clock.

An object is content from elsewhere: fields that are missing or of another type than Kubernetes gives them are
read as missing, and no object makes ``readiness_of`` raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_agent.appliers.readiness.answer import READY, Readiness, failed, waiting
from edge_agent.appliers.readiness.conditions import deletion, generic
from edge_agent.appliers.readiness.custom import RULES, Related, related
from edge_agent.appliers.readiness.fields import group_and_kind
from edge_agent.appliers.readiness.resources import (
    api_service,
    claim,
    custom_resource_definition,
    disruption_budget,
    namespace,
    service,
)
from edge_agent.appliers.readiness.workloads import daemon_set, deployment, job, pod, replica_set, stateful_set
from topics.documents.base import JsonObject

__all__ = ["READY", "Readiness", "Related", "failed", "readiness_of", "related", "waiting"]

_BUILT_IN: Mapping[tuple[str, str], Callable[[JsonObject], Readiness]] = {
    ("", "Namespace"): namespace,
    ("", "PersistentVolumeClaim"): claim,
    ("", "Pod"): pod,
    ("", "ReplicationController"): replica_set,
    ("", "Service"): service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition,
    ("apiregistration.k8s.io", "APIService"): api_service,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "Deployment"): deployment,
    ("apps", "ReplicaSet"): replica_set,
    ("apps", "StatefulSet"): stateful_set,
    ("batch", "Job"): job,
    ("policy", "PodDisruptionBudget"): disruption_budget,
}


def readiness_of(obj: JsonObject) -> Readiness:
    """Whether ``obj``, a live Kubernetes object, is ready.

    One that is being deleted never is. After that the rule of its group and kind decides: ``RULES`` (the
    controllers that Fleetbus can drive), the built-in kinds, else the generic one by the usual conditions. Where
    ``related`` names another object, that one must be ready too.
    """
    gone = deletion(obj)
    if gone is not None:
        return gone
    which = group_and_kind(obj)
    return (RULES.get(which) or _BUILT_IN.get(which) or generic)(obj)
