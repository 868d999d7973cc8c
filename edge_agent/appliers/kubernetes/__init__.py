"""Makes manifests real on a Kubernetes API server by server-side apply. See ``docs/kubernetes.md``."""

from edge_agent.appliers.kubernetes.applier import KubernetesApplier

__all__ = ["KubernetesApplier"]
