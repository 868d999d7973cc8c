"""The files that a manifest becomes: names, order, bytes. No disk is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.directory.plan import (
    PlannedFile,
    allot_ranks,
    is_own_name,
    plan_component,
    plan_initialization,
    plan_parts,
)
from edge_agent.appliers.port import ApplyError
from topics.documents.manifest import Manifest

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
PLACE = st.tuples(LABEL, LABEL, st.integers(1, 9999))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
# Floats are left out: Python's YAML reads "1e+16" as text, Go's reads it as the number it is.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def manifest(deployment: str = "press", /, *, initialization: Any = (), **components: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "action": "apply",
            "deployment": deployment,
            "device": "edge-01",
            "generation": 3,
            "initialization": initialization,
            "components": [
                {"name": name.replace("_", "-"), "type": "kubernetes", "source": "spec", "objects": objects}
                for name, objects in components.items()
            ],
        }
    )


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def pod(name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}


def documents(file: PlannedFile) -> list[Any]:
    return list(yaml.safe_load_all(file.content))


def test_every_pod_has_its_own_file_and_the_rest_share_one() -> None:
    """A kubelet reads one Pod per file; the shared file comes first, for Pods stand on what it holds."""
    objects = [config_map("a"), pod("zebra"), config_map("b"), pod("ape")]
    shared, ape, zebra = plan_component(manifest(main=objects), "main", 50)
    assert documents(shared) == [config_map("a"), config_map("b")]
    assert (documents(ape), documents(zebra)) == ([pod("ape")], [pod("zebra")])
    assert shared.name < ape.name < zebra.name


def test_pods_in_a_list_are_found() -> None:
    """Charts may wrap objects in a v1 List, which no kubelet reads."""
    wrapped = {"apiVersion": "v1", "kind": "List", "items": [pod("inner"), config_map("a")]}
    assert [documents(file) for file in plan_component(manifest(main=[wrapped]), "main", 50)] == [
        [config_map("a")],
        [pod("inner")],
    ]


def test_pods_of_one_name_in_two_namespaces_are_two_files() -> None:
    """The namespace is part of a Pod's identity; twice the same one is refused."""
    assert len(plan_component(manifest(main=[pod("a", "x"), pod("a", "y")]), "main", 50)) == 2
    with pytest.raises(ApplyError) as caught:
        plan_component(manifest(main=[pod("a", "x"), pod("a", "x")]), "main", 50)
    assert (caught.value.code, caught.value.retryable) == ("duplicate-object", False)


@pytest.mark.parametrize("name", ["../../etc/passwd", "UPPER", "", None, 7, "a/b", "a" * 300])
def test_a_pod_without_a_valid_name_is_refused(name: object) -> None:
    """A Pod's name becomes part of a file name, so it is checked before it does."""
    broken = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    with pytest.raises(ApplyError) as caught:
        plan_component(manifest(main=[broken]), "main", 50)
    assert (caught.value.code, caught.value.component) == ("bad-object", "main")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {1, 2}])
def test_what_is_no_json_is_refused(value: object) -> None:
    """NaN, lone surrogates and Python objects have no form that a runtime could read."""
    broken = manifest(main=[config_map("a")])
    objects = ({**config_map("a"), "data": {"x": value}},)
    component = broken.components[0].model_copy(update={"objects": objects})
    with pytest.raises(ApplyError) as caught:
        plan_component(broken.model_copy(update={"components": (component,)}), "main", 50)
    assert (caught.value.code, caught.value.retryable) == ("not-serialisable", False)


def test_a_component_without_objects_has_no_file() -> None:
    """A chart may render nothing."""
    assert plan_component(manifest(main=[]), "main", 50) == ()
    assert plan_initialization(manifest(main=[])) == ()


def test_the_generation_is_in_neither_name_nor_content() -> None:
    """The same objects in a later generation are the same file, byte for byte: nothing is written again."""
    one = manifest(main=[config_map("a")])
    later = one.model_copy(update={"generation": 4})
    assert plan_component(one, "main", 50) == plan_component(later, "main", 50)


def test_content_does_not_depend_on_the_order_of_keys() -> None:
    """Two renderings that differ only in the order of keys are equal."""
    shuffled = dict(reversed(config_map("a").items()))
    one, other = manifest(main=[config_map("a")]), manifest(main=[shuffled])
    assert plan_component(one, "main", 50) == plan_component(other, "main", 50)


def test_no_file_begins_with_a_separator_or_a_brace() -> None:
    """A comment comes first: readers that guess JSON from a brace would stop at the first ``---``."""
    (shared,) = plan_component(manifest(main=[config_map("a"), config_map("b")]), "main", 50)
    lines = shared.content.decode().splitlines()
    assert lines[0].startswith("# Written by Fleetbus for press, main.")
    assert lines[1] == "{"
    assert lines.count("---") == 1


def test_characters_above_the_basic_plane_stay_raw() -> None:
    """Go's YAML refuses the surrogate pairs that JSON escapes them to, and control characters that are raw."""
    value = "\U0001f600\x7f\x85\u2028\ufeff\x00"
    (file,) = plan_component(manifest(main=[{**config_map("a"), "data": {"x": value}}]), "main", 50)
    assert "\U0001f600\\u007f\\u0085\\u2028\\ufeff\\u0000" in file.content.decode()
    assert documents(file)[0]["data"]["x"] == value


@given(st.lists(st.dictionaries(TEXT, JSON, max_size=4), min_size=1, max_size=3))
def test_every_json_object_reads_back_as_yaml(objects: list[dict[str, Any]]) -> None:
    """Whatever is in an object, a YAML reader gets the same out of the file."""
    with_kind = [{**item, "apiVersion": "v1", "kind": "ConfigMap"} for item in objects]
    (file,) = plan_component(manifest(main=with_kind), "main", 50)
    assert documents(file) == with_kind
    assert [json.loads(part) for part in file.content.decode().partition("\n")[2].split("\n---\n")] == with_kind


@given(PLACE, PLACE)
def test_names_are_unique_and_hold_one_period(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    """k3s tells files apart by what is before the first period: that part is unique and a DNS name."""
    first, second = (
        plan_component(manifest(deployment, **{component: [config_map("x")]}), component, rank)[0].name
        for deployment, component, rank in (one, other)
    )
    assert (first.partition(".")[0] == second.partition(".")[0]) == (one == other)
    assert first.count(".") == 1
    assert is_own_name(first)


def test_names_that_run_together_alike_differ() -> None:
    """``a`` with ``0050-b`` and ``a-0050`` with ``b`` have the same letters in the same order."""
    one = plan_component(manifest("a", **{"0050_b": [config_map("x")]}), "0050-b", 50)[0].name
    other = plan_component(manifest("a-0050", b=[config_map("x")]), "b", 50)[0].name
    assert one.rsplit("-", 1)[0] == other.rsplit("-", 1)[0]
    assert one != other


def test_the_longest_names_still_fit() -> None:
    """63 characters each and a Pod of 253: under the 253 of an AddOn's name and the 255 of a file's."""
    long = "a" * 63
    (file,) = plan_component(manifest(long, **{long: [pod("p." * 126 + "p")]}), long, 9999)
    assert len(file.name) < 253
    assert is_own_name(file.name)


def test_files_sort_in_the_order_of_application() -> None:
    """Initialization first, then the components as they stand in the manifest."""
    whole = manifest(initialization=(config_map("i"),), zebra=[config_map("z")], ape=[config_map("a"), pod("p")])
    ranks = allot_ranks(("zebra", "ape"), {})
    names = [file.name for _, planned in plan_parts(whole, ranks) for file in planned]
    assert len(names) == 4
    assert names == sorted(names)


@pytest.mark.parametrize(
    "name", ["a.yaml", "fleetbus-../x.yaml", "fleetbus-a.b.yaml", "fleetbus-a.json", "fleetbus-.yaml", ""]
)
def test_other_names_are_not_ours(name: str) -> None:
    """What this applier cannot have written is refused, also when an inventory says so."""
    assert not is_own_name(name)


def test_ranks_leave_room_and_never_change() -> None:
    """A later component goes between its neighbours; those keep their names."""
    first = allot_ranks(("a", "b"), {})
    second = allot_ranks(("new", "a", "between", "b", "last"), first)
    assert {name: second[name] for name in first} == first
    assert [name for name, _ in sorted(second.items(), key=lambda item: item[1])] == [
        "new",
        "a",
        "between",
        "b",
        "last",
    ]


@given(
    st.lists(st.permutations("abcdefgh").flatmap(lambda p: st.integers(1, 8).map(lambda n: tuple(p[:n]))), max_size=12)
)
def test_ranks_are_bounded_and_kept_over_any_history(history: list[tuple[str, ...]]) -> None:
    """Whatever comes, goes and moves: a rank is from 1 to 9999 and a component keeps the one it has."""
    known: dict[str, int] = {}
    for components in history:
        ranks = allot_ranks(components, known)
        assert set(ranks) == set(components)
        assert all(1 <= rank <= 9999 for rank in ranks.values())
        assert all(ranks[name] == known[name] for name in components if name in known)
        known = known | ranks
