"""``fleetbus validate``: are these documents valid, and if not, where and why? Needs no broker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.context import Given, Output
from cli.document_check import Checked, Problem, check_package, check_part, shown
from cli.document_files import STDIN, read_parts
from cli.exits import Exit
from cli.margo_files import find_package
from cli.margo_packages import MargoOptions
from cli.printing import as_text, note, visible
from cli.spec_files import describes_application, package_of
from topics.errors import Reason
from topics.yaml_positions import Position


def validate(given: Given, paths: Sequence[Path], options: MargoOptions | None = None) -> Exit:
    """Check every document in ``paths`` and print every problem as ``file:line:column: path: message (hint)``.

    With ``options`` it is checked what ``apply`` would make of Margo's documents with them.
    """
    output, options = given.output(), options or MargoOptions()
    checked = _unique(item for path in paths for item in _checked(path, options))
    options.check_use(
        packages=any(item.kind == "ApplicationDescription" for item in checked),
        deployments=any(item.kind in ("ApplicationDeployment", "") for item in checked),
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
    found = f"{len(checked)} document{'s' * (len(checked) != 1)}"
    note(f"{found}, {f'{invalid} not valid' if invalid else 'all valid' if len(checked) > 1 else 'valid'}{said}")
    return Exit.USAGE if invalid else Exit.OK


def lines(item: Checked) -> list[str]:
    """A document in lines: one for each problem, or that it is valid."""
    found = [shown(item.source, problem) for problem in item.problems]
    return [*found, f"{item.source}:{item.line}: {item.kind} {item.name} is valid"] if item.valid else found


def _checked(path: Path, options: MargoOptions) -> Iterator[Checked]:
    with ExitStack() as stack:
        package = None if path == STDIN else find_package(path, stack)
        if package is not None:
            yield check_package(package, 1, options)
            return
        for part in read_parts(path):
            if describes_application(part.payload):
                yield check_package(package_of(part), part.line, options)
            else:
                yield check_part(part, options)


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
