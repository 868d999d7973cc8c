"""The kind of YAML that a kubeconfig is written in: read exactly, or refused with the line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.probe.block_yaml import BlockYamlError, read_block_yaml

yaml = pytest.importorskip("yaml", reason="PyYAML, which the reader is compared with, is not installed")

K3S = """\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: LS0tLS1CRUdJTg==
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: LS0t
    client-key-data: LS0tLS0=
"""


@pytest.mark.parametrize(
    "text",
    [
        K3S,
        "---\n# written by a program\na: b # and a remark\n\nlist:\n  - one\n  - two\n",
        "a: 'it''s'\nb: \"tab\\t\\u00e9\"\n'c d': e\nf: \"x # y\" # z\n",
        "a:\n  b:\n    c: d\n  e: f\ng: h\n",
        "users:\n- name: aws\n  user:\n    exec:\n      args:\n      - --region\n      - eu-1\n      env: null\n",
        "- - a\n  - b\n-\n  c: d\n- e\n",
        "url: https://host:6443/k8s/clusters/c-1?x=1#y\narn: arn:aws:eks:eu:1:cluster/x\n",
        "a:\nb: ~\nc: []\nd: {}\n",
        "just text\n",
        "",
        "# nothing\n",
    ],
)
def test_it_reads_what_a_whole_parser_reads(text: str) -> None:
    """The same values as PyYAML's, with every scalar a string."""
    assert _no_empty(read_block_yaml(text)) == _no_empty(yaml.load(text, Loader=yaml.BaseLoader))


def _no_empty(value: object) -> object:
    """The base loader has "" and names of null where a reader of values has None."""
    if isinstance(value, dict):
        return {key: _no_empty(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_no_empty(item) for item in value]
    return None if value in ("", "null", "~") else value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: &anchor b\n", 1),
        ("a: *anchor\n", 1),
        ("a: !tag b\n", 1),
        ("a: {b: c}\n", 1),
        ("a: [b, c]\n", 1),
        ("a: |\n  text\n", 1),
        ("a: >-\n  text\n", 1),
        ("a: b\na: c\n", 2),
        ("a: b\n  c: d\n", 2),
        ("a:\n    b: c\n  d: e\n", 3),
        ("a: b\nplain\n", 2),
        ("a: b: c\n", 1),
        ("a: 'b' c\n", 1),
        ('a: "\\x41"\n', 1),
        ("\ta: b\n", 1),
        ("a: b\n- c\n", 2),
        ("? a\n: b\n", 1),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, line: int) -> None:
    """Nothing is guessed at."""
    with pytest.raises(BlockYamlError, match=rf"^line {line}: "):
        read_block_yaml(text)


def test_nesting_is_bounded() -> None:
    """On one line and over many."""
    for text in ("- " * 5000 + "a", "\n".join(" " * n + "a:" for n in range(500))):
        with pytest.raises(BlockYamlError, match="deeper than 20"):
            read_block_yaml(text)


@given(st.text(alphabet="ab:- #'\"\n\t{}[]&*|\\", max_size=60))
@example("a #b: c")
@example("- a\n b")
def test_any_text_is_read_or_refused(text: str) -> None:
    """And what is read means the same to a whole parser."""
    try:
        found = read_block_yaml(text)
        expected = yaml.load(text, Loader=yaml.BaseLoader)
    except (BlockYamlError, yaml.YAMLError):
        return
    assert _no_empty(found) == _no_empty(expected)


_keys = st.text(alphabet="abc-d.", min_size=1, max_size=8)
_values = st.recursive(
    st.text(alphabet="abc :/#'\"=-", max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_keys, _values, max_size=3))
def test_what_a_program_writes_is_read(value: dict[str, object]) -> None:
    """Block style, as PyYAML and client-go write it."""
    text = yaml.safe_dump(value, default_flow_style=False, width=10_000)
    assert _no_empty(read_block_yaml(text)) == _no_empty(value)


@pytest.mark.parametrize(
    "text", ["a" + " " * 400_000 + "b", "'" * 400_001, '"' + "\\" * 400_000, "a: " + "# " * 200_000]
)
@pytest.mark.timeout(10)
def test_a_long_line_takes_no_longer_than_its_length(text: str) -> None:
    """No pattern looks at a character again and again."""
    with contextlib.suppress(BlockYamlError):
        read_block_yaml(text)
