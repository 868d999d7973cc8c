"""``validate``: every problem with its place, without a broker."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli.main  # noqa: F401 - it adds the commands
from cli.app import app
from cli.exits import Exit

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

SPEC = """\
apiVersion: fleetbus/v1
kind: DeploymentSpec
metadata: {name: NAME}
spec:
  agents: {devices: [edge-01]}
  components:
    - name: a
      kubernetes:
        objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]
"""
PACKAGE = """\
apiVersion: margo.org/v1-alpha1
kind: ApplicationDescription
metadata:
  id: com-example-hello
  name: Hello
  version: "1.0"
  catalog: {organization: [{name: Example}]}
deploymentProfiles:
  - type: helm
    id: hello-helm
    components:
      - name: hello
        properties: {repository: oci://registry.example/hello}
"""


def validate(*arguments: str, stdin: str = "") -> Result:
    result = CliRunner().invoke(app, ["validate", *arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_what_is_valid_ends_with_0() -> None:
    """Each document is named with its kind."""
    result = validate("-f", str(EXAMPLES))
    assert result.exit_code == Exit.OK, result.output
    assert f"{EXAMPLES / 'line-monitor.yaml'}:1: DeploymentSpec line-monitor is valid" in result.stdout


def test_every_problem_has_its_place_in_the_file(tmp_path: Path) -> None:
    """Of several documents, the line in the whole file; all problems at once, in their order."""
    file = tmp_path / "specs.yaml"
    bad = SPEC.replace("NAME", "Bad").replace("      kubernetes:", "      color: red\n      kubernetes:")
    file.write_text(f"# two of them\n---\n{SPEC.replace('NAME', 'good')}---\n{bad}---\na: b\n c: d\n")
    result = validate("-f", str(file))
    assert result.exit_code == Exit.USAGE
    lines = result.stdout.splitlines()
    assert lines[0] == f"{file}:2: DeploymentSpec good is valid"
    assert lines[1].startswith(f"{file}:15:18: metadata.name: 'Bad' is not a name")
    assert lines[2] == f"{file}:20:7: spec.components[0].color: is not a field of this document"
    assert lines[3].startswith(f"{file}:25:3: not valid YAML: mapping values are not allowed in this context")
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ('{"a": 1,\n "a": 2}', (2, 2), "duplicate-key"),
        ('{"a": 1,\n "a": }', (2, 7), "malformed"),
        ('{"apiVersion":\n\t"fleetbus/v1", "kind": "Spec"}', (2, 25), "wrong-kind"),
        ("- a\n", (1, 1), "malformed"),
        ("a: 1\nb: 2\na: 3\n", (3, 1), "duplicate-key"),
        ("a: &x [1]\nb: {<<: *x}\n", (2, 5), "merge-key"),
    ],
)
def test_json_and_yaml_alike(text: str, place: tuple[int, int], code: str) -> None:
    """As data, for a program."""
    result = validate("-f", "-", "-o", "json", stdin=text)
    assert result.exit_code == Exit.USAGE
    [document] = json.loads(result.stdout)
    [problem] = [item for item in document["problems"] if item["code"] == code]
    assert (problem["line"], problem["column"]) == place
    assert not document["valid"]


def test_two_deployments_of_one_name_are_a_problem(tmp_path: Path) -> None:
    """On the bus the later would replace the earlier."""
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(SPEC.replace("NAME", "same"))
    result = validate("-f", str(tmp_path))
    assert result.exit_code == Exit.USAGE
    assert f"{tmp_path / 'two.yaml'}:1:1: metadata.name: the name 'same' is already used in" in result.stdout


def test_an_application_package_is_checked(tmp_path: Path) -> None:
    """A folder with a margo.yaml; what is only tolerated is a warning with its place."""
    file = tmp_path / "margo.yaml"
    file.write_text(PACKAGE)
    result = validate("-f", str(tmp_path))
    assert result.exit_code == Exit.OK, result.output
    assert f"{file}:1: ApplicationDescription com-example-hello is valid" in result.stdout
    assert f"{file}:4:7: warning: metadata.id: " in result.stdout
    file.write_text(PACKAGE.replace("com-example-hello", "com.Example"))
    result = validate("-f", str(file))
    assert result.exit_code == Exit.USAGE
    assert f"{file}:4:7: metadata.id: 'com.Example'" in result.stdout


def test_a_bomb_is_refused_at_once() -> None:
    """By the number of nodes that it would expand to."""
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))])
    began = time.monotonic()
    result = validate("-f", "-", stdin=bomb)
    assert result.exit_code == Exit.USAGE
    assert "nodes once aliases are expanded" in result.stdout
    assert time.monotonic() - began < 10
    assert validate("-f", "-", stdin="[" * 500_000).exit_code == Exit.USAGE


def test_what_is_no_text_has_a_place_too(tmp_path: Path) -> None:
    """The first line, for want of a better one."""
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    result = validate("-f", str(file))
    assert result.exit_code == Exit.USAGE
    assert result.stdout.startswith(f"{file}:1:1: not valid UTF-8 at byte 0")
