"""Real documents of the Margo standard, from its first prototype to 1.0-rc.2: each is taken, or refused with a reason.

They belong to others and are no part of this repository; the tests read them in ``shared/examples/margo`` beside
it, and are skipped where that is not. The table is in ``margo_documents``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.margo_documents import TABLE, Row
from topics.documents.device import Capabilities
from topics.documents.spec import Requirements
from topics.eligibility import Subject
from topics.errors import ContractError, Reason
from topics.margo import DEPLOYMENT, read_capabilities
from topics.margo.package import read_description
from topics.requirements import unmet
from topics.spec_reader import assigned, read_document
from topics.yaml_loader import load_yaml

FOLDER = Path(__file__).parents[3] / "shared" / "examples" / "margo"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the documents of others are not here: shared/examples/margo beside the repository"
)

ROWS = {row.file: row for row in TABLE}
_ENTRY = re.compile(r"\[[0-9]+\]")
_PARAMETER = re.compile(r"(^|\.)parameters\.[^.\[]+")


def payload(file: str) -> bytes:
    return (FOLDER / file).read_bytes()


def value(file: str) -> Any:
    return load_yaml(payload(file).decode())


def read(row: Row, *, device: bool = True) -> tuple[Reason, ...]:
    """The warnings of the row's own reader. Raises ``ContractError``."""
    if row.reads == "description":
        return read_description(value(row.file))[1]
    if row.reads == "capabilities":
        return read_capabilities(value(row.file))[1]
    return read_document(payload(row.file), devices=("edge-01",) if row.device and device else ()).warnings


def places(warnings: tuple[Reason, ...]) -> set[str]:
    """The paths without numbers and names of parameters."""
    return {_PARAMETER.sub(r"\1parameters.*", _ENTRY.sub("[]", reason.path)) for reason in warnings}


def test_every_file_has_a_row() -> None:
    """And every row a file; none twice."""
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()} - {"README.md"}
    assert len(ROWS) == len(TABLE)
    assert set(ROWS) == files


@pytest.mark.parametrize("row", [row for row in TABLE if not row.code and row.reads != "vectors"], ids=lambda r: r.file)
def test_it_is_taken_with_these_warnings(row: Row) -> None:
    """The tolerances that were used, all of them and no others."""
    warnings = read(row)
    assert places(warnings) == set(row.tolerances.split())
    assert all(reason.message for reason in warnings)


@pytest.mark.parametrize("row", [row for row in TABLE if row.code], ids=lambda r: r.file)
def test_it_is_refused_for_this_reason(row: Row) -> None:
    """The code, and the words that tell its author what is wrong."""
    with pytest.raises(ContractError) as caught:
        read(row)
    assert row.code in [reason.code for reason in caught.value.reasons]
    assert row.says in str(caught.value)


@pytest.mark.parametrize("row", [row for row in TABLE if row.device], ids=lambda r: r.file)
def test_without_a_device_it_says_what_to_add(row: Row) -> None:
    """The forms before 1.0-rc name none. With it in an annotation the document is the same as with it given."""
    with pytest.raises(ContractError) as caught:
        read(row, device=False)
    (reason,) = [reason for reason in caught.value.reasons if reason.path == "metadata.deviceId"]
    assert reason.hint is not None
    assert "--device" in reason.hint
    if not row.code:
        content = payload(row.file)
        given, annotated = read_document(content, devices=("edge-01",)), read_document(assigned(content, ["edge-01"]))
        assert given.spec == annotated.spec


@pytest.mark.parametrize("row", [row for row in TABLE if row.reads != "deployment"], ids=lambda r: r.file)
def test_what_is_no_deployment_is_refused_by_the_spec_topic(row: Row) -> None:
    """It says what the document is; an application package, how it is deployed."""
    with pytest.raises(ContractError) as caught:
        read_document(payload(row.file), devices=("edge-01",))
    if row.reads == "description" and row.code != "bad-key":
        assert "fleetbus apply -f margo.yaml" in str(caught.value)
    if row.code == "bad-key":
        assert "template" in str(caught.value)


@pytest.mark.parametrize("row", [row for row in TABLE if row.reads == "vectors"], ids=lambda r: r.file)
def test_conformance_vectors_are_answered_as_they_want(row: Row) -> None:
    """2xx is taken, 422 refused: with a type, an architecture, a processor or the properties that are wrong."""
    vectors = json.loads(payload(row.file))
    assert vectors
    for vector in vectors:
        if vector["expected_status"] < 300:
            assert places(read_capabilities(vector["body"])[1]) == set(row.tolerances.split())
        else:
            with pytest.raises(ContractError):
                read_capabilities(vector["body"])


@pytest.mark.parametrize(
    ("file", "components"),
    [("rc2/deployment/digitron-helm.yaml", 2), ("rc2/deployment/digitron-compose.yaml", 1)],
)
def test_a_deployment_can_be_told_from_its_status(file: str, components: int) -> None:
    """The id goes along, and the components have their names: what a status needs."""
    spec = read_document(payload(file)).spec
    assert spec.metadata.annotations[DEPLOYMENT] == value(file)["id"]
    assert len(spec.spec.components) == components


# -- does digitron fit on northstar? ----------------------------------------------------------------------


@pytest.fixture
def northstar() -> Capabilities:
    return read_capabilities(value("rc2/capabilities/northstar-helm+compose.json"))[0]


def _requirements(of: str) -> Requirements:
    if of == "deployment":
        return read_document(payload("rc2/deployment/digitron-helm.yaml")).spec.spec.requirements
    description, _ = read_description(value("rc2/app/digitron.helm+compose.constraints.yaml"))
    return next(profile for profile in description.profiles if profile.type == "helm").requirements


@pytest.mark.parametrize("of", ["deployment", "description"])
def test_digitron_does_not_fit_on_northstar_for_want_of_bluetooth(of: str, northstar: Capabilities) -> None:
    """Deployment and package ask for the same; operator by operator:

    1. capacity, cpu: 1.5 cores on one entry of amd64; northstar has one of 24. Holds.
    2. capacity, memory: 1024Mi of 59 Gi. Holds.  3. storage: 10Gi of 1862 Gi. Holds.
    4. There is one rule, so it has to hold, and both expressions of its one selector with it.
       a. /peripherals ContainsAll, itemSelector {type In [gpu], manufacturer In [NVIDIA]}: one combination of
          values, (gpu, NVIDIA); the only peripheral is both. Holds.
       b. /interfaces ContainsAll, itemSelector {type In [ethernet, bluetooth]}: ContainsAll asks for an item for
          each combination. (ethernet) has one. (bluetooth) has none: the interfaces are ethernet and wifi. Fails.

    So it is refused, by exactly that. Read as "an item that is one of the two", ContainsAll would be ContainsAny;
    and PR1's description of the same application lists both interfaces as required.
    """
    requirements = _requirements(of)
    reasons = unmet(requirements, northstar)
    assert reasons
    assert "bluetooth" in " ".join(str(reason) for reason in reasons)
    assert not any("gpu" in reason.message or "memory" in reason.path for reason in reasons)

    without_rules = requirements.model_copy(update={"rules": ()})
    assert unmet(without_rules, northstar) == (), "1 to 3: the capacity suffices"

    (rule,) = requirements.rules
    assert rule.property_selector is not None
    for number, expression in enumerate(rule.property_selector.match_expressions):
        alone = rule.model_copy(
            update={"property_selector": rule.property_selector.model_copy(update={"match_expressions": (expression,)})}
        )
        found = unmet(without_rules.model_copy(update={"rules": (alone,)}), northstar)
        assert bool(found) is (number == 1), "4a holds, 4b does not"


def test_with_bluetooth_digitron_fits(northstar: Capabilities) -> None:
    """The one thing that is missing is the only one."""
    bluetooth = northstar.interfaces[0].model_copy(update={"name": "bluetooth", "type": "bluetooth"})
    subject = Subject(northstar.model_copy(update={"interfaces": (*northstar.interfaces, bluetooth)}))
    assert unmet(_requirements("deployment"), subject) == ()
