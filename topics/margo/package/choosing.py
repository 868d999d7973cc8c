"""Which deployment profile the target devices can run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topics.documents.base import MAX_REASONS
from topics.documents.device import Capabilities
from topics.eligibility import Subject
from topics.errors import ContractError, Reason
from topics.margo.package.description import Description, Profile
from topics.requirements import compile_requirements

_APPLIER = {"helm": "kubernetes", "compose": "compose"}
"""The manifest type that a profile's components become: Helm charts are rendered to Kubernetes objects."""

_AT = "spec.requirements"


@dataclass(frozen=True, slots=True)
class Choice:
    """The profile, and why each profile before it was passed over."""

    profile: Profile
    passed_over: tuple[Reason, ...] = ()


def choose_profile(
    description: Description, subjects: Sequence[Subject], *, every: bool = True, wanted: str | None = None
) -> Choice:
    """The first profile, in the document's order, that every one of the devices supports.

    Without ``every`` one device is enough: a selector may select devices of several kinds. ``wanted`` is
    the id or the type of a profile; if it leaves only one, that one is taken whatever the devices are.
    Raises ``ContractError``: no such profile, no devices to choose by, or all reasons per profile and device.
    """
    profiles = _wanted(description, wanted)
    if wanted is not None and len(profiles) == 1:
        return Choice(profiles[0])
    if not subjects:
        raise ContractError.because(
            "no-devices", "no target device is known, so no profile can be chosen by what the devices support",
            path="deploymentProfiles", hint=f"name one with --profile: {_names(profiles)}",
        )  # fmt: skip
    passed_over: list[Reason] = []
    for profile in profiles:
        reasons, unfit = _refusals(profile, subjects, MAX_REASONS - len(passed_over))
        if unfit == 0 or (not every and unfit < len(subjects)):
            return Choice(profile, tuple(passed_over))
        passed_over += reasons
    raise ContractError(
        (
            *passed_over,
            Reason(
                path="deploymentProfiles", code="no-profile",
                message="no deployment profile is supported by "
                + ("every target device" if every else "any of the devices"),
                hint="choose other devices, or name a profile with --profile",
            ),
        )
    )  # fmt: skip


def _wanted(description: Description, wanted: str | None) -> list[Profile]:
    profiles = list(description.profiles)
    if wanted is None:
        return profiles
    found = [profile for profile in profiles if profile.id == wanted]
    found = found or [profile for profile in profiles if profile.type == wanted]
    if not found:
        raise ContractError.because(
            "unknown-profile", f"no deployment profile has the id or type {wanted!r:.80}",
            path="deploymentProfiles", hint=f"there are {_names(profiles)}",
        )  # fmt: skip
    return found


def _refusals(profile: Profile, subjects: Sequence[Subject], most: int) -> tuple[list[Reason], int]:
    """At most ``most`` reasons against the profile, and the number of devices that do not suit."""
    compiled = compile_requirements(profile.requirements)
    reasons: list[Reason] = []
    unfit = 0
    for subject in subjects:
        against = [] if _runs(profile, subject.capabilities) else [_no_type(profile, subject.capabilities)]
        if not against and compiled.suits(subject):
            continue
        unfit += 1
        if len(reasons) < most:
            reasons += [*against, *(_placed(profile, reason) for reason in compiled.unmet(subject))]
    return reasons[:most], unfit


def _runs(profile: Profile, capabilities: Capabilities) -> bool:
    """What the device says it runs; one that does not say it (an agent of version 0.1) by its appliers."""
    if capabilities.deployment_types:
        return profile.type in capabilities.deployment_types
    return _APPLIER[profile.type] in capabilities.appliers


def _no_type(profile: Profile, capabilities: Capabilities) -> Reason:
    runs = ", ".join(capabilities.deployment_types or capabilities.appliers) or "none"
    return Reason(
        path=f"{profile.path}.type", code="deployment-type", device=capabilities.device,
        message=f"needs a device that runs {profile.type}, the device runs {runs}",
        required=profile.type, available=runs,
    )  # fmt: skip


def _placed(profile: Profile, reason: Reason) -> Reason:
    """The reason with its path in the description."""
    path = reason.path.removeprefix(_AT)
    if path.startswith(".rules"):
        return reason.model_copy(update={"path": profile.rules_at + path.removeprefix(".rules")})
    return reason.model_copy(update={"path": profile.requirements_at + path})


def _names(profiles: Sequence[Profile]) -> str:
    return ", ".join(_shown(profiles))


def _shown(profiles: Sequence[Profile]) -> Iterator[str]:
    for profile in profiles:
        yield profile.id if profile.id == profile.type else f"{profile.id} ({profile.type})"
