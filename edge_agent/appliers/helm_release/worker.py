"""The program that a short-lived process runs: one request to Helm's SDK, then it ends.

It is started by ``sdk.py`` with the request on standard input and answers on standard output, both JSON:
``{"done": …}`` or ``{"failed": {"kind": …, "text": …}}``. Nothing of it is imported by the agent itself: Helm's
library takes 85 MB.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main(parent: int) -> int:
    """Serve one request. ``parent`` is the process that asked: with its end this one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:
            return 1
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints must not get between
    request = json.load(sys.stdin)
    import helm_python as helm

    try:
        answer: dict[str, Any] = {"done": _serve(helm, request)}
    except helm.HelmError as error:
        answer = {"failed": {"kind": type(error).__name__, "text": str(error)}}
    with os.fdopen(answers, "w") as file:
        json.dump(answer, file)
    return 0


def _serve(helm: Any, request: dict[str, Any]) -> Any:
    action, arguments = request["action"], request["arguments"]
    if action == "pull":
        return _pull(helm, **arguments)
    with helm.Config(**request["config"]) as config:
        if action in ("install", "upgrade"):
            data = Path(arguments.pop("archive")).read_bytes()
            with helm.Chart.load_archive(data) as chart:
                done = getattr(config, action)(chart, **arguments)
                return {"revision": done["revision"]}
        if action == "rollback":
            return config.rollback(**arguments)
        if action == "uninstall":
            return [config.uninstall(name, **arguments["options"]) and name for name in arguments["names"]]
    raise ValueError(f"no action {action!r}")


def _pull(helm: Any, credentials_file: str | None, **arguments: Any) -> Any:
    if not arguments["chart_ref"].startswith("oci://"):
        return helm.pull(**arguments)
    with helm.RegistryClient(plain_http=arguments["plain_http"], credentials_file=credentials_file) as client:
        return client.pull(**arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
