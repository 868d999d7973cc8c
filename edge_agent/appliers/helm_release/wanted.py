"""What a manifest wants of Helm: each component's configuration, its release, the change that brings it about. Pure."""

from __future__ import annotations

from pydantic import ValidationError

from edge_agent.appliers.helm_release import records
from edge_agent.appliers.helm_release.engine import Change
from edge_agent.appliers.helm_release.releases import ReleaseId
from edge_agent.appliers.port import ApplyError
from topics.documents.base import as_contract_error
from topics.documents.manifest import Manifest, ManifestComponent
from topics.documents.release import RELEASE_TYPE, HelmReleaseConfig


def configs_of(manifest: Manifest) -> dict[str, HelmReleaseConfig]:
    """The configuration of each component, by its name. Raises ``ApplyError`` for the first that is none."""
    return {component.name: config_of(component) for component in manifest.components}


def config_of(component: ManifestComponent) -> HelmReleaseConfig:
    """Raises ``ApplyError``: ``unsupported-type``, ``manifest-invalid``."""
    if component.type != RELEASE_TYPE:
        raise ApplyError(
            "unsupported-type",
            f"the helm-release applier takes {RELEASE_TYPE}, not {component.type}",
            retryable=False,
            component=component.name,
        )
    try:
        return HelmReleaseConfig.model_validate(component.config)
    except ValidationError as error:
        raise ApplyError(
            "manifest-invalid",
            f"its configuration is not that of a Helm release: {as_contract_error(error, prefix='config.')}; is the "
            "orchestrator older or newer than this agent?",
            retryable=False,
            component=component.name,
        ) from error


def release_of(config: HelmReleaseConfig) -> ReleaseId:
    return ReleaseId(config.namespace, config.release)


def change_of(manifest: Manifest, part: ManifestComponent, config: HelmReleaseConfig) -> Change:
    return Change(
        component=part.name,
        release=config.release,
        namespace=config.namespace,
        create_namespace=config.create_namespace,
        values=config.values,
        labels={
            records.DEPLOYMENT_LABEL: manifest.deployment,
            records.COMPONENT_LABEL: part.name,
            records.CONTENT_LABEL: records.content_of(config),
        },
        wait=part.wait,
        atomic=config.atomic,
        seconds=part.timeout_seconds,
        description=f"Fleetbus: generation {manifest.generation} of {manifest.deployment}",
    )
