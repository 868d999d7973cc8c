"""JSON Schemas of the documents on the bus, generated from their models: for editors, and for programs in other
languages.

Descriptions are the models' own docstrings: a field's is what its class says of it. Names, quantities and
durations are checked by functions in the models; their patterns stand here, and a test compares the two.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from topics import identifiers, quantity
from topics.channels import TABLE
from topics.documents.answer import AggregateStatus, SpecResult
from topics.documents.command import Command, OperatorCommand
from topics.documents.device import Allocatable, Capabilities, OrchestratorPresence, Presence
from topics.documents.manifest import Manifest
from topics.documents.query import Answer, Query
from topics.documents.selection import check_pointer
from topics.documents.spec import DeploymentSpec
from topics.documents.status import DeploymentStatus, Progress, TransitionEvent

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: tuple[type[BaseModel], ...] = (
    DeploymentSpec, SpecResult, AggregateStatus, OperatorCommand, OrchestratorPresence, Presence, Capabilities,
    Allocatable, Manifest, Command, DeploymentStatus, TransitionEvent, Progress, Query, Answer,
)  # fmt: skip
"""Every document of the topic table that is ours. ``DeploymentStatusManifest`` is Margo's, which has a schema."""

_SEALED = (Capabilities, Manifest)

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PREFIX = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"

CHECKED: Mapping[Callable[..., Any], JsonSchemaValue] = {
    identifiers.check_dns_label: {"type": "string", "pattern": rf"^{_DNS_LABEL}$"},
    identifiers.check_device_id: {"type": "string", "pattern": rf"^{_LABEL}$"},
    identifiers.check_device_ref: {"type": "string", "pattern": rf"^(?:{_LABEL}|{_LABEL}/(?:{_LABEL}|\*))$"},
    identifiers.check_label_key: {"type": "string", "pattern": rf"^(?:{_PREFIX}/)?{_LABEL}$"},
    identifiers.check_label_value: {"type": "string", "pattern": rf"^(?:{_LABEL})?$"},
    check_pointer: {"type": "string", "pattern": r"^/(?:[^~]|~[01])*$", "maxLength": 500},
    quantity._checked_quantity: {  # noqa: SLF001 - how the model names its check
        "type": ["string", "number"],
        "pattern": r"^\s*\+?(?=\.?[0-9])[0-9]{0,30}(?:\.[0-9]{0,30})?"
        r"(?:[eE][+-]?[0-9]{1,2}| *(?:[numkMGTPE]|[KMGTPE]i))?\s*$",
        "minimum": 0,
        "examples": ["500m", "2", "512Mi", "1.5Gi"],
    },
    quantity._checked_duration: {  # noqa: SLF001
        "type": ["string", "number"],
        "pattern": rf"^(?:{_NUMBER}|(?:{_NUMBER}(?:h|ms|m|s))+)$",
        "minimum": 0,
        "examples": ["90s", "8m30s", "1h"],
    },
}
"""What a value must look like to pass each check of the models, as far as a pattern can say it."""


def _one_of(*fields: str, **kinds: str) -> JsonSchemaValue:
    """Exactly one of these fields is there and not null."""
    return {
        "oneOf": [
            {"required": [field], "properties": {field: _present(kinds.get(field, "object"))}} for field in fields
        ]
    }


def _present(kind: str) -> JsonSchemaValue:
    return {"type": kind, "minItems": 1} if kind == "array" else {"type": kind}


_RULES: Mapping[str, JsonSchemaValue] = {
    "Agents": _one_of("devices", "selector", devices="array"),
    "Component": _one_of("helm", "kubernetes", "compose"),
    "ComposeProject": _one_of("project", "package"),
    "ComposePackage": _one_of("repository", "location", repository="string", location="string"),
    "Rule": {
        "anyOf": [
            {"required": [field], "properties": {field: _present("object")}}
            for field in ("propertySelector", "labelSelector")
        ]
    },
}
"""Rules over several fields that the models check with validators."""


def schema_files() -> dict[str, str]:
    """File name and text of every schema, and of the page that lists them."""
    files = {file_name(model): schema_text(model) for model in DOCUMENTS}
    return {**files, "README.md": _page()}


def file_name(model: type[BaseModel]) -> str:
    """``deployment-spec.schema.json``."""
    return f"{_kebab(model.__name__)}.schema.json"


def schema_text(model: type[BaseModel]) -> str:
    """The schema of a document as it is written to its file."""
    return json.dumps(schema_of(model), indent=2, ensure_ascii=False) + "\n"


def schema_of(model: type[BaseModel]) -> JsonSchemaValue:
    """The schema of one document, complete in itself."""
    found = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    if model in _SEALED:
        digest = {
            "type": "string",
            "pattern": "^sha256:[0-9a-f]{64}$",
            "description": "The first member of the message: the digest over the rest of it exactly as sent.",
        }
        found["properties"] = {"digest": digest, **found["properties"]}
        found["required"] = ["digest", *found.get("required", ())]
    return {"$schema": DIALECT, "$id": f"urn:fleetbus:schema:v1:{_kebab(model.__name__)}", **found}


class _Generator(GenerateJsonSchema):
    """Adds what the models check with functions, and what their docstrings say."""

    def function_after_schema(self, schema: Any) -> JsonSchemaValue:
        known = CHECKED.get(schema["function"]["function"])
        return dict(known) if known is not None else super().function_after_schema(schema)

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        for pattern, values in found.pop("patternProperties", {}).items():
            found["propertyNames"] = {"pattern": pattern}
            found["additionalProperties"] = values
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title made of the name says nothing

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model: type[BaseModel] = schema["cls"]
        found["description"] = prose(model.__doc__ or "")
        for name, field in model.model_fields.items():
            member = found["properties"][field.alias or name]
            if not any("$ref" in item for item in (member, *member.get("anyOf", ()))):
                member["description"] = field_text(model, name, field.alias or name)
            if member.get("default") in (None, [], {}) or isinstance(member.get("default"), dict):
                member.pop("default", None)
        return found | _RULES.get(model.__name__, {})


def prose(docstring: str) -> str:
    """A docstring as plain text: line ends taken out, code in single quotes of code."""
    parts = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts).replace("``", "`")


def field_text(model: type[BaseModel], name: str, alias: str) -> str:
    """What is said of a field: its own docstring, else the sentences of its class that name it, else the first."""
    base = next(base for base in model.__mro__ if name in inspect.get_annotations(base))
    own = _attribute_docstrings(base).get(name)
    if own:
        return prose(own)
    every = list(_sentences(prose(base.__doc__ or "")))
    marks = (f"`{name}`", f"`{alias}`")
    return " ".join(item for item in every if any(mark in item for mark in marks)) or every[0]


def _sentences(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        yield from re.split(r"(?<=[.;])\s+(?=[A-Z`])", part)


def _attribute_docstrings(model: type) -> dict[str, str]:
    """The texts below the fields in the source of a class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    found: dict[str, str] = {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = text.value.value
    return found


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _page() -> str:
    carried = {channel.document: channel for channel in TABLE}
    lines = [
        "# JSON Schemas",
        "",
        "<!-- Generated by: python -m docs.generate. Do not edit. -->",
        "",
        "One for each document on the bus, generated from the models that the programs themselves check with. They are",
        "JSON Schema 2020-12 and complete in themselves. An editor with the YAML language server completes and",
        "checks a spec that starts with this line, with the path from the spec's folder to this one, or an address:",
        "",
        "```yaml",
        "# yaml-language-server: $schema=../docs/schemas/deployment-spec.schema.json",
        "```",
        "",
        "The files in `examples/` do. A spec in JSON takes no such line: name the schema in the editor's settings. The",
        "programs check more than a schema can say (names that are used twice, what is inside of objects);",
        "`fleetbus validate -f FILE` says all of it, without a broker.",
        "",
        "| schema | document on | carries |",
        "| --- | --- | --- |",
    ]
    for model in DOCUMENTS:
        channel = carried[model.__name__]
        topic = channel.pattern.replace("{", "<").replace("}", ">")
        lines.append(f"| [`{file_name(model)}`]({file_name(model)}) | `{topic}` | {channel.carries} |")
    return "\n".join(lines) + "\n"
