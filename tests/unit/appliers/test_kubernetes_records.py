"""The pure parts of the Kubernetes applier: inventories, ownership, differences, options."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.appliers.kubernetes.inventory import Entry, Inventory, claimed, from_text, to_text
from edge_agent.appliers.kubernetes.objects import Ref, differences, is_ours, owner_text, prepared
from edge_agent.appliers.kubernetes.options import KubernetesOptions
from edge_agent.appliers.port import ApplyError, OptionError

_REFS = st.builds(
    Ref, st.sampled_from(["v1", "apps/v1"]), st.sampled_from(["ConfigMap", "Deployment"]), st.sampled_from(["a", ""]),
    st.sampled_from(["one", "two", "three"]),
)  # fmt: skip
_PARTS = st.lists(st.tuples(st.sampled_from(["db", "web"]), st.lists(_REFS, max_size=4)), max_size=3)


def ref(name: str, version: str = "v1") -> Ref:
    return Ref(version, "ConfigMap", "press", name)


@given(
    st.lists(st.builds(Entry, _REFS, st.text(max_size=5), st.integers(0, 9), st.sampled_from(["", "d"])), max_size=9)
)
def test_an_inventory_comes_back_from_its_text(entries: list[Entry]) -> None:
    """As it was."""
    inventory = Inventory("press", "edge-01", 3, tuple(entries))
    assert from_text(to_text(inventory), "here") == inventory


@given(_PARTS, _PARTS)
def test_a_claim_forgets_nothing_of_the_generations_before(first: Any, second: Any) -> None:
    """Whatever either had is in it, once; leftovers are those of the older one alone, and stand first."""
    old = claimed(None, "press", "edge-01", 1, first)
    new = claimed(old, "press", "edge-01", 2, second)
    keys = {entry.ref.key for entry in new.entries}
    assert keys == {one.key for parts in (first, second) for _, refs in parts for one in refs}
    wanted = {one.key for _, refs in second for one in refs}
    assert {entry.ref.key for entry in new.leftovers} == keys - wanted
    assert [entry.generation for entry in new.entries] == sorted(entry.generation for entry in new.entries)


def test_an_object_is_the_same_in_another_version_of_its_group() -> None:
    """An update of its apiVersion leaves nothing over."""
    old = claimed(None, "press", "edge-01", 1, [("web", [Ref("apps/v1beta1", "Deployment", "press", "web")])])
    new = claimed(old, "press", "edge-01", 2, [("web", [Ref("apps/v1", "Deployment", "press", "web")])])
    assert new.leftovers == ()
    assert len(new.entries) == 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format":1}', '{"format":1,"objects":[[1]],"deployment":"a","device":"b","generation":1}',
     '{"format":1,"objects":5,"deployment":"a","device":"b","generation":"x"}', '{"format":2}', "null", "\x00"],
)  # fmt: skip
def test_a_damaged_inventory_is_an_error_that_says_where(text: str) -> None:
    """It never silently starts empty."""
    with pytest.raises(ApplyError) as caught:
        from_text(text, "ConfigMap fleetbus-system/x")
    assert not caught.value.retryable
    assert "ConfigMap fleetbus-system/x" in caught.value.message


def test_too_many_objects_for_a_config_map_are_refused() -> None:
    """With what to do."""
    entries = tuple(Entry(ref(f"a-rather-long-name-{number}"), "web", 1) for number in range(20_000))
    with pytest.raises(ApplyError) as caught:
        to_text(Inventory("press", "edge-01", 1, entries))
    assert caught.value.code == "too-many-objects"


def live(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b", **metadata}}


OURS = [{"manager": "fleetbus", "operation": "Apply"}]


@pytest.mark.parametrize(
    ("metadata", "inventoried", "expected"),
    [
        ({"labels": {"fleetbus.io/deployment": "press"}}, False, True),
        ({"labels": {"fleetbus.io/deployment": "other"}, "managedFields": OURS}, True, False),
        ({"managedFields": OURS}, True, True),
        ({"managedFields": OURS}, False, False),
        ({"managedFields": [{"manager": "fleetbus", "operation": "Update"}]}, True, False),
        ({}, True, False),
        ({"managedFields": "rubbish"}, True, False),
    ],
)
def test_ownership_is_the_label_or_the_inventory_with_our_manager(
    metadata: dict[str, Any], inventoried: bool, expected: bool
) -> None:
    """So that an object that somebody made anew is never taken for ours."""
    assert is_ours(live(**metadata), "press", "fleetbus", inventoried=inventoried) is expected


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": {"fleetbus.io/deployment": "other"}}, "the Fleetbus deployment 'other'"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "the Argo CD application 'shop'"),
        ({"ownerReferences": [{"kind": "Widget", "name": "w"}]}, "the Widget 'w'"),
        ({"labels": {"app.kubernetes.io/managed-by": "Tiller"}}, "'Tiller'"),
        ({"managedFields": [{"manager": "kubectl-create"}]}, "kubectl-create"),
        ({}, "somebody else"),
    ],
)
def test_an_owner_is_named_by_the_best_mark_there_is(metadata: dict[str, Any], words: str) -> None:
    """For a person who has to find out."""
    assert words in owner_text(live(**metadata))


def test_preparing_takes_away_what_only_the_server_writes() -> None:
    """An apply with managedFields is refused, one with a uid or a version means another object."""
    item = live(uid="1", resourceVersion="2", managedFields=[], creationTimestamp=None, labels={"app": "x"})
    ready = prepared({**item, "status": {}}, "press", namespaced=True, namespace="press")
    assert ready["metadata"] == {
        "name": "a",
        "namespace": "b",
        "labels": {"app.kubernetes.io/managed-by": "fleetbus", "app": "x", "fleetbus.io/deployment": "press"},
    }
    assert "status" not in ready
    assert "namespace" not in prepared(item, "press", namespaced=False, namespace="press")["metadata"]


@given(st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=2), inner)))
def test_nothing_differs_from_itself(value: Any) -> None:
    """Whatever it is."""
    assert differences(value, json.loads(json.dumps(value))) == []


def test_differences_are_paths_and_few() -> None:
    """Lists of another length differ as a whole."""
    one = {"spec": {"a": 1, "b": [1, {"c": 2}], "d": [1]}}
    other = {"spec": {"a": 2, "b": [1, {"c": 3}], "d": [1, 2]}}
    assert differences(one, other) == ["spec.a", "spec.b[1].c", "spec.d"]
    assert differences({str(n): n for n in range(9)}, {})[-1] == "4 more"


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": "x"},
        {"namespace": "Not A Name"},
        {"field-manager": "two words"},
        {"force-conflicts": "yes"},
        {"request-timeout": "0"},
        {"removal-timeout": "nan"},
        {"initialization-timeout": "soon"},
    ],
)
def test_wrong_options_are_refused_with_their_name(options: dict[str, str]) -> None:
    """When the agent starts."""
    with pytest.raises(OptionError) as caught:
        KubernetesOptions.parse(options)
    assert next(iter(options)) in str(caught.value)
