"""``fleetbus render``: the manifests that would be published for a spec, without publishing anything."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.context import Given, Output
from cli.exits import CliError, Exit
from cli.margo_packages import MargoOptions
from cli.printing import as_text, note
from cli.spec_files import SpecFile, load_documents
from topics import channels
from topics.codec import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from orchestrator.rendering.manifests import ManifestFactory
    from orchestrator.rendering.port import Target
    from topics.documents.manifest import Manifest
    from topics.documents.spec import DeploymentSpec

_EXTRA = "rendering needs the orchestrator's packages, which are not installed: pip install 'fleetbus[orchestrator]'"


def render(
    given: Given,
    paths: Sequence[Path],
    devices: Sequence[str],
    charts: Path | None,
    *,
    live: bool,
    options: MargoOptions | None = None,
) -> Exit:
    """Print every manifest with the topic it would go to: YAML documents, or a list with ``--output json``.

    ``live`` asks the broker which devices would take the spec; the rest works without one. ``options`` are
    for application packages, of which the first profile is taken without ``live``.
    """
    output = given.output()
    settings = given.settings(offline=not live)
    published: list[dict[str, Any]] = []
    code = Exit.OK
    for file in load_documents(given, paths, options, live=live):
        asked = () if file.targeted else devices
        wanted: Sequence[str | Target] = asked
        if live:
            wanted, refused = _placed(given, file, asked)
            for line in refused:
                note(f"{file.name}: {line}")
            if not wanted:
                note(f"{file.name}: no device can take it, nothing would be published")
                code = Exit.FAILED
                continue
        for manifest in _manifests(file, wanted, charts):
            topic = settings.topics.topic(channels.MANIFEST, device=manifest.device, deployment=manifest.deployment)
            published.append({"topic": topic, "manifest": _plain(manifest)})
    _print(output, published)
    return code


def _manifests(file: SpecFile, devices: Sequence[str | Target], charts: Path | None) -> Sequence[Manifest]:
    """The manifests of the devices that can have one; why others cannot is said, and an error if none can."""
    try:
        from orchestrator.charts.store import ChartStore
        from orchestrator.packages.store import PackageStore
        from orchestrator.rendering.fetching import fetch_charts
        from orchestrator.rendering.manifests import ANY_DEVICE, ManifestFactory
        from orchestrator.rendering.port import RenderError
        from orchestrator.rendering.registry import load_renderers
        from topics.codec import digest_of
    except ImportError as error:
        raise CliError(Exit.USAGE, _EXTRA, [str(error)]) from error
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fleetbus-charts-") as cache,
            ChartStore(Path(cache), local_root=charts or file.folder) as store,
            PackageStore(Path(cache)) as packages,
        ):
            fetched = fetch_charts(file.spec, store.fetch, packages.fetch)
        factory = ManifestFactory(file.spec, 1, digest_of(file.payload), load_renderers(), fetched)
        made, refused = _each(factory, devices or _named(file.spec) or (ANY_DEVICE,))
    except RenderError as error:
        raise CliError(Exit.FAILED, f"{file.source} cannot be rendered:", list(map(str, error.reasons))) from error
    except ValueError as error:  # a device id that is none
        raise CliError(Exit.USAGE, str(error)) from error
    if not made:
        raise CliError(Exit.FAILED, f"{file.source} cannot be rendered:", refused)
    for line in refused:
        note(f"{file.name}: {line}")
    return made


def _each(factory: ManifestFactory, devices: Sequence[str | Target]) -> tuple[list[Manifest], list[str]]:
    from orchestrator.rendering.devices import DeviceManifests
    from orchestrator.rendering.port import RenderError, Target

    made = DeviceManifests(factory, MAX_PAYLOAD_BYTES)
    manifests: list[Manifest] = []
    refused: list[str] = []
    for device in devices:
        try:
            manifests.append(made.manifest(device if isinstance(device, Target) else Target(device)))
        except RenderError as error:
            refused += map(str, error.reasons)
    return manifests, refused


def _named(spec: DeploymentSpec) -> list[str]:
    """The devices that a spec names, as their topics do: of ``gateway/device`` the device, and ``any`` for one of
    a gateway's that is still to be chosen."""
    every = (reference.rpartition("/")[2] for reference in spec.spec.agents.devices)
    return list(dict.fromkeys("any" if device == "*" else device for device in every))


def _placed(given: Given, file: SpecFile, devices: Sequence[str]) -> tuple[list[Target], list[str]]:
    """The devices on the broker that take the spec (or those that are asked for), with what they say of themselves,
    and a line for each that is selected and cannot."""
    from cli.commands.get import read_fleet

    try:
        from orchestrator.model import DeviceRecord, Fleet, SpecRecord
        from orchestrator.placement import place, told, waiting_for
        from orchestrator.rendering.devices import target_of
        from orchestrator.rendering.registry import load_renderers
    except ImportError as error:
        raise CliError(Exit.USAGE, _EXTRA, [str(error)]) from error
    known = read_fleet(given.settings(), [channels.CAPABILITIES])
    if devices:
        return [target_of(device, known.capabilities) for device in devices], []
    fleet = Fleet(offers=load_renderers().offers)
    for device, capabilities in known.capabilities.items():
        fleet.put_device(DeviceRecord(device, capabilities=capabilities))
    spec = SpecRecord(file.name, 1, "", "", file.spec)
    placement = place(fleet, spec, changed=True)
    lines = [str(reason) for device, reasons in sorted(placement.refused.items()) for reason in told(device, reasons)]
    chosen = [target_of(device, known.capabilities) for device in sorted(placement.chosen)]
    return chosen, lines + [f"[{device}] never heard of" for device in waiting_for(fleet, spec)]


def _print(output: Output, published: Sequence[Mapping[str, Any]]) -> None:
    if output is not Output.TABLE:
        print(as_text(output, list(published)), end="")
        return
    for item in published:  # what a person wants to read is YAML, one document each
        print(f"---\n# {item['topic']}")
        print(as_text(Output.YAML, item["manifest"]), end="")


def _plain(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
