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


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"\xff\xfe\x00", "1:1"), (b"a: 1\nb: \xc3\xa4\xff\n", "2:5"), (b"\xef\xbb\xbfa: \xff", "1:4")],
)
def test_what_is_no_text_has_a_place_too(content: bytes, place: str, tmp_path: Path) -> None:
    """The first character that is none."""
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    result = validate("-f", str(file))
    assert result.exit_code == Exit.USAGE
    assert result.stdout.startswith(f"{file}:{place}: not valid UTF-8 at byte ")


def test_a_document_that_is_too_large_is_refused_without_being_read() -> None:
    """A limit would be no use if everything were parsed first to say where."""
    result = validate("-f", "-", stdin="a: 1\n" * 300_000)
    assert result.exit_code == Exit.USAGE
    assert result.stdout.startswith("standard input:1:1: 1500000 bytes are more than the limit")


def test_a_file_without_an_end_is_refused() -> None:
    """A device, or a pipe that somebody forgot."""
    result = validate("-f", "/dev/zero")
    assert result.exit_code == Exit.USAGE
    assert "/dev/zero is larger than 64 MiB" in result.output


def test_a_package_is_checked_with_the_options_of_apply() -> None:
    """Values, profile, name: what apply would refuse, with the place of the parameter."""
    package = EXAMPLES / "margo" / "hello-margo"
    file = package / "margo.yaml"
    fine = ("--set", "greeting=Hi", "--profile", "helm", "--name", "hi", "--namespace", "ns", "-l", "line=press")
    assert validate("-f", str(package), *fine).exit_code == Exit.OK
    for options, text in (
        (("--set", "intervalSeconds=0"), "parameters.intervalSeconds: 0 is less than 1"),
        (("--set", "greting=Hi"), "did you mean greeting?"),
        (("--profile", "compose"), "no deployment profile has the id or type 'compose'"),
    ):
        result = validate("-f", str(package), *options)
        assert result.exit_code == Exit.USAGE, result.output
        assert result.stdout.startswith(f"{file}:")
        assert text in result.stdout
    native = validate("-f", str(EXAMPLES / "line-monitor.yaml"), "--set", "a=b")
    assert native.exit_code == Exit.USAGE
    assert "there is none among the files" in native.output


def test_what_a_package_refers_to_is_looked_at(tmp_path: Path) -> None:
    """A chart that is missing is found before anybody applies it."""
    (tmp_path / "margo.yaml").write_bytes((EXAMPLES / "margo" / "hello-margo" / "margo.yaml").read_bytes())
    result = validate("-f", str(tmp_path))
    assert result.exit_code == Exit.USAGE
    assert "deploymentProfiles[0].components: the package has no file or folder './charts/hello-margo'" in result.stdout


def test_a_deployment_that_names_no_device_is_valid_for_a_given_one() -> None:
    """As apply takes it."""
    text = """\
id: 8c1f4a52-6d0e-4b7c-9d2b-2f6f5b1d7e90
metadata: {name: oven-watch}
spec:
  applicationId: com-example-oven-watch
  deploymentProfile:
    type: helm
    components: [{name: watcher, properties: {repository: "oci://registry.example/watcher", revision: 3.2.0}}]
"""
    assert validate("-f", "-", stdin=text).exit_code == Exit.USAGE
    given = validate("-f", "-", "--device", "edge-01", stdin=text)
    assert given.exit_code == Exit.OK, given.output
