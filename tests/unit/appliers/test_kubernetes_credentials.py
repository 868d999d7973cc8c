"""Credential plug-ins of a kubeconfig, which may hang or fail."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from edge_agent.appliers.kubernetes import credentials
from edge_agent.appliers.kubernetes.cluster import Cluster
from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.kubernetes.problems import ApiError
from tests.support.brokers import HOST

API = "client.authentication.k8s.io/v1"


def failure(folder: Path, plugin: str) -> ApiError:
    """Of a look at a cluster whose kubeconfig has this shell script as its plug-in."""
    run = {"apiVersion": API, "command": "sh", "args": ["-c", plugin], "env": [{"name": "PLACE", "value": str(folder)}]}
    file = folder / "kubeconfig"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": f"https://{HOST}:1"}}],
        "users": [{"name": "me", "user": {"exec": run}}],
    }  # fmt: skip
    file.write_text(json.dumps(config))
    cluster = Cluster(KubernetesOptions(kubeconfig=file))
    with pytest.raises(ApiError) as caught:
        cluster.version()
    cluster.close()
    return caught.value


def test_a_plug_in_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that it started; said with its name, and tried again."""
    monkeypatch.setattr(credentials, "PLUGIN_SECONDS", 1.0)
    error = failure(tmp_path, 'tail -f /dev/null & echo $! > "$PLACE/id"; wait')
    assert (error.code, error.retryable) == ("cluster-not-configured", True)
    assert "credential plug-in failed" in error.message
    assert "sh did not end within 1 s" in error.message
    assert not _runs(int((tmp_path / "id").read_text()))


def _runs(id: int) -> bool:
    return psutil.pid_exists(id) and psutil.Process(id).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("plugin", "said"),
    [("echo no ticket >&2; exit 3", "no ticket"), ("echo rubbish", "decode"), ("echo {}", "missing")],
)
def test_what_a_plug_in_says_is_the_reason(tmp_path: Path, plugin: str, said: str) -> None:
    """And not that the request after it is not authorized."""
    error = failure(tmp_path, plugin)
    assert (error.code, error.retryable) == ("cluster-not-configured", True)
    assert said in error.message


def test_a_plug_in_that_does_its_work_is_heard(tmp_path: Path) -> None:
    """Only the server is not there then."""
    answer = json.dumps({"apiVersion": API, "kind": "ExecCredential", "status": {"token": "word"}})
    assert failure(tmp_path, f"echo '{answer}'").code == "cluster-unreachable"
