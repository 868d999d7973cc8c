"""The state of a deployment on a device as Margo's ``DeploymentStatusManifest`` (1.0-rc). Pure.

| here | Margo | |
| --- | --- | --- |
| nothing heard yet, Created, Prepared | pending | |
| Downloading, Staged, Configuration | installing | |
| Deployed | installed | failed where the wanted generation failed and an older one was restored |
| Degraded | installed, with an error | it is installed; Margo's ``failed`` is an installation that failed |
| RollingBack | installing, with an error | something is being installed, and the error says why not what was wanted |
| Failed, no device can take it | failed, with an error | |
| Removing, Removed | removing, removed | |

Margo wants one entry for each component of the deployment, and the overall state to be the most severe of
theirs: failed, removing, installing, pending, removed, installed. A device reports components more roughly than
its own state, so theirs are brought into line with it and never the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from topics.documents.status import ComponentStatus, DeploymentStatus
from topics.errors import Reason
from topics.lifecycle import State
from topics.margo.annotations import DEPLOYMENT, NAME, is_deployment_id

MargoState = Literal["pending", "installing", "installed", "failed", "removing", "removed"]

MARGO_STATE: dict[State, MargoState] = {
    State.CREATED: "pending",
    State.PREPARED: "pending",
    State.DOWNLOADING: "installing",
    State.STAGED: "installing",
    State.CONFIGURATION: "installing",
    State.DEPLOYED: "installed",
    State.DEGRADED: "installed",
    State.ROLLING_BACK: "installing",
    State.FAILED: "failed",
    State.REMOVING: "removing",
    State.REMOVED: "removed",
}
_SEVERITY: tuple[MargoState, ...] = ("failed", "removing", "installing", "pending", "removed", "installed")
_COMPONENT: dict[str, MargoState] = {
    "Waiting": "pending", "Applying": "installing", "Healthy": "installed", "Unhealthy": "failed", "Failed": "failed",
}  # fmt: skip
_ONE_STATE = frozenset({State.CREATED, State.PREPARED, State.DOWNLOADING, State.STAGED, State.REMOVING, State.REMOVED})
_MAX_MESSAGE = 1000

Error = dict[str, str]


def is_margo(annotations: Mapping[str, str]) -> bool:
    """Whether a spec with these annotations was a Margo deployment or package: it has the id that a status carries."""
    return is_deployment_id(annotations.get(DEPLOYMENT, ""))


def status_manifest(
    annotations: Mapping[str, str],
    status: DeploymentStatus | None,
    *,
    device: str,
    components: Sequence[str],
    name: str = "",
    reasons: Sequence[Reason] = (),
) -> dict[str, Any]:
    """Margo's status of a deployment on one device.

    ``annotations`` are those of the native spec (``is_margo`` holds for them), ``device`` is the device's id,
    behind a gateway with its path (``gateway/device``); ``components`` are the names of the spec's components,
    ``name`` its name where the Margo document had none. ``status`` is the device's report, ``None`` before there
    is one; ``reasons`` say why the device cannot take the deployment.
    ``adoptedManifestVersion`` is left out: it counts manifests of a workload fleet manager, and there is none.
    """
    source = annotations.get(NAME) or name
    state, error = _overall(status, reasons)
    reported = {item.name: item for item in status.components} if status is not None else {}
    parts = [_component(part, reported.get(part), state, status) for part in components]
    states = _in_line(state, [found for found, _ in parts])
    return {
        "deploymentId": annotations[DEPLOYMENT],
        "deviceId": device,
        "status": _entry(state, error, source),
        "components": [
            {"name": part} | _entry(found, _fitting(found, failure, error), part)
            for part, found, (_, failure) in zip(components, states, parts, strict=True)
        ],
    }


def _overall(status: DeploymentStatus | None, reasons: Sequence[Reason]) -> tuple[MargoState, Error | None]:
    if reasons:
        first, more = reasons[0], len(reasons) - 1
        text = f"{first}; and {more} more" if more else str(first)
        return "failed", _error(first.code, text)
    if status is None:
        return "pending", None
    state, failure = MARGO_STATE[status.state], status.failure
    error = _error(failure.code, failure.message) if failure is not None else None
    if status.state is State.DEPLOYED and failure is not None and failure.generation > status.generation:
        running = f"generation {status.generation} runs instead: {failure.message}"
        return "failed", _error(failure.code, running)
    if status.state is State.DEGRADED and error is None:
        ill = ", ".join(item.name for item in status.components if item.state in ("Unhealthy", "Failed"))
        error = _error("degraded", f"not healthy: {ill}" if ill else "it is installed and not healthy")
    if status.state is State.FAILED and error is None:
        error = _error("failed", "the device does not say why")
    if status.state in (State.DEGRADED, State.ROLLING_BACK, State.FAILED):
        return state, error
    return state, None


def _component(
    name: str, reported: ComponentStatus | None, overall: MargoState, status: DeploymentStatus | None
) -> tuple[MargoState, Error | None]:
    """A component's state as far as the device tells it, and its error."""
    failure = status.failure if status is not None else None
    blamed = failure is not None and failure.component == name
    if reported is None or status is None or status.state in _ONE_STATE:
        return ("failed" if blamed and overall == "failed" else overall), None
    state = _COMPONENT.get(reported.state, overall)
    error = None
    if state == "failed" or (blamed and overall == "failed"):
        code = failure.code if failure is not None and blamed else reported.state.lower()
        text = reported.message or (failure.message if failure is not None and blamed else "not healthy")
        state, error = "failed", _error(code, text)
    return state, error


def _in_line(overall: MargoState, states: Sequence[MargoState]) -> list[MargoState]:
    """The components' states so that the most severe is the overall one."""
    rank = _SEVERITY.index(overall)
    found = [state if _SEVERITY.index(state) >= rank else overall for state in states]
    if overall in found:
        return found
    raised = [state if state == "installed" else overall for state in found]
    return raised if overall in raised else [overall for _ in found]


def _fitting(state: MargoState, own: Error | None, overall: Error | None) -> Error | None:
    """A component that failed has an error: its own, or the deployment's."""
    return own if own is not None or state != "failed" else overall


def _entry(state: MargoState, error: Error | None, source: str) -> dict[str, Any]:
    return {"state": state} | ({"error": error | {"source": source}} if error is not None else {})


def _error(code: str, message: str) -> Error:
    return {"code": code, "message": message if len(message) <= _MAX_MESSAGE else message[: _MAX_MESSAGE - 3] + "..."}
