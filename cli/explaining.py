"""Why a deployment is where it is, in sentences: placement, refusals, what the device says, what happens next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from cli.fleet import Fleet, failure_text
from cli.printing import age, enough, named
from topics.documents.answer import DeviceSummary, SpecResult
from topics.documents.spec import DeploymentSpec
from topics.documents.status import DeploymentStatus
from topics.eligibility import Subject, refers, selects, unselected
from topics.errors import Reason
from topics.lifecycle import State
from topics.requirements import unmet

Standing = Literal["placed", "refused", "waiting", "leaving", "not-selected", "unknown"]
"""It is to run there; it cannot; the device was never heard of; it is being taken off; the spec passes the device
over; nobody says."""

_ROOM = ("cpu-left", "memory-left", "storage-left")
_LEAVING = (State.REMOVING, State.REMOVED)


@dataclass(frozen=True, slots=True)
class DeviceStory:
    """One device. ``reasons`` are why it cannot take it or is passed over, in full."""

    device: str
    standing: Standing
    sentences: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A deployment: ``sentences`` on the spec as a whole, ``reasons`` why it was rejected or cannot be rendered."""

    name: str
    sentences: tuple[str, ...]
    reasons: tuple[Reason, ...]
    devices: tuple[DeviceStory, ...]


def explain(fleet: Fleet, name: str, device: str | None = None, now: datetime | None = None) -> Explanation:
    """The explanation of a deployment on all of its devices, or on one of them whether it takes it or not."""
    result = fleet.results.get(name)
    general = [reason for reason in (result.reasons if result else ()) if reason.device is None]
    known = [device] if device is not None else _devices(fleet, name)
    stories = tuple(_story(fleet, name, item, now) for item in known)
    return Explanation(name, tuple(_of_spec(fleet, name, now)), tuple(general), stories)


def explanation_lines(found: Explanation) -> list[str]:
    """An explanation in lines; devices of which the same is to be said together."""
    lines = [f"{found.name}:", *(f"  {sentence}" for sentence in found.sentences)]
    lines += [f"    {reason}" for reason in found.reasons]
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[DeviceStory]] = {}
    for story in found.devices:
        told = tuple(line for reason in story.reasons for line in _reason_lines(reason))
        alike.setdefault((story.sentences, told), []).append(story)
    for (_, told), stories in alike.items():
        story = stories[0]
        lines.append(f"{named(item.device for item in stories)}:")
        for sentence in story.sentences:
            lines.append(f"  {sentence}")
            if sentence.endswith(":"):
                lines += [f"    {line}" for line in told]
    return lines


def explanation_data(found: Explanation) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "deployment": found.name,
        "sentences": list(found.sentences),
        "reasons": _plain(found.reasons),
        "devices": [
            {
                "device": story.device,
                "standing": story.standing,
                "sentences": list(story.sentences),
                "reasons": _plain(story.reasons),
            }
            for story in found.devices
        ],
    }


def _devices(fleet: Fleet, name: str) -> list[str]:
    status, result = fleet.aggregates.get(name), fleet.results.get(name)
    known = {device for deployment, device in fleet.statuses if deployment == name}
    if status is not None:
        known |= {item.device for item in status.devices} | {item.device for item in status.not_placeable}
        known |= set(status.waiting_for)
    if result is not None:
        known |= {item.device for item in result.placed} | {item.device for item in result.reasons if item.device}
    return sorted(known)


def _of_spec(fleet: Fleet, name: str, now: datetime | None) -> Iterator[str]:
    result, status = fleet.results.get(name), fleet.aggregates.get(name)
    when = f" {age(result.time, now)} ago" if result is not None and result.time else ""
    if result is None:
        yield "No orchestrator has answered this spec yet."
    elif result.outcome == "rejected":
        kept = f" What is in force is still generation {result.generation}." if result.generation else ""
        yield f"The newest spec was rejected{when}, for the reasons below.{kept}"
    elif result.outcome == "deleted":
        yield f"The spec was deleted{when}; the devices take it off."
    else:
        yield f"Generation {result.generation} was accepted{when}."
    if status is not None:
        said = f": {status.message}" if status.message else ""
        if _unrenderable(result):  # its message are the reasons, which are told below in full
            then = "it is tried again" if status.phase == "Pending" else "it waits for another spec"
            said = f": it cannot be rendered, for the reasons below; {then}"
        yield f"The phase is {status.phase}{said}."
        if status.paused:
            yield f"Nothing new goes out until: fleetbus resume {name}"
        if status.truncated:
            yield f"{status.truncated} more devices are not listed by the orchestrator; ask for one by its name."
    if fleet.orchestrator is not None and not fleet.orchestrator.online:
        yield "The orchestrator is offline: nothing is placed or sent until it is back. Devices keep running."


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of the deployment on one device: its own word, the orchestrator's, and why it was chosen."""

    fleet: Fleet
    name: str
    device: str
    own: DeploymentStatus | None
    summary: DeviceSummary | None
    why: str | None

    @property
    def newest(self) -> DeploymentStatus | DeviceSummary | None:
        return self.own or self.summary

    @property
    def state(self) -> State | None:
        return self.newest.state if self.newest is not None else None

    @property
    def wanted(self) -> int:
        """The newest generation that was sent; 0: none yet."""
        return max((item.desired_generation for item in (self.own, self.summary) if item is not None), default=0)


def _story(fleet: Fleet, name: str, device: str, now: datetime | None) -> DeviceStory:
    status, result = fleet.aggregates.get(name), fleet.results.get(name)
    summary = next((item for item in status.devices if item.device == device), None) if status else None
    why = next((item.why for item in result.placed if item.device == device), None) if result else None
    facts = _Facts(fleet, name, device, fleet.statuses.get((name, device)), summary, why)
    refusal = _refusal(fleet, name, device)
    if summary is None and why is None and facts.state in (None, State.REMOVED):
        return _without(fleet, name, device, refusal)
    sentences: list[str] = []
    standing: Standing = "leaving" if facts.state in _LEAVING else "refused" if refusal else "placed"
    if refusal:
        sentences.append("The device cannot take the wanted generation and keeps what it has:")
    elif standing == "placed":
        held = f"It holds generation {facts.wanted}." if facts.wanted else "It is to run here."
        sentences.append(f"It is to run here: {_clause(why)}." if why is not None else held)
    sentences += [*_report(facts, now), _next(facts)]
    return DeviceStory(device, standing, tuple(sentences), refusal)


def _unrenderable(result: SpecResult | None) -> bool:
    """Whether the spec was accepted and its manifests cannot be made: that is no device's reason."""
    if result is None or result.outcome != "accepted":
        return False
    return any(reason.device is None and reason.code != "truncated" for reason in result.reasons)


def _clause(why: str) -> str:
    """The placement's words about the device, as a clause of their own."""
    return f"it {why}" if why.startswith("is ") else why


def _refusal(fleet: Fleet, name: str, device: str) -> tuple[Reason, ...]:
    status, result = fleet.aggregates.get(name), fleet.results.get(name)
    for item in status.not_placeable if status is not None else ():
        if item.device == device:
            return item.reasons
    return tuple(reason for reason in (result.reasons if result else ()) if reason.device == device)


def _without(fleet: Fleet, name: str, device: str, refusal: tuple[Reason, ...]) -> DeviceStory:
    """A device that does not hold the deployment: refused, passed over, or never heard of."""
    status, known = fleet.aggregates.get(name), fleet.capabilities.get(device)
    if status is not None and device in status.waiting_for:
        return DeviceStory(
            device,
            "waiting",
            ("The spec names it, and it has never said what it is.", "It is placed when its agent connects."),
        )
    if refusal:
        return DeviceStory(device, "refused", ("It cannot take it:", _when_it_could(refusal)), refusal)
    heard = fleet.specs.get(name)
    spec = heard.document if heard is not None and isinstance(heard.document, DeploymentSpec) else None
    if known is None or spec is None:
        return DeviceStory(device, "unknown", (_why_unknown(fleet, device, spec),))
    subject = Subject(known)
    agents = spec.spec.agents
    chosen = (
        selects(agents.selector, subject)
        if agents.selector is not None
        else any(refers(item, subject) for item in agents.devices)
    )
    failed = unmet(spec.spec.requirements, subject)
    if chosen and failed:
        return DeviceStory(device, "refused", ("It cannot take it:", _when_it_could(failed)), failed)
    if chosen and agents.count != "all":
        return DeviceStory(device, "not-selected", (f"It suits, and {enough(agents.count)} (count).",))
    if chosen:
        return DeviceStory(device, "unknown", ("It suits, and the orchestrator has not placed it there yet.",))
    reasons = unselected(agents.selector, subject) if agents.selector is not None else ()
    reasons = reasons or (Reason(path="spec.agents.devices", code="not-selected", message="does not name the device"),)
    also = ("It could not take it either.",) if failed else ()
    return DeviceStory(device, "not-selected", ("The spec does not select it:", *also), reasons + failed)


def _why_unknown(fleet: Fleet, device: str, spec: DeploymentSpec | None) -> str:
    if spec is None:
        return "There is no spec on the broker to compare it with."
    heard = device in fleet.presences or device in fleet.allocatables
    if heard:
        return "It has not said what it is."
    return "It has never been heard of on this broker. Which there are: fleetbus get devices"


def _when_it_could(reasons: Sequence[Reason]) -> str:
    if all(reason.code in _ROOM for reason in reasons):
        return "It gets it when enough is free again: when another deployment leaves, or asks for less."
    return "It gets it when the device or the spec changes so that it suits."


def _report(facts: _Facts, now: datetime | None) -> Iterator[str]:
    newest, online = facts.newest, facts.fleet.online(facts.device)
    seen = facts.summary.last_seen if facts.summary is not None else None
    when = f"last heard of {age(seen, now)} ago" if seen else "nobody knows when it was last heard of"
    if newest is None or newest.state is None:
        yield f"The device has reported nothing about it ({when})."
    else:
        yield f"The device reports {newest.state}, generation {newest.generation} ({when})."
        if newest.failure is not None:
            yield f"{failure_text(newest.failure)}."
        if newest.deployed_generation is not None and newest.deployed_generation != newest.generation:
            yield f"Generation {newest.deployed_generation} keeps running meanwhile."
    for item in facts.own.components if facts.own is not None else ():
        if item.message:
            yield f"{item.name} is {item.state}: {item.message}"
    if online is False:
        silent = newest is None or newest.state is None
        yield "It is offline." if silent else "It is offline: this is the last that was known, not what is."
    elif online is None:
        yield "Whether it is online, nobody says."


def _next(facts: _Facts) -> str:
    """What happens next, and what a person can do about it."""
    name, on, newest, wanted = facts.name, f"--device {facts.device}", facts.newest, facts.wanted
    status = facts.fleet.aggregates.get(name)
    done = facts.state is State.DEPLOYED and newest is not None and newest.generation >= wanted > 0
    if facts.state is State.REMOVED:
        return "Next: nothing; it is gone from the device."
    result = facts.fleet.results.get(name)
    if result is not None and wanted < result.generation and _unrenderable(result):
        return "Next: its manifest is sent when the spec can be rendered; the reasons stand above."
    if facts.fleet.online(facts.device) is False and not done:
        return "Next: it goes on when the device is back; nobody has to do anything."
    if newest is not None and newest.held:
        return f"Next: nothing by itself; {newest.held}. To let it go on: fleetbus activate {name} {on}"
    if newest is not None and newest.failure is not None:
        seconds = newest.failure.next_retry_seconds
        if seconds is not None:
            return f"Next: it is tried again {seconds:.0f} s after that report. At once: fleetbus retry {name} {on}"
        return f"Next: nothing by itself. Publish another spec, or: fleetbus retry {name} {on}"
    if status is not None and status.paused and wanted < status.generation:
        return f"Next: it waits, because the rollout is paused. To go on: fleetbus resume {name}"
    if wanted == 0:
        return "Next: the orchestrator renders its manifest and sends it."
    if newest is None or newest.state is None or newest.generation < wanted:
        return f"Next: the device takes up generation {wanted}; its manifest has been sent."
    return _AHEAD.get(newest.state, "Next: the device goes on with the next stage.")


_AHEAD = {
    State.DEPLOYED: "Next: nothing; the device runs what is wanted and watches it.",
    State.DEGRADED: "Next: the device goes on watching it, and applies it again where it drifted.",
    State.REMOVING: "Next: the device takes it off and says so.",
    State.ROLLING_BACK: "Next: the device restores the last good generation.",
}


def _reason_lines(reason: Reason) -> Iterator[str]:
    yield str(reason).removeprefix(f"[{reason.device}] ")
    if reason.required is not None and reason.available is not None:
        yield f"  required {reason.required}, available {reason.available}"


def _plain(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    return [reason.model_dump(mode="json", by_alias=True, exclude_none=True) for reason in reasons]
