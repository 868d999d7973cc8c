"""The command line as a person types it, without a broker."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

import cli.main  # noqa: F401 - it adds the commands
from cli.app import app
from cli.commands.following import filters_for
from cli.exits import Exit
from cli.reference import page
from topics import channels
from topics.channels import Topics
from topics.tables import topic_rows, topic_table_markdown

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tester's own configuration plays no part."""
    monkeypatch.delenv("FLEETBUS_BROKER", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def run(*arguments: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_help_holds_the_manual() -> None:
    """Examples, every exit code, and the environment stand in ``--help``."""
    text = run("--help").output
    assert "fleetbus apply -f examples/ --wait" in text
    assert all(f"{code.value}  " in text for code in Exit)
    assert "FLEETBUS_BROKER" in text


def test_every_command_has_a_manual() -> None:
    """No command without a sentence on what it does."""
    listed = run("--help").output
    for name in (
        "apply", "delete", "render", "get", "describe", "watch", "events", "topics", "activate", "retry", "rollback",
        "cancel", "pause", "resume", "broker", "demo", "version",
    ):  # fmt: skip
        assert f"│ {name} " in listed
        result = run(name, "--help")
        assert result.exit_code == Exit.OK
        assert len(result.output.split()) > 10


def test_the_committed_reference_is_current() -> None:
    """``docs/cli.md`` is what ``python -m cli.reference`` writes."""
    committed = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
    assert committed.read_text(encoding="utf-8") == page()


def test_starting_up_imports_nothing_slow() -> None:
    """``--help`` and shell completion wait for every import: paho, the documents and tables come later."""
    script = (
        "import sys, cli.main; print(*[name for name in sys.modules if '.' not in name or name.startswith('topics')])"
    )
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"paho", "yaml", "orchestrator", "sqlalchemy", "topics.codec", "topics.transport.mqtt"} & set(modules)


def test_the_topic_table_is_printed_in_every_form() -> None:
    """Table, JSON, YAML and Markdown come from the same rows."""
    assert "fleetbus/v1/specs/<deployment>" in run("topics").stdout
    assert json.loads(run("topics", "-o", "json").stdout) == topic_rows()
    assert yaml.safe_load(run("topics", "-o", "yaml", "--root", "plant/v2").stdout) == topic_rows("plant/v2")
    assert run("-o", "markdown", "topics").stdout == topic_table_markdown()


def test_access_rules_are_printed_for_the_named_users() -> None:
    """A site gives its own user names by role."""
    text = run("topics", "--acl", "mosquitto", "--user", "operator=_anna", "--user", "operator=_ben").stdout
    assert "user _anna" in text
    assert "user _ben" in text
    assert "user _operator" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "gadgets"),
        ("get", "specs"),  # no broker
        ("apply",),
        ("delete", "-b", "mqtt://127.0.0.1:1"),
        ("delete", "Not_A_Name", "-b", "mqtt://127.0.0.1:1"),
        ("get", "deployments", "a/b", "-b", "mqtt://127.0.0.1:1"),
        ("events", "--device", "a b", "-b", "mqtt://127.0.0.1:1"),
        ("rollback", "Bad", "-b", "mqtt://127.0.0.1:1"),
        ("rollback", "good", "--device", "a/b", "-b", "mqtt://127.0.0.1:1"),
        ("topics", "--acl", "mosquitto", "--user", "agent=edge-01"),
        ("topics", "--acl", "mosquitto", "--user", "nobody"),
        ("apply", "-f", "/no/such/file", "-b", "mqtt://127.0.0.1:1"),
        ("get", "specs", "-o", "markdown", "-b", "mqtt://127.0.0.1:1"),
        ("render", "-f", str(EXAMPLES / "line-monitor.yaml"), "--device", "a/b"),
        ("frobnicate",),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    """And says what is wrong on standard error."""
    result = run(*arguments)
    assert result.exit_code == Exit.USAGE, result.output
    assert result.stderr


def test_a_broker_that_is_not_there_ends_with_3() -> None:
    """At once, and with the address that was tried."""
    with socket.socket() as taken:  # bound and not listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{taken.getsockname()[1]}"
        result = run("get", "devices", "--broker", url)
    assert result.exit_code == Exit.UNREACHABLE
    assert url in result.stderr


def test_a_spec_that_is_not_valid_is_not_sent() -> None:
    """The reasons come with file and field path before any broker is asked."""
    result = run(
        "apply", "-f", "-", "-b", "mqtt://127.0.0.1:1", stdin="apiVersion: fleetbus/v2\nkind: DeploymentSpec\n"
    )
    assert result.exit_code == Exit.USAGE
    assert "standard input:1:13: apiVersion: is 'fleetbus/v2'" in result.stderr


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_renders_offline(file: Path) -> None:
    """Each is valid and gives a manifest for the device that is asked for."""
    result = run("render", "-f", str(file), "--device", "edge-07", "-o", "json")
    assert result.exit_code == Exit.OK, result.stderr
    [published] = json.loads(result.stdout)
    assert published["topic"] == f"fleetbus/v1/devices/edge-07/manifests/{file.stem}"
    assert published["manifest"]["device"] == "edge-07"
    assert published["manifest"]["components"][0]["objects"]


def test_render_prints_one_yaml_document_per_manifest() -> None:
    """Readable, and readable by a program."""
    text = run("render", "-f", str(EXAMPLES / "line-monitor.yaml"), "-d", "edge-01", "-d", "edge-02").stdout
    assert [item["device"] for item in yaml.safe_load_all(text)] == ["edge-01", "edge-02"]


def test_a_chart_that_is_not_there_ends_render_with_1(tmp_path: Path) -> None:
    """The reason names the field."""
    file = tmp_path / "report.yaml"
    file.write_bytes((EXAMPLES / "shift-report.yaml").read_bytes())
    result = run("render", "-f", str(file))
    assert result.exit_code == Exit.FAILED
    assert "spec.components[0].helm" in result.stderr
    assert run("render", "-f", str(file), "--charts", str(EXAMPLES)).exit_code == Exit.OK


def test_many_names_share_one_wildcard() -> None:
    """Brokers bound the subscriptions of a client (NATS: 15 with our settings)."""
    topics = Topics()
    assert filters_for(topics, [channels.RESULT], ["a", "b"]) == [
        "fleetbus/v1/specs/a/result", "fleetbus/v1/specs/b/result", "fleetbus/v1/orchestrator/presence",
    ]  # fmt: skip
    assert filters_for(topics, [channels.RESULT], list("abcdefgh"))[0] == "fleetbus/v1/specs/+/result"
