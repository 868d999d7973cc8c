"""The images of a project: which have to be fetched, and how far that is."""

from __future__ import annotations

from edge_agent.appliers.compose.engine import Engine
from edge_agent.appliers.compose.options import ComposeOptions
from edge_agent.appliers.compose.project import Project
from edge_agent.appliers.compose.pulling import Wanted, pull
from edge_agent.appliers.port import ApplyError, CancelCheck, Cancelled, ProgressReport


def fetch(
    engine: Engine, options: ComposeOptions, project: Project, progress: ProgressReport, cancelled: CancelCheck
) -> None:
    """Fetch what the pull policies ask for; ``progress`` gets the bytes of all images together."""
    wanted = [item for item in _images(project).items() if _is_wanted(engine, project, item[0][0], item[1])]
    before = reported = 0
    for index, ((image, platform), _) in enumerate(wanted):
        last = index == len(wanted) - 1

        def report(done: int, total: int | None, *, base: int = before, last: bool = last) -> None:
            nonlocal reported
            # A layer that comes damaged is fetched again, and the engine begins to count anew.
            reported = max(reported, base + done)
            progress(project.component, reported, base + total if last and total is not None else None)

        if cancelled():
            raise Cancelled("fetching images was cancelled", component=project.component)
        before += pull(engine, options, Wanted(image, platform, project.component), report, cancelled)
    reported = max(reported, before)
    progress(project.component, reported, reported)


def fetch_missing(engine: Engine, options: ComposeOptions, project: Project, cancelled: CancelCheck) -> None:
    """Fetch what somebody removed since the download."""
    for (image, platform), policy in _images(project).items():
        if not engine.has_image(image):
            _refuse_never(project, image, policy)
            pull(engine, options, Wanted(image, platform, project.component), lambda *_: None, cancelled)


def _images(project: Project) -> dict[tuple[str, str | None], str]:
    """Image and platform of each service that runs, once each, with the pull policy that fetches most."""
    found: dict[tuple[str, str | None], str] = {}
    for service in project.services:
        key = (service.image, service.platform)
        if found.get(key) != "always":
            found[key] = service.pull
    return found


def _is_wanted(engine: Engine, project: Project, image: str, policy: str) -> bool:
    if policy == "always":
        return True
    if engine.has_image(image):
        return False
    _refuse_never(project, image, policy)
    return True


def _refuse_never(project: Project, image: str, policy: str) -> None:
    if policy == "never":
        raise ApplyError(
            "image-not-found",
            f"the image {image} is not on the device, and its pull policy is 'never'; load it (docker load), or "
            "change 'pull_policy'",
            retryable=False,
            component=project.component,
        )
