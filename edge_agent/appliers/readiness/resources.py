"""What is there for workloads: claims, services, definitions, namespaces, disruption budgets."""

from __future__ import annotations

from edge_agent.appliers.readiness.answer import READY, Readiness, failed, waiting
from edge_agent.appliers.readiness.conditions import must_be_true, unobserved
from edge_agent.appliers.readiness.fields import conditions, count, objects, text, value
from topics.documents.base import JsonObject

_PROVISIONERS = ("volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner")
"""Set by the volume controller once it asks a provisioner; with ``WaitForFirstConsumer`` only after a pod came."""


def claim(obj: JsonObject) -> Readiness:
    """Bound; or pending with nobody provisioning it; failed when its volume is lost.

    kstatus and Helm wait until it is bound. A claim of a storage class with ``WaitForFirstConsumer`` (the default of
    k3s) is bound only when a pod uses it, which may be part of a later component, so that waiting would never
    end. If it cannot be bound at all, the pods that use it are not ready and say so.
    """
    phase = text(obj, "status", "phase")
    if phase == "Lost":
        return failed("its volume is lost")
    named = (text(obj, "metadata", "annotations", key) for key in _PROVISIONERS)
    provisioner = next((name for name in named if name), "")
    if phase == "Bound" or not provisioner:
        return READY
    return waiting(f"its volume is being provisioned by {provisioner}")


def service(obj: JsonObject) -> Readiness:
    """A load balancer needs its address (as Helm has it); every other service is ready at once."""
    if text(obj, "spec", "type") != "LoadBalancer" or value(obj, "spec", "externalIPs"):
        return READY
    given = objects(obj, "status", "loadBalancer", "ingress")
    return READY if given else waiting("the load balancer has no address yet")


def custom_resource_definition(obj: JsonObject) -> Readiness:
    """Established: its objects can be applied. Failed when its names belong to another definition."""
    known = conditions(obj)
    accepted = known.get("NamesAccepted")
    if accepted is not None and accepted.status == "False":
        return failed(f"its names are not accepted: {accepted}")
    return must_be_true(obj, "Established")


def api_service(obj: JsonObject) -> Readiness:
    """Available: the server behind it answers."""
    return must_be_true(obj, "Available")


def disruption_budget(obj: JsonObject) -> Readiness:
    """As many pods healthy as it protects."""
    behind = unobserved(obj, required=True)
    if behind is not None:
        return behind
    healthy, wanted = count(obj, "status", "currentHealthy"), count(obj, "status", "desiredHealthy")
    return READY if healthy >= wanted else waiting(f"{healthy} of {wanted} pods healthy")


def namespace(obj: JsonObject) -> Readiness:
    """Not being ended; a namespace that is takes no new objects."""
    if text(obj, "status", "phase") != "Terminating":
        return READY
    known = conditions(obj).values()
    held = [str(item) for item in known if item.type.endswith("Remaining") and item.status == "True"]
    return waiting("is terminating" + (f": {'; '.join(held)}" if held else ""))
