"""The options of the directory applier, checked when the agent starts and not when it first deploys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.appliers.port import OptionError

_KNOWN = ("manifests", "staging", "prune-grace")


@dataclass(frozen=True, slots=True)
class DirectoryOptions:
    """``manifests``: the folder the runtime watches. ``staging``: a folder in the agent's data folder.

    ``prune_grace`` (seconds): on removal, how long a file stays as a comment before it is unlinked.
    """

    manifests: Path
    staging: Path
    prune_grace: float = 0.0

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> DirectoryOptions:
        """Read the options; raises ``OptionError`` for unknown, missing and unusable ones."""
        unknown = sorted(set(options) - set(_KNOWN))
        if unknown:
            raise OptionError(f"the directory applier has no option {unknown[0]!r}; it has {', '.join(_KNOWN)}")
        manifests = _folder(options, "manifests", "the folder that k3s, k0s or the kubelet watches")
        staging = _folder(options, "staging", "a folder in the agent's data folder")
        if manifests == staging or manifests in staging.parents or staging in manifests.parents:
            # A runtime that looks into subfolders (k3s does) would take what is only staged.
            raise OptionError(f"'manifests' ({manifests}) and 'staging' ({staging}) must not lie in each other")
        return cls(manifests, staging, _seconds(options.get("prune-grace", "0")))


def _folder(options: Mapping[str, str], name: str, meaning: str) -> Path:
    value = options.get(name, "")
    if not value:
        raise OptionError(f"the directory applier needs the option {name!r}: {meaning}")
    return Path(value).absolute()


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 3600:
        raise OptionError(f"'prune-grace' is {value!r}, but it is a number of seconds from 0 to 3600")
    return seconds
