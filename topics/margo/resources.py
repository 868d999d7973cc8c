"""The resources of Margo's device capabilities: processors, sizes, peripherals, interfaces, lists of words. Pure.

Each function takes a value, its path and the findings, and leaves out what it has refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from topics.documents.device import Cpu, Interface, Peripheral
from topics.margo.package.findings import Findings, joined, kind_of
from topics.margo.vocabulary import INTERFACES, MARGO_ARCHITECTURES, PERIPHERALS, architecture, hardware
from topics.quantity import number_of, parse_quantity

MAX_ITEMS = 1000
"""Most entries of a list."""

_DECIMAL_BYTES = re.compile(r"([0-9.]+) ?([KMGTPE])B\Z")
_MOST_CORES = 2**31
_MOST_BYTES = 2**63


def read_cpus(value: object, at: str, findings: Findings) -> tuple[Cpu, ...]:
    """The processors; a single one, as PR1 had it, is a list of one."""
    if isinstance(value, dict):
        findings.tolerate(at, "is one entry, taken as a list of one")
        entries: list[tuple[str, Mapping[str, object]]] = [(at, value)]
    else:
        entries = _entries(value, at, findings)
        if value == []:
            findings.refuse(at, "missing", "is empty: a device that takes workloads has a processor")
    found = [_cpu(entry, path, findings) for path, entry in entries]
    return tuple(cpu for cpu in found if cpu is not None)


def _cpu(entry: Mapping[str, object], path: str, findings: Findings) -> Cpu | None:
    findings.unknown(entry, frozenset({"cores", "architecture"}), path)
    word = findings.text(entry, "architecture", path)
    taken = architecture(word) if word is not None else ""
    at = joined(path, "architecture")
    if taken is None:
        findings.refuse(
            at, "not-allowed", f"{word!r:.40} is no architecture that is known",
            required=", ".join(MARGO_ARCHITECTURES), available=str(word)[:40],
            hint=f"these are: {', '.join(MARGO_ARCHITECTURES)}",
        )  # fmt: skip
    elif word is not None and taken != word:
        findings.tolerate(at, f"is {word!r:.40}, taken as {taken!r}")
    elif taken and taken not in MARGO_ARCHITECTURES:
        findings.tolerate(at, f"is {word!r:.40}, which is known here and not among Margo's architectures")
    cores = _cores(entry.get("cores"), joined(path, "cores"), findings)
    return Cpu(architecture=taken, cores=cores) if taken is not None and cores is not None else None


def _cores(value: object, at: str, findings: Findings) -> int | None:
    """A whole number, as Margo's model has it: a device cannot have 2.4 cores, though a workload may ask for 0.5."""
    if value is None:
        findings.refuse(at, "missing", "is required and missing")
        return None
    number = number_of(value)
    if number is None:
        findings.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a number of cores")
        return None
    if number != int(number) or not 0 < number < _MOST_CORES:
        findings.refuse(at, "invalid", f"is {str(value)[:40]}: a processor has a whole number of cores from 1")
        return None
    if not isinstance(value, int):
        findings.tolerate(at, f"is {str(value)[:40]!r}, taken as {int(number)}")
    return int(number)


def read_bytes(value: object, at: str, findings: Findings) -> int | None:
    """Memory or storage in whole bytes; never more than was said."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        findings.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a quantity such as 64Gi")
        return None
    text = str(value)[:400].strip()
    plain = _DECIMAL_BYTES.sub(r"\1\2", text)
    try:
        size = math.floor(parse_quantity(plain))
    except ValueError as error:
        findings.refuse(at, "invalid", str(error))
        return None
    if size >= _MOST_BYTES:
        findings.refuse(at, "invalid", f"{text!r:.40} is more than any device has")
        return None
    if plain != text:
        findings.tolerate(at, f"is {text!r:.40}, taken as {plain!r:.40} (powers of 1000)")
    elif not isinstance(value, str):
        findings.tolerate(at, "is a number, taken as bytes")
    elif " " in text:
        findings.tolerate(at, f"is {text!r:.40}, taken as {text.replace(' ', '')!r:.40}")
    return size


def read_peripherals(value: object, at: str, findings: Findings) -> tuple[Peripheral, ...]:
    """The peripherals; in 2024 the manufacturer stood among their ``properties``."""
    found: list[Peripheral] = []
    for path, entry in _entries(value, at, findings):
        findings.unknown(entry, frozenset({"type", "manufacturer", "model", "modelNumber", "name", "properties"}), path)
        _remark_old_members(entry, path, findings)
        kind = _hardware(entry, path, PERIPHERALS, findings)
        inner = joined(path, "properties")
        details = findings.mapping(entry.get("properties"), inner) or {}
        maker = findings.text(entry, "manufacturer", path) or findings.text(details, "manufacturer", inner)
        model = findings.text(entry, "model", path) or findings.text(entry, "modelNumber", path)
        if kind is not None:
            item = {"type": kind, "manufacturer": maker or "", "model": model or ""}
            found.append(Peripheral.model_validate(item))
    return tuple(found)


def read_interfaces(value: object, at: str, findings: Findings) -> tuple[Interface, ...]:
    """The interfaces; one without a name, and 1.0-rc has none, is called by its type."""
    found: list[Interface] = []
    for path, entry in _entries(value, at, findings):
        findings.unknown(entry, frozenset({"type", "name", "modelNumber", "properties"}), path)
        _remark_old_members(entry, path, findings)
        kind = _hardware(entry, path, INTERFACES, findings)
        name = findings.text(entry, "name", path)
        if kind is not None:
            found.append(Interface.model_validate({"name": name or kind, "type": kind}))
    return tuple(found)


def _remark_old_members(entry: Mapping[str, object], path: str, findings: Findings) -> None:
    old = [key for key in ("name", "modelNumber", "properties") if key in entry]
    if old:
        findings.tolerate(path, f"has {' and '.join(old)}, of the form of 2024; what 1.0-rc has too is taken")


def _hardware(entry: Mapping[str, object], path: str, kinds: tuple[str, ...], findings: Findings) -> str | None:
    word = findings.text(entry, "type", path, required=True)
    if word is None:
        return None
    taken, at = hardware(word, kinds), joined(path, "type")
    if taken is None:
        findings.refuse(
            at, "not-allowed", f"{word!r:.40} is no type that is known",
            required=", ".join(kinds), available=word[:40], hint=f"these are: {', '.join(kinds)}",
        )  # fmt: skip
    elif taken != word:
        findings.tolerate(at, f"is {word!r:.40}, taken as {taken!r}")
    return taken


def read_words(value: object, at: str, findings: Findings) -> list[tuple[str, str]]:
    """The texts of a list with their paths."""
    value = _bounded(value, at, findings)
    if value is None:
        return []
    if not isinstance(value, list):
        findings.refuse(at, "wrong-type", f"is {kind_of(value)}, it must be a list")
        return []
    found: list[tuple[str, str]] = []
    for index, item in enumerate(value):
        if isinstance(item, str):
            found.append((f"{at}[{index}]", item))
        else:
            findings.refuse(f"{at}[{index}]", "wrong-type", f"is {kind_of(item)}, it must be a text")
    return found


def _entries(value: object, path: str, findings: Findings) -> list[tuple[str, Mapping[str, object]]]:
    return findings.entries(_bounded(value, path, findings), path)


def _bounded(value: object, path: str, findings: Findings) -> object:
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        findings.refuse(path, "too-many", f"has {len(value)} entries, and may have {MAX_ITEMS}")
        return None
    return value
