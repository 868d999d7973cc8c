"""The one validator: can this device run that, and if not, why? Used for placement, by the device, and by the CLI.

Capacity comes first and is always asked; of the rules, if there are any, one has to hold (Margo). What each
operator means, ``topics.eligibility`` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from topics.allocation import share_of
from topics.documents.device import Capabilities
from topics.documents.spec import InterfaceRequirement, PeripheralRequirement, Requirements
from topics.eligibility.operators import conjunction
from topics.eligibility.selectors import Suits, reason_of, rule_clauses
from topics.eligibility.subject import Subject, subject_of
from topics.eligibility.wording import Finding, enumerated, item_text
from topics.errors import Reason
from topics.quantity import format_bytes, format_cores, parse_quantity

MAX_RULES_EXPLAINED = 10
"""Most rules whose failed expressions are listed."""

MAX_REASONS_PER_RULE = 5
"""Most failed expressions that are listed of one rule."""

_AT = "spec.requirements"
_ITEM_KEYS = ("type", "manufacturer", "model")
_MEMORY = 10_000  # reasons that are kept to be shared, at most

_Found: TypeAlias = tuple[str, str, Finding]
"""Path and code of a reason, and its words."""


def unmet(requirements: Requirements, device: Subject | Capabilities) -> tuple[Reason, ...]:
    """Every reason why the device cannot take a deployment with these requirements; empty if it can.

    For many devices use ``compile_requirements``.
    """
    return Compiled(requirements).unmet(subject_of(device))


def compile_requirements(requirements: Requirements) -> Compiled:
    """The requirements in the form for many devices."""
    return Compiled(requirements)


def unsupported(types: Iterable[str], capabilities: Capabilities) -> tuple[Reason, ...]:
    """A reason for each manifest type that no applier of the device takes."""
    return tuple(
        Reason(
            path="spec.components", code="no-applier", device=capabilities.device,
            message=f"needs an applier for {kind!r}, the device has {_alternatives(capabilities.appliers)}",
            required=kind, available=",".join(capabilities.appliers),
            hint="start the agent with an applier that takes it",
        )
        for kind in sorted(set(types) - set(capabilities.appliers))
    )  # fmt: skip


class Compiled:
    """Requirements prepared for many devices: nothing of the document is read again for each of them.

    One CPU entry must have both the architecture and the cores: entries are never summed (Margo). Storage
    is that of the largest volume reported, for what the application stores and for its images. Each peripheral and
    interface must be there; two requirements may be met by the same one.
    """

    def __init__(self, requirements: Requirements) -> None:
        cpu = requirements.cpu
        self._architectures = cpu.architectures
        self._cores_text, self._cores = cpu.cores, _ceiling(cpu.cores)
        self._cores_shown = format_cores(parse_quantity(cpu.cores or "0"))
        self._memory_text, self._memory = requirements.memory, _ceiling(requirements.memory)
        self._storage_text, self._storage = requirements.storage, share_of(requirements).storage
        self._storage_noun = "storage"
        if requirements.images is not None:
            self._storage_text, self._storage_noun = format_bytes(self._storage), "storage with its images"
        self._items = tuple(_item_needs(requirements.peripherals, requirements.interfaces))
        self._rules = tuple(
            rule_clauses(rule, f"{_AT}.rules[{index}]") for index, rule in enumerate(requirements.rules)
        )
        self._several = _one_of(len(self._rules)) if len(self._rules) > 1 else None
        self._told: dict[_Found, Reason] = {}
        self._rule_tests: tuple[Suits, ...] = tuple(
            conjunction(clause.holds for clause in clauses) for clauses in self._rules
        )

    def suits(self, subject: Subject) -> bool:
        """Whether the device can take it: the same as no reason in ``unmet``, without the texts."""
        capacity = subject.capacity
        if self._memory > capacity.memory or self._storage > capacity.storage:
            return False
        if self._architectures:
            fitting = [capacity.cores[name] for name in self._architectures if name in capacity.cores]
            if not fitting or self._cores > max(fitting):
                return False
        elif self._cores and self._cores > max(capacity.cores.values(), default=0):
            return False
        for need in self._items:
            if not need.holds(subject):
                return False
        for holds in self._rule_tests:
            if holds(subject):
                return True
        return not self._rule_tests

    def unmet(self, subject: Subject) -> tuple[Reason, ...]:
        """Every reason why the device cannot take it; of rules, a bounded number."""
        return tuple([
            reason_of(path, code, finding, subject.device) for path, code, finding in self._findings(subject)
        ])  # fmt: skip

    def unmet_shared(self, subject: Subject) -> tuple[Reason, ...]:
        """As ``unmet``, but no reason names its device: what is wrong with many devices is the same object for
        all of them. Half the time and little memory, for whoever keeps the reasons of a whole fleet."""
        told, reasons = self._told, []
        for item in self._findings(subject):
            reason = told.get(item)
            if reason is None:
                if len(told) >= _MEMORY:
                    told.clear()
                path, code, finding = item
                told[item] = reason = reason_of(path, code, finding, None)
            reasons.append(reason)
        return tuple(reasons)

    def _findings(self, subject: Subject) -> list[_Found]:
        found = [*self._cpu_findings(subject), *self._size_findings(subject)]
        found += [(need.path, need.code, need.explain(subject)) for need in self._items if not need.holds(subject)]
        if self._rules:
            found += self._rule_findings(subject)
        return found

    def _cpu_findings(self, subject: Subject) -> Iterator[_Found]:
        cores, wanted = subject.capacity.cores, self._architectures
        fitting = [cores[name] for name in wanted if name in cores] if wanted else list(cores.values())
        if wanted and not fitting:
            has = sorted(cores)
            message = f"needs {_alternatives(wanted)}, the device is {_alternatives(has)}"
            yield f"{_AT}.cpu.architectures", "architecture", Finding(message, ",".join(wanted), ",".join(has))
        elif self._cores_text is not None and self._cores > (most := max(fitting, default=0)):
            message = f"needs {self._cores_shown} cores, the device has {most}"
            yield f"{_AT}.cpu.cores", "cpu", Finding(message, self._cores_text, str(most))

    def _size_findings(self, subject: Subject) -> Iterator[_Found]:
        capacity = subject.capacity
        for field, noun, text, wanted, available in (
            ("memory", "memory", self._memory_text, self._memory, capacity.memory),
            ("storage", self._storage_noun, self._storage_text, self._storage, capacity.storage),
        ):
            if text is not None and wanted > available:
                shown = format_bytes(available)
                message = f"needs {text} {noun}, the device has {shown}"
                yield f"{_AT}.{field}", field, Finding(message, text, shown)

    def _rule_findings(self, subject: Subject) -> list[_Found]:
        explained = []
        for clauses in self._rules[:MAX_RULES_EXPLAINED]:
            failed = [clause for clause in clauses if not clause.holds(subject)]
            if not failed:
                return []
            explained.append(failed)
        for holds in self._rule_tests[MAX_RULES_EXPLAINED:]:
            if holds(subject):
                return []
        found: list[_Found] = []
        if self._several is not None:
            found.append((f"{_AT}.rules", "rules", self._several))
        for index, failed in enumerate(explained):
            found += [(clause.path, "rule", clause.explain(subject)) for clause in failed[:MAX_REASONS_PER_RULE]]
            more = len(failed) - MAX_REASONS_PER_RULE
            if more > 0:
                found.append((f"{_AT}.rules[{index}]", "more", Finding(f"and {more} more expressions do not hold")))
        return found


class _ItemNeed:
    """A peripheral or an interface that has to be there."""

    __slots__ = ("_list", "_message", "_wanted", "code", "holds", "path")

    def __init__(self, code: str, index: int, wanted: dict[str, str]) -> None:
        self.code, self.path = code, f"{_AT}.{code}s[{index}]"
        self._list, self._wanted = f"{code}s", item_text(wanted, _ITEM_KEYS)
        self._message = f"needs {'an' if code == 'interface' else 'a'} {code} {self._wanted}, the device has "
        self.holds = _has_item(self._list, wanted)

    def explain(self, subject: Subject) -> Finding:
        """What there is instead."""
        shown = enumerated([item_text(item, _ITEM_KEYS) for item in subject.properties.get(self._list, ())])
        return Finding(self._message + shown, self._wanted, shown)


def _item_needs(
    peripherals: Iterable[PeripheralRequirement], interfaces: Iterable[InterfaceRequirement]
) -> Iterator[_ItemNeed]:
    for index, item in enumerate(peripherals):
        wanted = {"type": item.type, "manufacturer": item.manufacturer, "model": item.model}
        yield _ItemNeed("peripheral", index, {key: value for key, value in wanted.items() if value})
    for index, interface in enumerate(interfaces):
        yield _ItemNeed("interface", index, {"type": interface.type})


def _has_item(name: str, wanted: dict[str, str]) -> Callable[[Subject], bool]:
    members = tuple(wanted.items())

    def has(subject: Subject) -> bool:
        for item in subject.properties.get(name, ()):
            for key, value in members:
                if item.get(key) != value:
                    break
            else:
                return True
        return False

    return has


def _one_of(count: int) -> Finding:
    which = "each of them" if count <= MAX_RULES_EXPLAINED else f"the first {MAX_RULES_EXPLAINED}"
    return Finding(f"one of the {count} rules has to hold and none does; the failed expressions of {which} follow")


def _ceiling(quantity: str | None) -> int:
    """The least whole number that is enough: what devices have is whole, so this compares as exactly."""
    return 0 if quantity is None else math.ceil(parse_quantity(quantity))


def _alternatives(items: Iterable[str]) -> str:
    return " or ".join(items) or "none"
