"""The ``helm`` command (3.14 or later, or 4), for devices that have one and for those without the SDK's wheel."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_agent.appliers.helm_release import child
from edge_agent.appliers.helm_release.engine import HISTORY, Change, Login
from edge_agent.appliers.helm_release.options import HelmReleaseOptions
from edge_agent.appliers.helm_release.problems import action_error, fetch_error
from edge_agent.appliers.port import ApplyError, CancelCheck, never
from topics.documents.release import HelmReleaseConfig

_GRACE_SECONDS = 30.0
_VERSION = re.compile(rb"v(\d+)\.(\d+)")


class CommandHelm:
    """See ``Helm``. Values and credentials pass through files of a private folder, never through arguments."""

    def __init__(self, options: HelmReleaseOptions, program: str) -> None:
        self._options = options
        self._program = program
        self._major = 0

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
        what = f"fetching chart {chart.chart_name} {chart.version}"
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as name:
            home = Path(name)
            arguments = ["pull", "--destination", str(folder)]
            if chart.chart.startswith("oci://"):
                arguments += [chart.chart, "--version", chart.version]
                arguments += ["--plain-http"] if chart.plain_http else []
                if self._options.chart_credentials is not None:
                    arguments += ["--registry-config", str(self._options.chart_credentials)]
            elif chart.repository is None:
                if login is not None:
                    raise ApplyError(
                        "chart-credentials-unusable",
                        f"{what}: the helm command takes credentials for a plain address only as arguments, which "
                        "every user of this device can read; use a repository or registry, or install helm-python-sdk",
                        retryable=False,
                        component=component,
                    )
                arguments += [chart.chart]
            elif login is None:
                arguments += [chart.chart, "--repo", chart.repository, "--version", chart.version]
            else:
                _write_repository(home, chart.repository, login)
                failure = self._run(["repo", "update"], home, seconds, cancelled)
                if failure:
                    raise fetch_error(failure, what, component)
                arguments += [f"chart/{chart.chart}", "--version", chart.version]
            failure = self._run(arguments, home, seconds, cancelled)
        if failure:
            raise fetch_error(failure, what, component)

    def install(self, change: Change, archive: Path, cancelled: CancelCheck) -> None:
        extra = ["--create-namespace"] if change.create_namespace else []
        self._change("install", change, [str(archive), *extra], cancelled)

    def upgrade(self, change: Change, archive: Path, cancelled: CancelCheck) -> None:
        extra = ["--reset-values", "--history-max", str(HISTORY)]
        self._change(
            "upgrade", change, [str(archive), *extra, *(["--cleanup-on-fail"] if change.atomic else [])], cancelled
        )

    def rollback(self, change: Change, revision: int, cancelled: CancelCheck) -> None:
        arguments = ["rollback", change.release, str(revision), "--history-max", str(HISTORY)]
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as home:
            arguments += [*self._timing(change), *self._cluster(change.namespace)]
            failure = self._run(arguments, Path(home), _limit(change), cancelled)
        self._check(failure, "rollback", change)

    def uninstall(
        self, namespace: str, releases: Iterable[str], *, wait: bool, seconds: float, cancelled: CancelCheck
    ) -> None:
        names = list(releases)
        arguments = ["uninstall", *names, "--ignore-not-found", "--timeout", f"{max(1, int(seconds))}s"]
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as home:
            arguments += [*(["--wait"] if wait else []), *self._cluster(namespace)]
            failure = self._run(arguments, Path(home), seconds + _GRACE_SECONDS, cancelled)
        if failure:
            raise action_error(failure, f"uninstalling {namespace}/{', '.join(names)}", None, {})

    def _change(self, action: str, change: Change, extra: Sequence[str], cancelled: CancelCheck) -> None:
        with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as name:
            home = Path(name)
            values = home / "values.json"
            values.touch(mode=0o600)
            values.write_text(json.dumps(change.values), "utf-8")
            labels = ",".join(f"{key}={value}" for key, value in sorted(change.labels.items()))
            arguments = [action, change.release, *extra, "--values", str(values), "--labels", labels,
                         "--description", change.description, *self._timing(change)]  # fmt: skip
            if change.atomic and change.wait:
                arguments.append("--rollback-on-failure" if self._version() >= 4 else "--atomic")
            failure = self._run([*arguments, *self._cluster(change.namespace)], home, _limit(change), cancelled)
        self._check(failure, action, change)

    def _check(self, failure: str, action: str, change: Change) -> None:
        if failure:
            what = f"{action} of release {change.namespace}/{change.release}"
            raise action_error(failure, what, change.component, change.values)

    def _timing(self, change: Change) -> list[str]:
        return ["--timeout", f"{max(1, int(change.seconds))}s", *(["--wait"] if change.wait else [])]

    def _cluster(self, namespace: str) -> list[str]:
        options = self._options
        return [
            "--namespace", namespace,
            *(["--kubeconfig", str(options.kubeconfig)] if options.kubeconfig else []),
            *(["--kube-context", options.context] if options.context else []),
        ]  # fmt: skip

    def _version(self) -> int:
        """The command's major version."""
        if not self._major:
            with tempfile.TemporaryDirectory(prefix="fleetbus-helm-") as home:
                ended = self._start(["version", "--template", "{{.Version}}"], Path(home), 30.0, never)
            match = _VERSION.search(ended.output)
            if ended.status or match is None:
                raise ApplyError(
                    "helm-missing", f"{self._program} does not say its version: is it Helm 3 or 4?", retryable=False
                )
            self._major = int(match.group(1))
        return self._major

    def _run(self, arguments: Sequence[str], home: Path, seconds: float, cancelled: CancelCheck) -> str:
        """Empty when it was done, else what Helm says about its failure."""
        ended = self._start(arguments, home, seconds, cancelled)
        if not ended.status:
            return ""
        said = ended.errors.decode(errors="replace").replace(f"{home}/", "")
        return said.strip() or f"helm ended with status {ended.status}"

    def _start(self, arguments: Sequence[str], home: Path, seconds: float, cancelled: CancelCheck) -> child.Ended:
        return child.run(
            child.ending_with_parent([self._program, *arguments]),
            given=b"", variables=child.environment(home), seconds=seconds, cancelled=cancelled,
        )  # fmt: skip


def _limit(change: Change) -> float:
    return 2 * change.seconds + _GRACE_SECONDS


def _write_repository(home: Path, address: str, login: Login) -> None:
    # Where Helm looks for repositories when HELM_CONFIG_HOME is this folder; JSON is YAML.
    file = home / "repositories.yaml"
    file.touch(mode=0o600)
    entry = {"name": "chart", "url": address, "username": login.user, "password": login.password}
    file.write_text(json.dumps({"apiVersion": "v1", "generated": "1970-01-01T00:00:00Z", "repositories": [entry]}))
