"""What is sent is exactly what the file holds, and nothing is sent of files with an error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.document_files import split_documents
from cli.exits import CliError, Exit
from cli.spec_files import load_names, load_specs


def spec(name: str, **body: object) -> str:
    """A small spec; JSON is YAML, too."""
    component = {
        "name": "c",
        "kubernetes": {"objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}]},
    }
    return json.dumps(
        {
            "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
            "spec": {"agents": {"devices": ["edge-01"]}, "components": [component]} | body,
        }
    )  # fmt: skip


def test_a_file_with_one_document_is_sent_byte_for_byte(tmp_path: Path) -> None:
    """Comments, separators and line ends stay: the digest is over these very bytes."""
    content = b"# a remark\r\n---\r\n" + spec("press").encode() + b"\r\n"
    file = tmp_path / "press.yaml"
    file.write_bytes(content)
    [loaded] = load_specs([file])
    assert (loaded.name, loaded.payload) == ("press", content)


def test_several_documents_are_sent_one_by_one(tmp_path: Path) -> None:
    """``---`` at the start of a line separates; each part is its own message."""
    file = tmp_path / "all.yaml"
    file.write_text(f"{spec('a')}\n---\n{spec('b')}\n--- # the last\n{spec('c')}\n---\n# nothing\n")
    loaded = load_specs([file])
    assert [item.name for item in loaded] == ["a", "b", "c"]
    assert loaded[1].source == f"{file}:2"


def test_a_folder_is_its_specs_and_not_its_subfolders(tmp_path: Path) -> None:
    """Charts lie in subfolders and hold YAML that is no spec."""
    (tmp_path / "b.yml").write_text(spec("b"))
    (tmp_path / "a.json").write_text(spec("a"))
    (tmp_path / "README.md").write_text("not a spec")
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "Chart.yaml").write_text("name: no spec")
    assert [item.name for item in load_specs([tmp_path])] == ["a", "b"]


def test_every_reason_in_every_file_is_told_at_once(tmp_path: Path) -> None:
    """File, field path and reason; the valid files are not sent either."""
    (tmp_path / "a.yaml").write_text(spec("a", workload={"namspace": "x"}))
    (tmp_path / "b.yaml").write_text(spec("B"))
    (tmp_path / "c.yaml").write_text(spec("c"))
    with pytest.raises(CliError) as raised:
        load_specs([tmp_path])
    assert raised.value.code is Exit.USAGE
    first, second = raised.value.details
    assert re.search(r"a\.yaml:1:[0-9]+: spec\.workload\.namspace:", first)
    assert re.search(r"b\.yaml:1:[0-9]+: metadata\.name:", second)


def test_two_specs_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second would silently replace the first."""
    file = tmp_path / "twice.yaml"
    file.write_text(f"{spec('a')}\n---\n{spec('a')}\n")
    with pytest.raises(CliError) as raised:
        load_specs([file])
    assert "already used" in raised.value.details[0]


@pytest.mark.parametrize("content", ["", "# only a remark\n", "---\n---\n"])
def test_a_file_without_a_document_is_an_error(content: str, tmp_path: Path) -> None:
    """Nothing to send is never a success."""
    file = tmp_path / "empty.yaml"
    file.write_text(content)
    with pytest.raises(CliError):
        load_specs([file])


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """It names the file and the system's reason."""
    with pytest.raises(CliError, match=r"none\.yaml: No such file"):
        load_specs([tmp_path / "none.yaml"])


@given(st.lists(st.sampled_from(["a: 1", "# remark", "", "---", "--- b: 2", "text: |", "  ---", "----"])))
def test_no_content_is_lost_in_splitting(lines: list[str]) -> None:
    """Whatever the file, every line with content is in exactly one of the parts, in order."""
    content = "\n".join(lines).encode()
    parts = split_documents(content)
    if len(parts) == 1:
        assert parts == [(1, content)]
    kept = [line for _, part in parts for line in part.decode().split("\n") if _matters(line)]
    assert kept == [line for line in lines if _matters(line)]


def _matters(line: str) -> bool:
    return (bool(line.strip()) and not line.startswith(("#", "---"))) or line in ("--- b: 2", "----")


def test_names_are_known_without_any_device(tmp_path: Path) -> None:
    """For delete: a spec, an application package, and a deployment of Margo's that names no device."""
    (tmp_path / "a.yaml").write_text(spec("a"))
    (tmp_path / "b.yaml").write_text(
        json.dumps(
            {
                "apiVersion": "application.margo.org/v1alpha1",
                "kind": "ApplicationDeployment",
                "metadata": {
                    "name": "oven-watch",
                    "annotations": {"id": "8c1f4a52-6d0e-4b7c-9d2b-2f6f5b1d7e90", "applicationId": "com-example-oven"},
                },
                "spec": {
                    "deploymentProfile": {
                        "type": "helm.v3",
                        "components": [{"name": "w", "properties": {"repository": "oci://r.example/w"}}],
                    }
                },
            }
        )
    )
    package = Path(__file__).parents[3] / "examples" / "margo" / "hello-margo"
    assert load_names([tmp_path, package]) == ["a", "oven-watch", "com-example-hello-margo"]
    (tmp_path / "c.yaml").write_text("kind: [")
    with pytest.raises(CliError, match="nothing was sent"):
        load_names([tmp_path])


def test_charts_are_looked_for_beside_each_document_of_a_file(tmp_path: Path) -> None:
    """Also where it is one of several in its file."""
    file = tmp_path / "all.yaml"
    file.write_text(f"{spec('a')}\n---\n{spec('b')}\n")
    assert [item.folder for item in load_specs([file])] == [tmp_path, tmp_path]
