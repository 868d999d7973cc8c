"""Everything that reads what somebody else wrote, as functions of bytes: one for the fuzzer, one for the tests.

Each lets through only what its module documents for bad input. Anything else that comes out is a bug. What is
accepted is used once more (stored, matched, put into words), because that is where a wrong acceptance shows.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from cli.exits import CliError
from cli.margo_files import unpack
from edge_agent.capabilities_file import CapabilitiesFileError, read_overlay
from edge_agent.probe.block_yaml import BlockYamlError, read_block_yaml
from orchestrator.charts import bounded_yaml
from orchestrator.charts.archive import open_archive
from orchestrator.charts.errors import ChartFetchError
from orchestrator.charts.helmignore import HelmIgnore
from orchestrator.charts.versions import Version, VersionRange, newest_match
from orchestrator.inbound import SUBSCRIBED, decide_message
from orchestrator.rendering.kubernetes_yaml import load_document, split_documents
from tests.unit.orchestrator.story import TOPICS, Story, spec
from topics import channels
from topics.channels import Topics
from topics.codec import canonical_json, decode, decode_sealed, encode, parse_json, seal
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.command import Command, OperatorCommand
from topics.documents.device import Allocatable, Capabilities, Presence
from topics.documents.manifest import Manifest
from topics.documents.query import Answer, Query
from topics.documents.selection import Selector, check_pointer
from topics.documents.spec import Agents, DeploymentSpec, Requirements
from topics.documents.status import DeploymentStatus, TransitionEvent
from topics.eligibility import Subject, compile_references, selects, unselected
from topics.eligibility.pointers import finder
from topics.errors import ContractError
from topics.margo import capabilities_manifest, margo_kind, read_capabilities
from topics.margo.package import choose_profile, read_description, settle_parameters, spec_of
from topics.margo.pointers import set_value, variable_name
from topics.patterns import PatternError, matcher
from topics.quantity import format_bytes, format_cores, number_of, parse_duration, parse_quantity
from topics.requirements import compile_requirements
from topics.spec_reader import assigned, read_document
from topics.yaml_loader import load_yaml
from topics.yaml_positions import positions_of

Harness = Callable[[bytes], None]

DEVICE = Capabilities.model_validate({
    "device": "edge-01", "gateway": "gw", "labels": {"line": "press"}, "vendor": "ACME", "memory": 2**33,
    "cpus": [{"architecture": "amd64", "cores": 4}, {"architecture": "arm64", "cores": 2}],
    "storage": [{"path": "/", "capacity": 2**36}, {"path": "/data", "capacity": 2**40}],
    "peripherals": [{"type": "gpu", "manufacturer": "NVIDIA", "model": "A2"}, {"type": "camera"}],
    "interfaces": [{"type": "ethernet", "name": "eth0"}, {"type": "wifi", "name": "wlan0"}],
    "runtimes": [{"name": "kubernetes", "version": "1.30"}, {"name": "docker"}],
    "deploymentTypes": ["helm", "compose", "kubernetes"], "appliers": ["kubernetes"],
})  # fmt: skip
SUBJECT = Subject(DEVICE)
_MODELS: tuple[type[BaseModel], ...] = (
    Answer, AggregateStatus, SpecResult, Command, OperatorCommand, Allocatable, Capabilities, Presence, Manifest,
    Query, DeploymentStatus, TransitionEvent,
)  # fmt: skip


def text_of(data: bytes) -> str:
    """Any text, lone surrogates among them: they come out of JSON's escapes."""
    return data.decode("utf-8", "surrogateescape")


def json_of(data: bytes) -> Any:
    """The value in the bytes, without the limits of the contract's own reader; ``None`` where there is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def spec_reader(data: bytes) -> None:
    """A spec on its topic; and with devices, as the command line reads one."""
    for options in ({}, {"name": "press"}, {"devices": ("edge-01", "gw/*")}):
        try:
            document = read_document(data, **options)  # type: ignore[arg-type]
        except ContractError as error:
            _sayable(error)
            continue
        again = encode(document.spec)
        assert DeploymentSpec.model_validate_json(again) == document.spec
        _match(document.spec.spec.requirements, document.spec.spec.agents.selector)
    try:
        spec_again = assigned(data, ["edge-01"])
    except ContractError as error:
        _sayable(error)
    else:
        assert isinstance(spec_again, bytes)


def margo_capabilities(data: bytes) -> None:
    """A device's description, in any of Margo's forms."""
    value = json_of(data)
    margo_kind(value)
    try:
        found, _ = read_capabilities(value)
    except ContractError as error:
        _sayable(error)
        return
    canonical_json(capabilities_manifest(found))
    Subject(found).properties  # noqa: B018  # deriving it is the test


def package_reader(data: bytes) -> None:
    """The description of a package and, behind a zero byte, the values for it as JSON."""
    text, _, given = data.partition(b"\0")
    values = json_of(given) if given else {}
    try:
        description, _ = read_description(load_yaml(text.decode("utf-8", "replace")))
        named = {str(key): value for key, value in values.items()} if isinstance(values, dict) else {}
        settled = settle_parameters(description, named, None)
        choice = choose_profile(description, [SUBJECT])
        made = spec_of(description, choice.profile, settled, name="press", agents=Agents(devices=("edge-01",)))
    except ContractError as error:
        _sayable(error)
        return
    encode(made)


def codec(data: bytes) -> None:
    """What programs write: every document of the table, sealed and not."""
    for model in _MODELS:
        for payload in (data, seal(data)) if data[:1] == b"{" else (data,):
            try:
                decode(model, payload)
            except ContractError as error:
                _sayable(error)
            try:
                decode_sealed(model, payload)
            except ContractError as error:
                _sayable(error)
    try:
        value = parse_json(text_of(data))
    except ContractError as error:
        _sayable(error)
    else:
        canonical_json(value)


def yaml_loader(data: bytes) -> None:
    """YAML, its positions, and the YAML of clusters and charts."""
    text = data.decode("utf-8", "replace")
    try:
        value = load_yaml(text)
    except ContractError as error:
        _sayable(error)
    else:
        canonical_json(value)
    positions_of(text)
    try:
        canonical_json(load_document(text))
        for part in split_documents(text):
            load_document(part)
    except ValueError:
        pass
    with contextlib.suppress(yaml.YAMLError, ValueError):
        bounded_yaml.load(data)
    with contextlib.suppress(BlockYamlError):
        read_block_yaml(text)


def quantities(data: bytes) -> None:
    """Quantities, durations, versions and ranges."""
    text = text_of(data)
    for parse in (parse_quantity, parse_duration, Version.parse, VersionRange):
        try:
            found = parse(text)
        except ValueError:
            continue
        if parse is parse_quantity:
            assert found >= 0
            format_bytes(found)
            format_cores(found)
    number_of(text)
    wanted, _, version = text.partition("\n")
    with contextlib.suppress(ValueError):
        newest_match(wanted, [version, "1.2.3", "v2"])


def pointers(data: bytes) -> None:
    """JSON pointers into the property document, and Helm's into values."""
    for pointer in text_of(data).split("\n")[:20]:
        try:
            check_pointer(pointer)
        except ValueError:
            pass
        else:
            finder(pointer)(SUBJECT.properties)
    values: dict[str, Any] = {}
    for pointer in text_of(data).split("\n")[:20]:
        with contextlib.suppress(ValueError):
            set_value(values, pointer, 1)
        with contextlib.suppress(ValueError):
            variable_name(pointer)


def patterns(data: bytes) -> None:
    """A regular expression and, behind a line end, a value for it."""
    pattern, _, value = text_of(data).partition("\n")
    with contextlib.suppress(PatternError):
        matcher(pattern)(value)


def matching(data: bytes) -> None:
    """Requirements, a selector and references against a device, which may be in the bytes too."""
    value = json_of(data)
    if not isinstance(value, dict):
        return
    requirements, selector, device = Requirements(), None, SUBJECT
    with contextlib.suppress(ValidationError):
        requirements = Requirements.model_validate(value.get("requirements", value))
    with contextlib.suppress(ValidationError):
        selector = Selector.model_validate(value.get("selector", value))
    with contextlib.suppress(ValidationError):
        device = Subject(Capabilities.model_validate(value.get("device")))
    _match(requirements, selector, device)
    compile_references(map(str, value))(device)


def _match(requirements: Requirements, selector: Selector | None, subject: Subject = SUBJECT) -> None:
    compiled = compile_requirements(requirements)
    unmet = compiled.unmet(subject)
    assert compiled.suits(subject) == (not unmet)
    assert all(len(str(reason)) < 5_000 for reason in unmet)
    if selector is not None:
        assert selects(selector, subject) == (not unselected(selector, subject))


def charts(data: bytes) -> None:
    """A chart's archive, and its ignore file."""
    try:
        open_archive(data)
    except ChartFetchError as error:
        assert error.code.startswith("chart-")  # noqa: PT017  # its code is what is promised
    try:
        ignored = HelmIgnore(text_of(data))
    except ChartFetchError:
        return
    ignored.leaves_out("templates/" + "a" * 200, folder=False)


def package_archives(data: bytes) -> None:
    """An application package that is an archive: nothing outside of its folder is written."""
    with tempfile.TemporaryDirectory() as folder:
        archive, inside = Path(folder) / "a.tgz", Path(folder) / "in"
        archive.write_bytes(data)
        inside.mkdir()
        with contextlib.suppress(CliError):
            unpack(archive, inside)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["a.tgz", "in"]


def capabilities_file(data: bytes) -> None:
    """The operator's file about a device, in each of its forms."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".json", ".toml", ".yaml"):
            path = Path(folder) / f"a{suffix}"
            path.write_bytes(data)
            try:
                read_overlay(path, "edge-01")
            except CapabilitiesFileError as error:
                assert str(path) in str(error)  # noqa: PT017  # it names the file


def topic_names(data: bytes) -> None:
    """Any topic name."""
    text = text_of(data)
    for topic in (text, f"{TOPICS.root}/{text}"):
        try:
            address = TOPICS.parse(topic)
        except ContractError as error:
            _sayable(error)
            continue
        ids = {"device": address.device, "deployment": address.deployment}
        assert TOPICS.topic(address.channel, **{key: value for key, value in ids.items() if value}) == topic
    with contextlib.suppress(ValueError):
        Topics(text)


def inbound(data: bytes) -> None:
    """Messages to the orchestrator, one a line: the first byte says on which topic. Nothing ever stops it."""
    story = Story().device("edge-01", {"line": "press"}).spec(spec())
    for line in data.split(b"\n")[:8]:
        channel = (*SUBSCRIBED, None)[line[0] % (len(SUBSCRIBED) + 1)] if line else None
        ids = {key: value for key, value in (("device", "edge-01"), ("deployment", "press"))
               if channel is not None and f"{{{key}}}" in channel.pattern}  # fmt: skip
        topic = (
            TOPICS.topic(channel, **ids)
            if channel is not None
            else f"{TOPICS.root}/" + line[1:].decode("utf-8", "replace")
        )
        payload = line[1:]
        if channel == channels.CAPABILITIES and payload[:1] == b"{" and payload[-1:] == b"}":
            payload = seal(payload)
        decide_message(story.fleet, topic, payload, True, story.context)
        story.message(topic, payload)
    story.aggregate()


def _sayable(error: ContractError) -> None:
    """A refusal can be published: UTF-8, at most as long as an answer may be."""
    assert error.reasons
    result = SpecResult(deployment="d", outcome="rejected", generation=0, spec_digest="", reasons=error.reasons[:200])
    assert len(encode(result)) < 500_000


HARNESSES: dict[str, Harness] = {
    "spec": spec_reader,
    "margo-capabilities": margo_capabilities,
    "package": package_reader,
    "codec": codec,
    "yaml": yaml_loader,
    "quantity": quantities,
    "pointer": pointers,
    "pattern": patterns,
    "matching": matching,
    "chart": charts,
    "package-archive": package_archives,
    "capabilities-file": capabilities_file,
    "topic": topic_names,
    "inbound": inbound,
}
