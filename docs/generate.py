"""Writes the generated parts of the documentation: ``python -m docs.generate`` (``--check``: compare only).

Pages hold generated blocks between ``<!-- generated: NAME -->`` and ``<!-- end -->``; whole files that
are generated are listed in ``FILES``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from cli.reference import page as cli_page
from cli.schemas import schema_files
from topics.acl import mosquitto_acl
from topics.eligibility import subject
from topics.lifecycle import MEANING, TRANSITIONS, State, targets
from topics.tables import topic_table_markdown

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def lifecycle_diagram() -> str:
    """The lifecycle as a Mermaid state diagram; what nearly every state allows is said in words."""
    common = {State.CREATED, State.REMOVING, State.FAILED}
    lines = ["```mermaid", "stateDiagram-v2", "  direction LR", "  [*] --> Created"]
    shown = set()
    for trigger, source, target in TRANSITIONS:
        if target in common and (source, target) not in {
            (State.DEGRADED, State.FAILED),
            (State.DEPLOYED, State.REMOVING),
        }:
            continue
        if (source, target) not in shown:
            shown.add((source, target))
            lines.append(f"  {source} --> {target}: {trigger.replace('_', ' ')}")
    lines += ["  Removed --> [*]", "```"]
    return "\n".join(lines) + "\n"


def property_table() -> str:
    """The properties that expressions point to, out of the module that makes them."""
    text = subject.__doc__ or ""
    return text.partition("<!-- property-table -->\n")[2].partition("<!-- end -->")[0]


def lifecycle_table() -> str:
    """Every state with its meaning and where it leads."""
    lines = ["| state | a deployment is here when | leads to |", "| --- | --- | --- |"]
    lines += [f"| {state} | {MEANING[state]} | {', '.join(targets(state)) or 'nowhere'} |" for state in State]
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {
    "topic-table": topic_table_markdown,
    "lifecycle-diagram": lifecycle_diagram,
    "lifecycle-table": lifecycle_table,
    "property-table": property_table,
}

FILES: dict[str, Callable[[], str]] = {
    "mosquitto/acl": mosquitto_acl,
    "docs/cli.md": cli_page,
}

PAGES = ("README.md", "docs/architecture.md")


def generated() -> dict[Path, str]:
    """Every file that holds generated text, with the text it should have."""
    wanted = {ROOT / name: make() for name, make in FILES.items()}
    wanted |= {ROOT / "docs" / "schemas" / name: text for name, text in schema_files().items()}
    for name in PAGES:
        page = ROOT / name
        wanted[page] = _BLOCK.sub(lambda match: match[1] + BLOCKS[match[2]]() + match[3], page.read_text("utf-8"))
    return wanted


def main(arguments: list[str]) -> int:
    """Write what differs, or with ``--check`` only name it; the exit status is 1 if something does."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not what the code says: run make docs", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path], "utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
