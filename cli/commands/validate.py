"""``fleetbus validate``: are these documents valid, and if not, where and why? Needs no broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.context import Given, Output
from cli.document_check import Checked, Problem, check_document
from cli.exits import Exit
from cli.printing import as_text, note, visible
from cli.spec_files import read_files, split_documents
from topics.errors import Reason
from topics.yaml_positions import Position


def validate(given: Given, paths: Sequence[Path]) -> Exit:
    """Check every document in ``paths`` and print every problem as ``file:line:column: path: message (hint)``."""
    output = given.output()
    checked = _unique(
        check_document(source, line, payload)
        for path in paths
        for source, content in read_files(path)
        for line, payload in split_documents(content)
    )
    if output is Output.TABLE:
        for item in checked:
            for line in lines(item):
                print(visible(line))
    else:
        print(as_text(output, [_data(item) for item in checked]), end="")
    invalid = sum(not item.valid for item in checked)
    warnings = sum(problem.warning for item in checked for problem in item.problems)
    said = f", {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    note(f"{len(checked)} document{'s' * (len(checked) != 1)}, {invalid or 'none'} not valid{said}")
    return Exit.USAGE if invalid else Exit.OK


def lines(item: Checked) -> list[str]:
    """A document in lines: one for each problem, or that it is valid."""
    found = [
        f"{item.source}:{problem.position.line}:{problem.position.column}: "
        + ("warning: " if problem.warning else "")
        + " ".join(str(problem.reason).split("\n"))
        for problem in item.problems
    ]
    return [*found, f"{item.source}:{item.line}: {item.kind} {item.name} is valid"] if item.valid else found


def _unique(documents: Iterable[Checked]) -> list[Checked]:
    """The documents; a deployment whose name an earlier one has is a problem: on the bus there is one of each."""
    found: list[Checked] = []
    first: dict[str, Checked] = {}
    for item in documents:
        if item.name and item.kind != "ApplicationDescription" and first.setdefault(item.name, item) is not item:
            other = first[item.name]
            reason = Reason(
                path="metadata.name", code="duplicate-name",
                message=f"the name {item.name!r} is already used in {other.source}:{other.line}",
                hint="one deployment of a name is one message; the later one would replace the earlier",
            )  # fmt: skip
            found.append(replace(item, problems=(*item.problems, Problem(Position(item.line, 1), reason))))
        else:
            found.append(item)
    return found


def _data(item: Checked) -> dict[str, Any]:
    return {
        "source": item.source,
        "line": item.line,
        "kind": item.kind,
        "name": item.name,
        "valid": item.valid,
        "problems": [
            {
                "severity": "warning" if problem.warning else "error",
                "line": problem.position.line,
                "column": problem.position.column,
                **problem.reason.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
            for problem in item.problems
        ],
    }
