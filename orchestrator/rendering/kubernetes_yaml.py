"""YAML as Kubernetes and Helm read it; it stands in the contract package, because the device reads it, too."""

from topics.kubernetes_yaml import MAX_TEXT_BYTES, load_document, split_documents

__all__ = ["MAX_TEXT_BYTES", "load_document", "split_documents"]
