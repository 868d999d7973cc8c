"""YAML with bounded nesting; it stands in the contract package, because the device reads charts' YAML, too."""

from topics.bounded_yaml import MAX_DEPTH, check_depth, load

__all__ = ["MAX_DEPTH", "check_depth", "load"]
