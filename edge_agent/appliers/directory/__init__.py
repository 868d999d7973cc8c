"""The ``directory`` applier: manifests as files in a folder that k3s, k0s or a kubelet watches."""

from edge_agent.appliers.directory.applier import DirectoryApplier

__all__ = ["DirectoryApplier"]
