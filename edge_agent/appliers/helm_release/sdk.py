"""Helm's own SDK, in a short-lived process for each request (``worker.py``)."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_agent.appliers.helm_release import child
from edge_agent.appliers.helm_release.engine import FIELD_MANAGER, HISTORY, Change, Login
from edge_agent.appliers.helm_release.options import HelmReleaseOptions
from edge_agent.appliers.helm_release.problems import action_error, fetch_error
from edge_agent.appliers.port import ApplyError, CancelCheck
from topics.documents.base import JsonObject
from topics.documents.release import HelmReleaseConfig

_WORKER = "edge_agent.appliers.helm_release.worker"
_GRACE_SECONDS = 30.0
"""How much longer than its own time-out Helm may take, for an atomic change that has to be taken back."""


class SdkHelm:
    """See ``Helm``."""

    def __init__(self, options: HelmReleaseOptions) -> None:
        self._options = options

    def pull(
        self,
        chart: HelmReleaseConfig,
        folder: Path,
        cancelled: CancelCheck,
        *,
        component: str,
        login: Login | None,
        seconds: float,
    ) -> None:
        """The archive, as a file in ``folder``."""
        arguments: dict[str, Any] = {
            "chart_ref": chart.chart, "destination": str(folder), "plain_http": chart.plain_http,
            "credentials_file": str(self._options.chart_credentials) if self._options.chart_credentials else None,
        }  # fmt: skip
        if "://" not in chart.chart or chart.chart.startswith("oci://"):
            arguments["version"] = chart.version
        if chart.repository is not None:
            arguments["repo_url"] = chart.repository
        if login is not None and not chart.chart.startswith("oci://"):
            arguments.update(username=login.user, password=login.password)
        failure = self._ask("pull", arguments, {}, seconds, cancelled)
        if failure:
            raise fetch_error(failure, f"fetching chart {chart.chart_name} {chart.version}", component)

    def install(self, change: Change, archive: Path, cancelled: CancelCheck) -> None:
        arguments = {**self._change(change), "archive": str(archive), "create_namespace": change.create_namespace}
        self._act("install", arguments, change, cancelled)

    def upgrade(self, change: Change, archive: Path, cancelled: CancelCheck) -> None:
        # Without reset_values Helm adds the last revision's values to those of this one.
        arguments = {**self._change(change), "archive": str(archive), "reset_values": True, "max_history": HISTORY,
                     "cleanup_on_fail": change.atomic}  # fmt: skip
        self._act("upgrade", arguments, change, cancelled)

    def rollback(self, change: Change, revision: int, cancelled: CancelCheck) -> None:
        arguments = {"name": change.release, "version": revision, "timeout": _seconds(change),
                     "wait": "watcher" if change.wait else None}  # fmt: skip
        self._act("rollback", arguments, change, cancelled)

    def uninstall(
        self, namespace: str, releases: Iterable[str], *, wait: bool, seconds: float, cancelled: CancelCheck
    ) -> None:
        names = list(releases)
        options = {"ignore_not_found": True, "timeout": max(1, int(seconds)), **({"wait": "watcher"} if wait else {})}
        arguments = {"names": names, "options": options}
        failure = self._ask("uninstall", arguments, self._config(namespace), seconds + _GRACE_SECONDS, cancelled)
        if failure:
            raise action_error(failure, f"uninstalling {namespace}/{', '.join(names)}", None, {})

    def _change(self, change: Change) -> dict[str, Any]:
        return {
            "name": change.release, "namespace": change.namespace, "values": change.values,
            "labels": dict(change.labels), "description": change.description, "timeout": _seconds(change),
            "wait": "watcher" if change.wait else None, "rollback_on_failure": change.atomic and change.wait,
        }  # fmt: skip

    def _act(self, action: str, arguments: dict[str, Any], change: Change, cancelled: CancelCheck) -> None:
        # Twice: what is taken back after a failure has the same time again.
        seconds = 2 * change.seconds + _GRACE_SECONDS
        failure = self._ask(action, arguments, self._config(change.namespace), seconds, cancelled)
        if failure:
            what = f"{action} of release {change.namespace}/{change.release}"
            raise action_error(failure, what, change.component, change.values)

    def _config(self, namespace: str) -> JsonObject:
        options = self._options
        return {
            "namespace": namespace,
            **({"kubeconfig_path": str(options.kubeconfig)} if options.kubeconfig else {}),
            **({"kube_context": options.context} if options.context else {}),
        }

    def _ask(
        self, action: str, arguments: JsonObject, config: JsonObject, seconds: float, cancelled: CancelCheck
    ) -> str:
        """Empty when it was done, else what Helm says about its failure."""
        request = json.dumps({"action": action, "arguments": arguments, "config": config}).encode()
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as home:
            ended = child.run(
                # The name of the program is the field manager of what Helm applies: it must be the same one with
                # each interpreter, and the one that the command has.
                [FIELD_MANAGER, "-S", "-P", "-m", _WORKER, str(os.getpid())],
                executable=sys.executable,
                given=request,
                variables={
                    **child.environment(Path(home)),
                    # Under another name Python does not find its own files; "-S", "-P": all of the path is given.
                    "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}",
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                },
                seconds=seconds,
                cancelled=cancelled,
            )
        try:
            answer = json.loads(ended.output)
        except ValueError:
            said = ended.errors.decode(errors="replace").strip()[-600:]
            raise ApplyError(
                "helm-crashed",
                f"Helm's SDK ended with status {ended.status} and without an answer ({action}): {said}; "
                "it is tried again",
                retryable=True,
            ) from None
        failed = answer.get("failed")
        return "" if failed is None else str(failed.get("text") or failed.get("kind"))


def _seconds(change: Change) -> int:
    return max(1, int(change.seconds))
