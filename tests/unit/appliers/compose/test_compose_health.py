"""Findings about containers: what counts as running, as ended, as changed by somebody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.appliers.compose.health import Container, container_of, findings, is_lost, is_ready, trouble
from edge_agent.appliers.compose.inventory import Known
from edge_agent.appliers.compose.project import Service

RUNNING: dict[str, Any] = {
    "Id": "1", "Name": "/a_b-app-1", "RestartCount": 0, "Image": "sha256:1",
    "State": {"Status": "running", "Paused": False, "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
    "Config": {"Labels": {"com.docker.compose.service": "app"}, "Env": ["A=1"]},
    "HostConfig": {"RestartPolicy": {"Name": "no"}},
    "NetworkSettings": {"Networks": {"a_b_default": {"IPAddress": "172.17.0.2"}}},
}  # fmt: skip
APP = Service("app", "image", None, "missing", 1, False, None)


def container(**changes: Any) -> Container:
    return replace(container_of(RUNNING), **changes)


def known(item: Container, **changes: Any) -> dict[str, Known]:
    return {item.id: replace(Known(item.name, item.fingerprint), **changes)}


def test_what_was_applied_and_runs_is_well() -> None:
    """No finding; an address that the engine gave anew is no change."""
    moved = {**RUNNING, "NetworkSettings": {"Networks": {"a_b_default": {"IPAddress": "172.17.0.9"}}}}
    assert findings([APP], [container_of(moved)], known(container()), frozenset()) == []


@pytest.mark.parametrize("key", ["Config", "HostConfig", "NetworkSettings", "Name"])
def test_a_change_in_place_is_found(key: str) -> None:
    """Settings, limits, networks, the name."""
    changed = {**RUNNING, key: "/other" if key == "Name" else {"changed": True}}
    assert findings([APP], [container_of(changed)], known(container()), frozenset()) == ["a_b-app-1 was changed"]


def test_what_is_gone_added_or_replaced_is_named_once() -> None:
    """A container that somebody made anew has another id and the same name."""
    item = container()
    assert findings([APP], [], known(item), frozenset()) == ["a_b-app-1 is gone"]
    assert findings([APP], [replace(item, id="2")], known(item), frozenset()) == ["a_b-app-1 is gone"]
    other = replace(item, id="2", name="a_b-app-2")
    assert findings([APP], [item, other], known(item), frozenset()) == ["a_b-app-2 was added"]


@pytest.mark.parametrize(
    ("changes", "one_shot", "expected"),
    [
        ({"health": "healthy"}, False, None),
        ({"health": "starting"}, False, None),
        ({"health": "unhealthy", "said": "refused"}, False, "a_b-app-1 is unhealthy: refused"),
        ({"status": "restarting", "exit_code": 3}, False, "a_b-app-1 ends again and again (exit code 3)"),
        ({"status": "exited"}, True, None),
        ({"status": "exited", "policy": "on-failure"}, True, None),
        ({"status": "exited"}, False, "a_b-app-1 does not run (exit code 0)"),
        ({"status": "exited", "policy": "always"}, True, "a_b-app-1 does not run (exit code 0)"),
        ({"status": "exited", "exit_code": 1}, True, "a_b-app-1 does not run (exit code 1)"),
        ({"status": "exited", "exit_code": 127, "error": "no such file"}, False, "a_b-app-1 does not run (exit code 127): no such file"),
        ({"status": "paused"}, False, "a_b-app-1 is paused"),
        ({"status": "created"}, True, "a_b-app-1 is created"),
        ({"status": ""}, False, "a_b-app-1 is in an unknown state"),
    ],
)  # fmt: skip
def test_each_state_has_its_sentence(changes: dict[str, Any], one_shot: bool, expected: str | None) -> None:
    """And a job may end well."""
    assert trouble(container(**changes), one_shot=one_shot) == expected


@pytest.mark.parametrize(
    ("changes", "settled", "ready", "lost"),
    [
        ({}, False, False, False), ({}, True, True, False),
        ({"health": "starting"}, True, False, False), ({"health": "healthy"}, False, True, False),
        ({"health": "unhealthy"}, True, False, True), ({"status": "exited"}, False, True, False),
        ({"status": "exited", "exit_code": 1}, False, False, True),
        ({"status": "exited", "exit_code": 1, "policy": "on-failure"}, False, False, False),
        ({"status": "exited", "policy": "always"}, False, False, False), ({"status": "restarting"}, True, False, False),
        ({"status": "dead"}, True, False, True), ({"status": "paused"}, True, False, False),
    ],
)  # fmt: skip
def test_waiting_ends_when_it_is_there_or_in_vain(
    changes: dict[str, Any], settled: bool, ready: bool, lost: bool
) -> None:
    """What restarts by itself may still come."""
    item = container(**changes)
    assert (is_ready(item, settled=settled), is_lost(item)) == (ready, lost)


def test_an_engine_that_says_little_is_no_error() -> None:
    """Missing members, as other engines answer."""
    item = container_of({"Id": "x", "State": {"Health": None}})
    assert (item.id, item.health, item.status, item.policy) == ("x", "", "", "no")
