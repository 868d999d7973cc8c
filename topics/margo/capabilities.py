"""Margo's device capabilities in any of their forms, as the native document. Pure.

The forms: ``DeviceCapability`` of 2024 (free texts, roles), ``DeviceCapabilitiesManifest`` of PR1 (``resources``,
roles) and of 1.0-rc (flat, ``cpus``, ``supportedDeploymentTypes``, with or without ``apiVersion`` and ``kind``).
A program wrote the document, and a newer one may say more: unknown fields are ignored with a warning that names
them. A word out of a list that Margo closes (an interface ``serial``, an architecture ``sparc``) is refused: it
would be matched against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from topics.documents.device import Capabilities, Cpu, Runtime, Volume
from topics.errors import ContractError, Reason
from topics.identifiers import check_device_id
from topics.margo.package.findings import Findings, joined, kind_of
from topics.margo.resources import read_bytes, read_cpus, read_interfaces, read_peripherals, read_words

_VERSION = re.compile(r"device\.margo(?:\.org)?/v1(?:alpha1)?\Z|v1\Z")
_KIND = "DeviceCapabilitiesManifest"
_OLD_KINDS = frozenset({"DeviceCapability", "DeviceCapabilities"})
_IDENTITY = frozenset({"id", "vendor", "modelNumber", "serialNumber"})
_RESOURCES = frozenset({"cpus", "cpu", "memory", "storage", "peripherals", "interfaces"})
_HOSTING = frozenset({"otelCollector", "supportedRuntimes", "supportedDeploymentTypes", "roles", "resources"})
_TYPES = {"helm": "helm", "compose": "compose"}
_OLD_TYPES = {"helm.v3": "helm", "docker-compose": "compose"}
_ROLES = {
    "standalone cluster": "helm",
    "cluster lead": "helm",
    "cluster leader": "helm",
    "standalone device": "compose",
}
_RUNTIME_OF_TYPE = {"helm": "kubernetes", "compose": "docker"}


def read_capabilities(value: object) -> tuple[Capabilities, tuple[Reason, ...]]:
    """What a Margo document says that a device is, and a warning for everything that was tolerated.

    ``value`` is what a JSON or YAML parser made of it. Raises ``ContractError`` with every reason. There are no
    labels, appliers and addresses in Margo's document, so there are none in the result.
    """
    if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
        raise ContractError.because("malformed", f"device capabilities are a mapping, this is {kind_of(value)}")
    findings = Findings()
    _check_kind(value, findings)
    findings.unknown(value, frozenset({"apiVersion", "kind", "properties"}), "")
    properties = findings.mapping(value.get("properties"), "properties")
    if properties is None:
        if value.get("properties") is None:
            findings.refuse("properties", "missing", "is required and missing")
        findings.check()
        raise AssertionError("properties that are none were refused")
    capabilities = _Reader(properties, findings).capabilities()
    findings.check()
    assert capabilities is not None, "what could not be read was refused"
    return capabilities, findings.warnings


def _check_kind(document: Mapping[str, object], findings: Findings) -> None:
    version, kind = document.get("apiVersion"), document.get("kind")
    old = isinstance(kind, str) and kind in _OLD_KINDS
    if kind is not None and kind != _KIND and not old:
        findings.refuse(
            "kind", "wrong-kind", f"is {str(kind)[:80]!r}", required=_KIND, hint=f"capabilities are kind: {_KIND}"
        )
    elif version is not None and not (isinstance(version, str) and _VERSION.match(version)):
        findings.refuse(
            "apiVersion", "unsupported-version", f"is {str(version)[:80]!r}",
            hint="device.margo.org/v1alpha1 and device.margo/v1 are read, and documents without one",
        )  # fmt: skip
    elif kind is not None or version is not None:
        at = "kind" if old or version is None else "apiVersion"
        findings.tolerate(at, f"is {str(document[at])[:80]!r}: 1.0-rc has no apiVersion and no kind")


class _Reader:
    """Reads the ``properties``; ``resources`` are those members of theirs that stood one level deeper before 1.0-rc."""

    def __init__(self, properties: Mapping[str, object], findings: Findings) -> None:
        self.findings = findings
        self.properties = properties
        self.resources: dict[str, tuple[object, str]] = {}
        findings.unknown(properties, _IDENTITY | _RESOURCES | _HOSTING, "properties")
        nested = findings.mapping(properties.get("resources"), "properties.resources")
        for owner, path in ((nested or {}, "properties.resources"), (properties, "properties")):
            for key in _RESOURCES:
                if owner.get(key) is not None:
                    self.resources[key] = (owner[key], joined(path, key))
        if nested is not None:
            findings.tolerate("properties.resources", "is the form before 1.0-rc, which has its members one level up")
            findings.unknown(nested, _RESOURCES, "properties.resources")

    def capabilities(self) -> Capabilities | None:
        """``None`` if there is no id, which is refused."""
        gateway, device = self._id()
        vendor, model, serial = (self._identity(key) for key in ("vendor", "modelNumber", "serialNumber"))
        types, cpus = self._types(), self._cpus()
        memory, storage = (read_bytes(*self._resource(key), self.findings) for key in ("memory", "storage"))
        runtimes = self._runtimes(types)
        if types or runtimes or cpus or memory is not None or storage is not None:
            self._check_hosting(types, runtimes)
        if device is None:
            return None
        return Capabilities(
            device=device,
            gateway=gateway,
            vendor=vendor,
            model=model,
            serial=serial,
            cpus=cpus,
            memory=memory or 0,
            storage=(Volume(path="/", capacity=storage),) if storage else (),
            peripherals=read_peripherals(*self._resource("peripherals"), self.findings),
            interfaces=read_interfaces(*self._resource("interfaces"), self.findings),
            runtimes=runtimes,
            deployment_types=types,
        )

    def _check_hosting(self, types: tuple[str, ...], runtimes: tuple[Runtime, ...]) -> None:
        """What a device has to say that takes workloads; one that says none of it takes none (a gateway)."""
        for key, there in (
            ("cpus", "cpus" in self.resources or "cpu" in self.resources),
            ("memory", "memory" in self.resources),
            ("storage", "storage" in self.resources),
            ("supportedDeploymentTypes", bool(types) or "supportedDeploymentTypes" in self.properties),
        ):
            if not there:
                self.findings.refuse(
                    joined("properties", key), "missing", "is required of a device that takes workloads, and missing",
                    hint="a gateway that takes none leaves all of its resources out",
                )  # fmt: skip
        if self.properties.get("otelCollector") is False:
            self.findings.tolerate(
                "properties.otelCollector", "is false, and has to be true for a device that takes workloads"
            )
        if not runtimes and "roles" not in self.properties:
            self.findings.tolerate(
                "properties.supportedRuntimes", "names no runtime that is known; the device says of itself that it "
                "takes workloads",
            )  # fmt: skip

    # -- identity ---------------------------------------------------------------------------------------

    def _id(self) -> tuple[str | None, str | None]:
        """Gateway and device. A path longer than that is refused: a device is reached through one gateway."""
        id = self.findings.text(self.properties, "id", "properties", required=True)
        if id is None:
            return None, None
        gateway, slash, device = id.rpartition("/")
        try:
            return (check_device_id(gateway) if slash else None), check_device_id(device)
        except ValueError as error:
            hint = "a path has one gateway and one device: gateway/device" if id.count("/") > 1 else None
            self.findings.refuse("properties.id", "bad-id", str(error), hint=hint)
            return None, None

    def _identity(self, key: str) -> str:
        """A text that has to be there, and may be empty: not every device knows its serial number."""
        if self.properties.get(key) is None:
            self.findings.refuse(joined("properties", key), "missing", "is required and missing")
        return self.findings.text(self.properties, key, "properties") or ""

    # -- what it runs -----------------------------------------------------------------------------------

    def _types(self) -> tuple[str, ...]:
        found: list[str] = []
        for at, word in self._words("supportedDeploymentTypes"):
            if word in _TYPES:
                found.append(_TYPES[word])
            elif word in _OLD_TYPES:
                found.append(_OLD_TYPES[word])
                self.findings.tolerate(at, f"is {word!r}, the name before PR1, taken as {_OLD_TYPES[word]!r}")
            else:
                self.findings.tolerate(at, f"{word!r:.40} is a type of deployment that is not known, and is ignored")
        roles = self._words("roles")
        if roles:
            self.findings.tolerate("properties.roles", "is the form before 1.0-rc, taken as supportedDeploymentTypes")
        for at, word in roles:
            kind = _ROLES.get(word.strip().lower())
            if kind is not None:
                found.append(kind)
            else:
                self.findings.refuse(
                    at, "not-allowed", f"{word!r:.40} is no role", required="Standalone Cluster, Standalone Device"
                )
        return tuple(dict.fromkeys(found))

    def _runtimes(self, types: tuple[str, ...]) -> tuple[Runtime, ...]:
        """Margo says ``oci`` and no more: Helm charts then mean Kubernetes, Compose projects mean Docker."""
        words = self._words("supportedRuntimes")
        for at, word in words:
            if word != "oci":
                self.findings.tolerate(at, f"{word!r:.40} is a runtime that is not known, and is ignored")
        if not any(word == "oci" for _, word in words) and "roles" not in self.properties:
            return ()
        names = [_RUNTIME_OF_TYPE[kind] for kind in types] or (["containerd"] if words else [])
        return tuple(Runtime.model_validate({"name": name}) for name in names)

    # -- members ----------------------------------------------------------------------------------------

    def _cpus(self) -> tuple[Cpu, ...]:
        value, at = self._resource("cpus")
        if value is None:
            value, at = self._resource("cpu")
            if value is not None:
                self.findings.tolerate(at, "is the name before 1.0-rc, taken as 'cpus'")
        return read_cpus(value, at, self.findings)

    def _resource(self, key: str) -> tuple[object, str]:
        return self.resources.get(key, (None, joined("properties", key)))

    def _words(self, key: str) -> list[tuple[str, str]]:
        return read_words(self.properties.get(key), joined("properties", key), self.findings)
