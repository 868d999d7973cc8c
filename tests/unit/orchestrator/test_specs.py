"""What a message on a spec topic brings about."""

from __future__ import annotations

import json

import pytest

from orchestrator.offers import Offer
from tests.unit.orchestrator.story import NAME, OFFERS, TOPICS, Story, spec, spec_document, status
from topics import channels
from topics.codec import digest_of
from topics.lifecycle import State

CHART = {"chart": "oci://r.example/c"}


def test_an_accepted_spec_is_generation_1_and_answered_with_its_digest() -> None:
    """A publisher knows which of its messages the answer is to."""
    payload = spec(devices=("edge-01",))
    story = Story().device("edge-01").spec(payload)
    result = story.result()
    assert (result.outcome, result.generation, result.spec_digest) == ("accepted", 1, digest_of(payload))
    assert story.renders == [(1, ("edge-01",))]


def test_the_same_content_spelt_otherwise_keeps_the_generation() -> None:
    """The answer names the new bytes; nothing is rendered again."""
    story = Story().device("edge-01").spec(spec(devices=("edge-01",))).rendered()
    respelt = json.dumps(spec_document(devices=("edge-01",)), indent=4).encode()
    story.spec(respelt)
    assert (story.result().generation, story.result().spec_digest) == (1, digest_of(respelt))
    assert story.renders == []


def test_the_same_bytes_again_change_nothing() -> None:
    """After every reconnect all retained specs come again; the answer stays the one that stands there."""
    story = Story().device("edge-01").spec(spec(devices=("edge-01",)))
    [answer] = story.last.publications
    story.spec(spec(devices=("edge-01",)), live=False)
    assert (story.last.records, story.last.effects) == ([], [])
    assert [publication.digest for publication in story.last.publications] == [answer.digest]


def test_good_bytes_published_again_after_a_rejection_are_answered() -> None:
    """The result topic must not go on saying rejected while the accepted spec stands in its topic."""
    good = spec(devices=("edge-01",))
    story = Story().device("edge-01").spec(good).spec(b"{}")
    assert story.result().outcome == "rejected"
    story.spec(good)
    assert (story.result().outcome, story.result().spec_digest) == ("accepted", digest_of(good))
    assert story.record().generation == 1


def test_changed_content_is_the_next_generation_for_every_device() -> None:
    """Each placed device is rendered anew."""
    story = Story().device("a").device("b").spec(spec()).rendered().spec(spec(rate="20"))
    assert story.record().generation == 2
    assert story.renders == [(2, ("a", "b"))]


@pytest.mark.parametrize(
    ("payload", "code", "path"),
    [
        (b"\xff\xfe", "not-utf8", ""),
        (b"{", "malformed", ""),
        (b"- a\n- b\n", "malformed", ""),
        (b"[" * 5000, "too-deep", ""),
        (b'{"a": 1, "a": 2}', "duplicate-key", "a"),
        (b"a: 1\na: 2\n", "duplicate-key", ""),
        (b"x" * (1024 * 1024 + 1), "oversize", ""),
        (b'{"apiVersion": "fleetbus/v9", "kind": "DeploymentSpec"}', "unsupported-version", "apiVersion"),
        (b'{"apiVersion": "fleetbus/v1", "kind": "Pod"}', "wrong-kind", "kind"),
        (spec("other", devices=("a",)), "wrong-name", "metadata.name"),
        (spec(devices=("a",), colour="red"), "unknown-field", "spec.colour"),
        (spec(devices=("a", "a")), "invalid", "spec.agents"),
        (spec(count=0), "invalid", "spec.agents.count"),
        (spec(component={"name": "x", "compose": {"project": {}}}), "no-renderer", "spec.components[0].compose"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_spec_is_rejected_with_the_reason_and_its_path(payload: bytes, code: str, path: str) -> None:
    """Nothing is placed and generation 0 is in force."""
    story = Story().device("a").spec(payload)
    result = story.result()
    assert (result.outcome, result.generation) == ("rejected", 0)
    assert (code, path) in {(reason.code, reason.path) for reason in result.reasons}
    assert NAME not in story.fleet.specs
    assert story.notes == ["spec rejected"]


def test_every_reason_is_given_at_once() -> None:
    """Nobody has to publish five times to see five faults."""
    document = spec_document(devices=("a",))
    document["spec"]["colour"] = "red"
    document["spec"]["requirements"] = {"memory": "lots"}
    document["spec"]["agents"]["count"] = -1
    result = Story().spec(json.dumps(document).encode()).result()
    assert {reason.path for reason in result.reasons} == {
        "spec.colour",
        "spec.requirements.memory",
        "spec.agents.count",
    }


def test_a_rejected_update_leaves_what_is_in_force() -> None:
    """The answer says which generation that is."""
    story = Story().device("a").spec(spec()).rendered().spec(b"{}")
    assert (story.result().outcome, story.result().generation) == ("rejected", 1)
    assert story.record().spec is not None
    assert story.manifest("a").action == "apply"


def test_a_missing_renderer_is_named_with_what_there_is() -> None:
    """For a kind that nothing renders, and for a renderer that nobody installed, with those that could do it."""
    story = Story(offers={"kubernetes": OFFERS["kubernetes"]})
    [reason] = story.spec(spec(component={"name": "x", "helm": CHART})).result().reasons
    assert (reason.path, reason.code) == ("spec.components[0].helm", "no-renderer")
    assert (reason.required, reason.available) == ("helm", "kubernetes")
    [reason] = Story().spec(spec(component={"name": "x", "renderer": "flux", "helm": CHART})).result().reasons
    assert (reason.path, reason.code) == ("spec.components[0].renderer", "no-renderer")
    assert (reason.required, reason.available, reason.hint) == ("flux", "helm, kubernetes", "use one of: helm")


def test_a_renderer_that_does_not_take_the_kind_is_refused() -> None:
    """With the kinds that it takes, and the renderers that take this one."""
    [reason] = Story().spec(spec(component={"name": "x", "renderer": "kubernetes", "helm": CHART})).result().reasons
    assert (reason.path, reason.code) == ("spec.components[0].renderer", "renderer-kind")
    assert (reason.required, reason.available, reason.hint) == ("helm", "kubernetes", "use one of: helm")


def test_a_device_needs_an_applier_for_what_the_renderer_makes() -> None:
    """Not for what the component is: the same chart may come as objects, or as something else."""
    offers = {**OFFERS, "other": Offer(frozenset({"helm"}), "release")}
    story = Story(offers=offers).device("a").device("b", appliers=("release",))
    story.spec(spec(devices=("a", "b"), component={"name": "x", "renderer": "other", "helm": CHART}))
    [reason] = story.result().reasons
    assert (reason.device, reason.code, reason.required) == ("a", "no-applier", "release")


def test_a_bad_topic_name_is_answered_beside_it() -> None:
    """The name cannot be parsed, but its publisher reads the result under the same topic."""
    topic = f"{TOPICS.root}/specs/Press_Monitor"
    story = Story().message(topic, spec())
    assert b'"rejected"' in story.retained[f"{topic}/result"]
    story.message(topic, b"")
    assert story.retained == {}


def test_a_topic_too_long_to_be_answered_is_only_noted() -> None:
    """An answer under a longer topic than MQTT has could never be sent."""
    story = Story().message(f"{TOPICS.root}/specs/{'x' * 65_000}", spec())
    assert story.last.publications == []
    assert story.notes == ["spec rejected"]


def test_a_deleted_spec_leaves_its_devices_by_tombstones_and_nothing_retained() -> None:
    """First the tombstone, then, once the device said Removed, every retained topic is cleared."""
    story = Story().device("a").spec(spec()).rendered().deployed("a", 1).delete()
    assert story.result().outcome == "deleted"
    assert (story.manifest("a").action, story.manifest("a").generation) == ("remove", 2)
    story.report(status("a", State.REMOVED, 2, 5))
    assert story.retained == {}
    assert story.fleet.deployment(NAME, "a") is None


def test_a_deleted_spec_that_no_device_held_is_gone_at_once() -> None:
    """There is nobody to wait for."""
    story = Story().spec(spec(devices=("a",))).delete()
    assert story.retained == {}


def test_deleting_an_unknown_spec_clears_its_result() -> None:
    """It may have been rejected; its answer goes with it."""
    story = Story().spec(b"{}").delete()
    assert story.retained == {}
    assert story.fleet.specs == {}


def test_a_deletion_heard_twice_publishes_one_tombstone() -> None:
    """A duplicate changes nothing."""
    story = Story().device("a").spec(spec()).rendered().delete().delete()
    assert (story.last.records, story.last.publications) == ([], [])


def test_a_spec_created_again_goes_on_with_the_generations() -> None:
    """A device that kept the tombstone must see something newer."""
    story = Story().device("a").spec(spec()).rendered().deployed("a", 1).delete()
    story.report(status("a", State.REMOVED, 2, 5)).spec(spec())
    assert story.record().generation == 3
    assert story.renders == [(3, ("a",))]


def test_a_spec_created_again_before_the_removal_was_confirmed_is_taken_up() -> None:
    """The late Removed of the tombstone does not take the new deployment away."""
    story = Story().device("a").spec(spec()).rendered().deployed("a", 1).delete().spec(spec()).rendered()
    assert (story.manifest("a").action, story.manifest("a").generation) == ("apply", 3)
    story.report(status("a", State.REMOVED, 2, 5))
    assert story.manifest("a").generation == 3
    assert not story.deployment("a").removing


def test_a_spec_that_no_longer_selects_a_device_removes_it_there() -> None:
    """A tombstone, and the other devices go on."""
    story = Story().device("a").device("b").spec(spec(devices=("a", "b"))).rendered().spec(spec(devices=("b",)))
    assert (story.manifest("a").action, story.manifest("a").generation) == ("remove", 2)
    assert story.renders == [(2, ("b",))]
    story.report(status("a", State.REMOVED, 2, 0))
    assert story.fleet.deployment(NAME, "a") is None
    assert story.result().outcome == "accepted"


def test_from_selector_to_ids_only_the_named_stay() -> None:
    """The way of selecting may change with the spec."""
    story = Story().device("a").device("b").spec(spec()).rendered().spec(spec(devices=("b", "c"))).rendered()
    assert story.holders() == {"b"}
    assert story.manifest("a").action == "remove"
    assert story.aggregate().waiting_for == ("c",)


def test_a_count_that_falls_removes_the_surplus() -> None:
    """Those that stay are the first by id, each time the same."""
    story = Story().device("a").device("b").device("c").spec(spec(count=3)).rendered().spec(spec(count=1))
    assert story.holders() == {"a"}
    assert {device for device, item in story.fleet.of_spec(NAME).items() if item.removing} == {"b", "c"}


def test_a_device_removed_and_added_again_gets_a_newer_generation_than_its_tombstone() -> None:
    """The device ignores what is not newer than what it has seen."""
    story = Story().device("a").device("b").spec(spec(devices=("a", "b"))).rendered()
    story.spec(spec(devices=("b",))).spec(spec(devices=("a", "b"))).rendered()
    assert (story.manifest("a").action, story.manifest("a").generation) == ("apply", 3)


def test_a_render_that_ends_after_the_deletion_publishes_nothing() -> None:
    """Neither a manifest nor an answer comes back from the dead."""
    story = Story().device("a").spec(spec())
    asked = story.last
    story.delete()
    story.report(status("a", State.REMOVED, 2, 0))
    assert story.retained == {}
    story.last = asked
    story.rendered(pins=(("x", "sha256:1"),))
    story.render_failed(1, retryable=True)
    assert (story.retained, story.last.effects, story.last.touched) == ({}, [], set())


def test_a_paused_spec_can_be_deleted() -> None:
    """Pausing holds back new manifests, not removals."""
    story = Story().device("a").spec(spec()).rendered().command("pause").delete()
    assert story.manifest("a").action == "remove"


def test_a_spec_created_again_is_not_paused() -> None:
    """The pause belonged to the deployment that is gone."""
    story = Story().device("a").spec(spec()).command("pause").delete().spec(spec())
    assert story.renders == [(3, ("a",))]


def test_metadata_alone_makes_no_generation() -> None:
    """Only ``spec`` says what a device must run."""
    document = spec_document()
    document["metadata"]["labels"] = {"line": "press"}
    story = Story().device("a").spec(spec()).rendered().spec(json.dumps(document).encode())
    assert story.record().generation == 1
    assert story.renders == []


def test_a_spelling_that_changes_nothing_removes_no_device() -> None:
    """Only another content takes a deployment off, even if its device has other labels by now."""
    labelled = {"selector": {"matchLabels": {"line": "press"}}}
    story = Story().device("a", {"line": "press"}).spec(spec(**labelled)).rendered().deployed("a", 1)
    story.device("a", {"line": "oven"}).spec(json.dumps(spec_document(**labelled), indent=1).encode())
    assert story.manifest("a").action == "apply"
    story.spec(spec(**labelled, rate="20"))
    assert (story.manifest("a").action, story.manifest("a").generation) == ("remove", 2)


def test_the_answer_stays_within_bounds_however_many_devices_refuse() -> None:
    """1,000 refusing devices: the first reasons, and how many more there are."""
    story = Story()
    for number in range(1000):
        story.device(f"d{number:04}")
    story.spec(spec(requirements={"memory": "64Gi"}))
    result = story.result()
    assert len(result.reasons) == 201
    assert result.reasons[-1].code == "truncated"
    assert len(story.retained_on(channels.RESULT, deployment=NAME)) < 1024 * 1024
