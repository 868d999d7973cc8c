"""From an application package to the spec that is sent: devices asked, values settled, charts carried along.

What is decided stands in ``topics.margo.package``; here are the files, the broker and the options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cli.context import Given
from cli.exits import CliError, Exit
from cli.margo_carried import carried
from cli.margo_files import Package, read_text
from cli.printing import note
from topics import channels
from topics.codec import canonical_json, check_size
from topics.documents.selection import Selector
from topics.documents.spec import Agents, DeploymentSpec
from topics.eligibility import Subject, refers, selects
from topics.errors import ContractError, Reason
from topics.identifiers import check_device_ref, check_dns_label, check_label_key, check_label_value
from topics.margo.kinds import MargoKind, margo_kind
from topics.margo.package import (
    Profile,
    choose_profile,
    current_values,
    default_name,
    read_description,
    settle_parameters,
    spec_of,
)
from topics.spec_reader import SpecDocument, assigned, read_document
from topics.yaml_loader import load_yaml


@dataclass(frozen=True, slots=True)
class MargoOptions:
    """What the command line says about application packages: values, profile, devices, names."""

    values: Mapping[str, object] = field(default_factory=dict)
    profile: str | None = None
    devices: tuple[str, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    namespace: str | None = None
    restricts: bool = False
    """``devices`` also say of which devices of other documents something is to be shown."""

    @property
    def for_packages(self) -> bool:
        """Whether one was given that means nothing for a Margo deployment, whose values and profile are settled."""
        return bool(self.values or self.selector or self.profile is not None or self.namespace is not None)

    def check_use(self, *, packages: bool, deployments: bool) -> None:
        """Refuse options that none of the documents takes. Raises ``CliError`` (usage)."""
        if self.for_packages and not packages:
            raise CliError(
                Exit.USAGE,
                "--set, --set-file, --profile, --selector and --namespace are for application packages: "
                "there is none among the files",
            )
        if ((self.devices and not self.restricts) or self.name) and not packages and not deployments:
            raise CliError(
                Exit.USAGE,
                ("--name is" if self.restricts else "--device and --name are")
                + " for Margo documents: there is none among the files",
            )

    def agents(self) -> Agents | None:
        """The devices that were named or selected; ``None`` for neither."""
        if self.devices:
            return Agents(devices=self.devices)
        return Agents(selector=Selector(match_labels=dict(self.selector))) if self.selector else None


def margo_options(
    *,
    set_values: Sequence[str] = (),
    set_files: Sequence[Path] = (),
    profile: str | None = None,
    devices: Sequence[str] = (),
    selector: Sequence[str] = (),
    name: str | None = None,
    namespace: str | None = None,
    restricts: bool = False,
) -> MargoOptions:
    """The options as they stand on the command line. Raises ``CliError`` (usage).

    ``set_values`` and ``selector`` are ``key=value``; each of ``set_files`` is a YAML or JSON mapping of values.
    """
    if devices and selector:
        raise CliError(Exit.USAGE, "say either --device or --selector, not both")
    values: dict[str, object] = {}
    for path in set_files:
        values |= _values_in(path)
    values |= _pairs("--set", set_values)
    options = MargoOptions(
        values, profile, tuple(dict.fromkeys(devices)), _pairs("--selector", selector), name, namespace, restricts
    )
    try:
        for device in devices:
            check_device_ref(device)
        for key, value in options.selector.items():
            check_label_key(key)
            check_label_value(value)
        for given in (name, namespace):
            if given is not None:
                check_dns_label(given)
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error)) from error
    return options


def read_given(payload: bytes, options: MargoOptions) -> tuple[bytes, SpecDocument]:
    """A spec or a Margo deployment, and the bytes to send.

    They are the given ones, unless a deployment of Margo's that names no device is for those of ``options``:
    then they stand in its annotation. Raises ``ContractError``.
    """
    if not (options.devices or options.name) or not _is_deployment(payload):
        return payload, read_document(payload)
    try:
        document = read_document(payload, name=options.name, devices=options.devices)
    except ContractError:
        if not options.restricts:
            raise
        return payload, read_document(payload, name=options.name)  # it may say itself where it is to run
    if not options.devices:
        return payload, document
    annotated = assigned(payload, options.devices)
    return annotated, replace(read_document(annotated, name=options.name), warnings=document.warnings)


def _is_deployment(payload: bytes) -> bool:
    try:
        return margo_kind(load_yaml(_text(payload))) is MargoKind.DEPLOYMENT
    except ContractError:
        return False  # its reader says what is wrong with it


def spec_from(
    given: Given, package: Package, options: MargoOptions, *, live: bool = True
) -> tuple[DeploymentSpec, bytes, tuple[Reason, ...]]:
    """The spec of a package, the bytes to send, and what was tolerated.

    With ``live`` the broker is asked for the devices and for what is deployed now; without, the first profile
    is taken. Raises ``ContractError`` for the package or a value, ``CliError`` for files and the broker.
    """
    description, warnings = read_description(load_yaml(_text(package.content)))
    name = options.name or default_name(description)
    known = _Known.ask(given, name) if live else _Known()
    agents = options.agents() or (known.current.spec.agents if known.current else None)
    if agents is None:
        if live:
            raise CliError(Exit.USAGE, f"say where {name!r} is to run: --device ID or --selector key=value")
        agents = Agents(selector=Selector())
    current = current_values(known.current, description) if known.current is not None else None
    wanted = options.profile or (None if live else description.profiles[0].id)
    choice = choose_profile(description, known.targets(agents), every=bool(agents.devices), wanted=wanted)
    profile = choice.profile
    for reason in choice.passed_over[:10]:
        note(f"{package.source}: profile {profile.id!r} is taken, because {reason}")
    values = settle_parameters(description, options.values, current, profile)
    local = _local(profile, package)
    spec = spec_of(description, profile, values, name=name, agents=agents, namespace=options.namespace, local=local)
    payload = canonical_json(spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
    check_size(payload)
    return spec, payload, warnings


def package_name(content: bytes) -> str:
    """The name that a package's deployment has where none is given. Raises ``ContractError``."""
    return default_name(read_description(load_yaml(_text(content)))[0])


def package_warnings(package: Package, options: MargoOptions) -> tuple[str, tuple[Reason, ...]]:
    """The application's id, and what is tolerated in a package that can be deployed as far as can be told without
    devices: each of its profiles (or the one of ``options``) with what it carries, and the values.

    Parameters that must be given may be missing where no option for packages is given. Raises ``ContractError``
    with every reason.
    """
    description, warnings = read_description(load_yaml(_text(package.content)))
    profiles = [item for item in description.profiles if options.profile in (None, item.id, item.type)]
    if not profiles:
        choose_profile(description, (), wanted=options.profile)  # says which there are
    reasons: dict[Reason, None] = {}
    for profile in profiles:
        at = f"deploymentProfiles[{description.profiles.index(profile)}].components"
        try:
            # Values are settled first, and what is carried is looked at even if one of them is wrong.
            values = settle_parameters(description, options.values, None, profile)
        except ContractError as error:
            values = None
            missing_is_wrong = options.for_packages
            reasons |= dict.fromkeys(item for item in error.reasons if missing_is_wrong or item.code != "required")
        try:
            local = _local(profile, package) if package.folder is not None else {}
            if values is not None:
                spec = spec_of(
                    description, profile, values, name=options.name or default_name(description),
                    agents=options.agents() or Agents(selector=Selector()), namespace=options.namespace, local=local,
                )  # fmt: skip
                check_size(canonical_json(spec.model_dump(mode="json", by_alias=True, exclude_unset=True)))
        except ContractError as error:
            reasons |= dict.fromkeys(error.reasons)
        except CliError as error:
            hint = "; ".join(error.details) or None
            reasons[Reason(path=at, code="bad-resource", message=str(error), hint=hint)] = None
    if reasons:
        raise ContractError(reasons)
    return description.id, warnings


def _local(profile: Profile, package: Package) -> dict[str, dict[str, Any]]:
    """What lies in the package itself, for each component that carries it."""
    with ExitStack() as stack:
        return {
            component.name: carried(profile.type, component, package.folder, stack)
            for component in profile.components
            if component.local
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """What the broker knows: the devices, and the spec that has the name now."""

    subjects: tuple[Subject, ...] = ()
    current: DeploymentSpec | None = None

    @classmethod
    def ask(cls, given: Given, name: str) -> _Known:
        from cli.commands.get import read_fleet

        fleet = read_fleet(given.settings(), [channels.CAPABILITIES, channels.SPEC], deployment=name)
        heard = fleet.specs.get(name)
        if heard is not None and not isinstance(heard.document, DeploymentSpec):
            raise CliError(Exit.FAILED, f"the spec {name!r} on the broker cannot be read: {heard.problem}")
        current = heard.document if heard is not None and isinstance(heard.document, DeploymentSpec) else None
        return cls(tuple(Subject(fleet.capabilities[device]) for device in sorted(fleet.capabilities)), current)

    def targets(self, agents: Agents) -> list[Subject]:
        """The known devices among the agents."""
        if agents.selector is not None:
            return [subject for subject in self.subjects if selects(agents.selector, subject)]
        return [subject for subject in self.subjects if any(refers(device, subject) for device in agents.devices)]


# -- options ------------------------------------------------------------------------------------------


def _values_in(path: Path) -> dict[str, object]:
    try:
        values = load_yaml(read_text(path))
    except ContractError as error:
        raise CliError(Exit.USAGE, f"--set-file {path}: {error}") from error
    if not isinstance(values, dict):
        raise CliError(Exit.USAGE, f"--set-file {path} is not a mapping of parameters to values")
    return values


def _pairs(option: str, items: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise CliError(Exit.USAGE, f"{option} takes key=value, not {item[:100]!r}")
        if key in found:
            raise CliError(Exit.USAGE, f"{option} gives {key[:100]!r} twice")
        found[key] = value
    return found


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError.because(
            "not-utf8", f"not valid UTF-8 at byte {error.start}", hint="save the document as UTF-8"
        ) from error
