"""Credential plug-ins of a kubeconfig (``exec``): with a time limit, and with what they say when they fail.

The ``kubernetes`` package waits for a plug-in without end, and only logs what is wrong with it, so that the request
after it fails as not authorized. A plug-in that asks somebody to log in would hold the deployment for ever.
"""

from __future__ import annotations

import sys
from typing import Any

from kubernetes.config import ConfigException, kube_config
from kubernetes.config.exec_provider import ExecProvider

PLUGIN_SECONDS = 30.0

# A program of its own, because the package starts the plug-in itself. The whole group is ended: a script that is killed
# leaves what it waits for, which holds the pipe that the package reads.
_WITH_LIMIT = """
import os, signal, subprocess, sys
seconds, command = float(sys.argv[1]), sys.argv[2:]
try:
    plugin = subprocess.Popen(command, start_new_session=True)
except OSError as error:
    sys.exit(f"{command[0]} cannot be started: {error.strerror}")
try:
    sys.exit(plugin.wait(seconds))
except subprocess.TimeoutExpired:
    os.killpg(plugin.pid, signal.SIGKILL)
    sys.exit(f"{command[0]} did not end within {seconds:g} s")
"""


class PluginError(BaseException):
    """A plug-in failed. No ``Exception``, because the package catches, logs and forgets all of those."""


class BoundedExecProvider(ExecProvider):  # type: ignore[misc]  # the package has no types
    """The package's, within ``PLUGIN_SECONDS``. Raises ``PluginError``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.args: list[str] = [sys.executable, "-I", "-S", "-c", _WITH_LIMIT, str(PLUGIN_SECONDS), *self.args]

    def run(self, previous_response: Any = None) -> Any:
        """The plug-in's ``status``."""
        try:
            return super().run(previous_response)
        except (ConfigException, OSError) as error:
            raise PluginError(f"its credential plug-in failed: {error}") from error


def use_bounded_plugins() -> None:
    """From now on the package runs plug-ins so."""
    kube_config.ExecProvider = BoundedExecProvider
