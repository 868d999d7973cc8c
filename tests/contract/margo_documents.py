"""What becomes of each real document of the Margo standard: one row for each file, with one line of why.

The documents are not part of this repository (see ``test_margo_documents``). ``reads`` says whose they are:
``deployment`` the spec topic's, ``description`` an application package's, ``capabilities`` a device's, ``vectors``
a list of capabilities with what a fleet manager has to answer, ``none`` nobody's here. ``tolerances`` are the paths
of all warnings, with ``[]`` for any entry and ``*`` for any parameter; a row with a ``code`` is refused, by that
code and with ``says`` in its words. ``device``: refused as it stands, because it names no device; the rest of
the row is about the document with one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Row(NamedTuple):
    """The expected outcome of one file."""

    file: str
    reads: Literal["deployment", "description", "capabilities", "vectors", "none"]
    why: str
    tolerances: str = ""
    code: str = ""
    says: str = ""
    device: bool = False


_2024 = "deploymentProfiles[].type deploymentProfiles[].id metadata.id"
_ENV = "parameters.*.targets[].pointer"
_PACKAGE = "deploymentProfiles[].components[].properties.packageLocation"
_ANNOTATED = "metadata.annotations.id metadata.annotations.applicationId spec.deploymentProfile.type"
_WAIT = "spec.deploymentProfile.components[].properties.wait"
_TEXT_NUMBER = "spec.parameters.*.value"
_NESTED = "properties.resources properties.roles properties.resources.cpu"
_SIZES = "properties.memory properties.storage"

TABLE = (
    # -- 2024 -------------------------------------------------------------------------------------------
    Row("early-2024/2024-05-05_prototype_app-description.yaml", "description",
        "the first prototype: sources instead of profiles; a memory of 16384 has no unit, so it asks for nothing",
        "sources minimumResourceRequirements.memory minimumResourceRequirements.storage "
        "configuration.schema[].dataType metadata.version " + _2024),
    Row("early-2024/2024-05-21_issue3_DeploymentSpecification_excerpt.yaml", "deployment",
        "'deploymentName: name: …' is no YAML: two keys on one line", code="malformed", says="line 6 column 25"),
    Row("early-2024/2024-06-26_724a2d2__0_ApplicationDeployment.yaml", "deployment",
        "ids in the metadata, no name and namespace, targets for a component of another profile",
        "apiVersion metadata.id metadata.applicationId spec.deploymentProfile.type metadata.namespace metadata.name "
        "spec.parameters.*.targets[].components[]", device=True),
    Row("early-2024/2024-06-26_724a2d2__1_ApplicationDeployment.yaml", "deployment",
        "'properties' is indented by one more than 'name'", code="malformed", says="line 17 column 22"),
    Row("early-2024/2024-07-10_apppkg_dd6a2e4__1_application.yaml", "description",
        "a setting is for greetingAddressee, and the parameter is called greetingTarget",
        code="unknown-parameter", says="greetingAddressee"),
    Row("early-2024/2024-07-10_apppkg_dd6a2e4__2_application.yaml", "description",
        "kind application, helm.v3 and docker-compose, profiles without ids, ENV. in pointers",
        f"kind {_2024} {_PACKAGE} {_ENV}"),
    Row("early-2024/2024-07-10_dd6a2e4__1_ApplicationDeployment.yaml", "deployment",
        "the same indentation as of June", code="malformed", says="line 17 column 22"),
    Row("early-2024/2024-07-10_dd6a2e4__2_ApplicationDeployment.yaml", "deployment",
        "an empty deploymentProfile with its members beside it; guessed at, its pointers would be no variables",
        code="missing", says="indent", device=True),
    Row("early-2024/2024-08-05_capab_f4b1547__0_DeviceCapability.json", "capabilities",
        "free texts: 'Intel x64', '64.0 GB', 'Wi-Fi', roles with 'cluster lead'",
        f"kind {_NESTED} properties.resources.cpu[].architecture properties.resources.cpu[].frequency "
        "properties.resources.memory properties.resources.storage properties.peripherals[] "
        "properties.peripherals[].type properties.interfaces[] properties.interfaces[].type"),
    Row("early-2024/2024-08-05_deploy_f4b1547__0_ApplicationDeployment.yaml", "deployment",
        "ids in annotations, helm.v3, wait and numbers as texts",
        f"{_ANNOTATED} {_WAIT} {_TEXT_NUMBER}", device=True),
    Row("early-2024/2024-08-05_deploy_f4b1547__2_DeploymentStatus.json", "none",
        "a status: written here, and not read", code="wrong-kind", says="the status of a deployment"),
    Row("early-2024/2024-09-17_desired_2d4c630__0_ApplicationDeployment.yaml", "deployment",
        "a form to be filled in: 'components:[]' without a space is no key", code="malformed", says="line 21 column 1"),
    Row("early-2024/2024-09-17_desired_2d4c630__1_ApplicationDeployment.yaml", "deployment",
        "as of August", f"{_ANNOTATED} {_WAIT} {_TEXT_NUMBER}", device=True),
    Row("early-2024/2024-09-17_desired_2d4c630__2_ApplicationDeployment.yaml", "deployment",
        "docker-compose, packageLocation and keyLocation, ENV. in pointers",
        f"{_ANNOTATED} spec.deploymentProfile.components[].properties.packageLocation "
        "spec.parameters.*.targets[].pointer", device=True),
    Row("early-2024/2024-09-17_status_2d4c630__1_DeploymentStatus.json", "none",
        "a status", code="wrong-kind", says="the status of a deployment"),
    Row("early-2024/2024-10-23_apppkg_d350674__1_application.yaml", "description",
        "as of July with the name mended; version 1.0 is a number in YAML", f"kind metadata.version {_2024}"),
    # -- the specification's own examples of 2025-02 ----------------------------------------------------
    Row("spec-2025-02/valid/ApplicationDescription-001.yaml", "description", "the id in the metadata, helm.v3", _2024),
    Row("spec-2025-02/valid/ApplicationDescription-002.yaml", "description", "the same with Compose",
        f"{_2024} {_PACKAGE} {_ENV}"),
    Row("spec-2025-02/valid/DesiredState-001.yaml", "deployment", "the same as of August 2024",
        f"{_ANNOTATED} {_WAIT} {_TEXT_NUMBER}", device=True),
    Row("spec-2025-02/invalid/DesiredState-001.yaml", "deployment", "meant to be wrong: the kind",
        code="wrong-kind", says="SomethingErroneous"),
    Row("spec-2025-02/invalid/DesiredState-002.yaml", "deployment", "meant to be wrong: capitals, '.' and '_' in an id",
        code="bad-id", says="com_northstartida.Digitron-Orchestrator", device=True),
    Row("spec-2025-02/invalid/DesiredState-004.yaml", "deployment", "meant to be wrong: the id is no UUID",
        code="bad-id", says="UUID", device=True),
    # -- PR1 --------------------------------------------------------------------------------------------
    Row("pr1/app/ApplicationDescription-002-helm_and_compose.yaml", "description",
        "types and ids of profiles are today's; the id is in the metadata still", f"metadata.id {_PACKAGE}"),
    Row("pr1/app/INVALID-ApplicationDescription-001-bad_id.yaml", "description",
        "meant to be wrong: characters of the id", code="bad-id", says="**&%"),
    Row("pr1/capabilities/001-standalone_cluster.json", "capabilities",
        "resources one level deeper, one processor, roles, '59 Gi'",
        f"apiVersion {_NESTED} properties.resources.memory properties.resources.storage"),
    Row("pr1/capabilities/INVALID-002-wrong_kind.json", "capabilities", "meant to be wrong: the kind",
        code="wrong-kind", says="SomeIncorrectKind"),
    Row("pr1/capabilities/INVALID-004-fractional_cores.json", "capabilities", "meant to be wrong: 2.4 cores",
        code="invalid", says="2.4"),
    Row("pr1/deployment/DesiredState-001-helm.yaml", "deployment",
        "the id at the top, the application's in an annotation, wait and numbers as texts",
        f"metadata.annotations.applicationId {_WAIT} {_TEXT_NUMBER}", device=True),
    Row("pr1/deployment/INVALID-ApplicationDeployment-003-appid_too_long.yaml", "deployment",
        "meant to be wrong: an application's id of 201 characters", code="bad-id", says="201 characters", device=True),
    Row("pr1/manifest/001-valid.json", "none", "a fleet manager's list of deployments, which deploys nothing itself",
        code="wrong-kind", says="manifest of desired states"),
    Row("pr1/manifest/INVALID-001-version_0.json", "none", "the same", code="wrong-kind", says="desired states"),
    Row("pr1/manifest/INVALID-002-media_type.json", "none", "the same", code="wrong-kind", says="desired states"),
    Row("pr1/manifest/INVALID-004-missing_bundle.json", "none", "the same", code="wrong-kind", says="desired states"),
    Row("pr1/status/INVALID-001-wrong_kind.json", "none", "a status by its members, whatever its kind says",
        code="wrong-kind", says="WrongKind"),
    Row("pr1/status/INVALID-002-state_running.json", "none", "a status", code="wrong-kind",
        says="the status of a deployment"),
    # -- 1.0-rc.2 ---------------------------------------------------------------------------------------
    Row("rc2/app/digitron.helm+compose.constraints.yaml", "description", "as 1.0-rc has it"),
    Row("rc2/app/hello-world.helm.yaml", "description", "as 1.0-rc has it"),
    Row("rc2/capabilities/gateway1-deviceA.json", "capabilities", "behind a gateway; '59 Gi' with a space", _SIZES),
    Row("rc2/capabilities/gateway1-hosting.json", "capabilities", "a gateway that takes workloads itself", _SIZES),
    Row("rc2/capabilities/gateway1-nonhosting.json", "capabilities",
        "a gateway that takes none says only who it is"),
    Row("rc2/capabilities/northstar-helm+compose.json", "capabilities", "'59 Gi' with a space", _SIZES),
    Row("rc2/deployment/digitron-compose.yaml", "deployment",
        "as 1.0-rc has it, without the annotations of its OpenAPI"),
    Row("rc2/deployment/digitron-helm.yaml", "deployment", "with constraints and rules; numbers as texts",
        _TEXT_NUMBER),
    Row("rc2/deployment/gateway-directed.yaml", "deployment", "for a device behind a gateway"),
    Row("rc2/problem/ProblemDetail-001.yaml", "none", "an answer of an HTTP interface", code="wrong-kind",
        says="an answer about a problem"),
    Row("rc2/problem/registry.json", "none", "a list of such answers", code="malformed", says="this is a list"),
    Row("rc2/status/pending-digitron.json", "none", "a status without kind, known by its members", code="wrong-kind",
        says="the status of a deployment"),
    # -- the sandbox ------------------------------------------------------------------------------------
    Row("sandbox/conformance/capabilities-vectors.json", "vectors",
        "what a fleet manager takes (2xx) is taken, with a remark on otelCollector; what it answers 422 is refused",
        "properties.otelCollector"),
    Row("sandbox/conformance/margo-ctt-package.margo.yaml", "description", "as 1.0-rc has it"),
    Row("sandbox/conformance/mock-wfm-compose-sample.yaml", "deployment",
        "its package is a path on the simulated fleet manager's own disk, which no device can fetch",
        code="not-allowed", says="/var/lib/workload-deployments", device=True),
    Row("sandbox/custom-otel-helm.margo.yaml", "description", "a template that was not filled in", code="bad-key",
        says="line 27 column 24"),
    Row("sandbox/symphony-templates/custom-otel-helm__instance.yaml", "deployment", "a template", code="bad-key",
        says="line 9 column 10"),
    Row("sandbox/symphony-templates/custom-otel-helm__package.yaml", "none",
        "a fleet manager's own form: where a package is, and not the package", code="wrong-kind",
        says="a reference to an application package"),
    Row("sandbox/symphony-templates/nginx-helm__instance.yaml", "deployment", "a template", code="bad-key",
        says="line 9 column 10"),
    Row("sandbox/symphony-templates/nginx-helm__package.yaml", "none", "as above", code="wrong-kind",
        says="a reference to an application package"),
    # -- others -----------------------------------------------------------------------------------------
    Row("thirdparty/balaji-eos-app1.yaml", "description", "as of 2025-02, with ids of profiles",
        "deploymentProfiles[].type metadata.id"),
    Row("thirdparty/balaji-eos-app2.yaml", "description", "the same with Compose",
        f"deploymentProfiles[].type metadata.id {_PACKAGE} {_ENV}"),
    Row("thirdparty/ftra.margo.yaml", "description", "no catalog, the id in the metadata, ENV. in a pointer",
        f"metadata.catalog metadata.id {_PACKAGE} {_ENV}"),
    Row("thirdparty/iaiops.margo.yaml", "description",
        "the default of its password is shorter than its own schema wants: it deploys with another",
        f"{_PACKAGE} parameters.*.value"),
    Row("thirdparty/nhat14-edge-app.margo.yaml", "description", "packageLocation is the form before 1.0-rc", _PACKAGE),
    Row("proposals/device-installContext.capabilities.json", "capabilities",
        "a proposal: what is proposed is ignored and named, as whatever a newer program says",
        f"apiVersion {_NESTED} properties.resources.cpu[].architecture properties.installContext"),
)  # fmt: skip
