"""What a chart and its server can do to a spec, on the whole chain: published, refused with stage, code and what to do,
tried again where that can help, and Deployed as soon as it is mended. The next spec never waits for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from orchestrator.charts.archive import digest_of
from tests.functional.chart_servers import WebServer, index_of
from tests.support.brokers import NatsBroker
from tests.support.processes import Site
from tests.unit.charts.chart_files import WEB, archive
from topics.documents.base import JsonObject

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chart-bad-input")]

DEVICE = "edge-01"
GOOD = archive(WEB)
OTHER = archive({**WEB, "values.yaml": "replicas: 9\nport: 80\n"})
LOOP = archive({**WEB, "templates/loop.yaml": "{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}"})
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("charts")
    with NatsBroker(folder / "broker") as broker, Site(broker, folder) as started:
        yield started.start(DEVICE)


@pytest.fixture
def name() -> str:
    return f"chart{next(_NUMBERS)}"


@pytest.fixture
def server() -> Iterator[WebServer]:
    """A chart repository that nobody has started yet."""
    made = WebServer()
    yield made
    made.released.set()


def chart_of(name: str) -> bytes:
    """One that no other test has: the orchestrator asks no server for an archive that it has already."""
    return archive({**WEB, "README.md": name})


def serve(server: WebServer, data: bytes = GOOD) -> None:
    server.files["/index.yaml"] = index_of({"web": {"1.2.3": data}})
    server.files["/web-1.2.3.tgz"] = data


def spec(name: str, server: WebServer, **helm: Any) -> JsonObject:
    chart = {"chart": "web", "repository": server.url, "version": "1.2.3", **helm}
    return {
        "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": name},
        "spec": {"agents": {"devices": [DEVICE]}, "components": [{"name": "web", "helm": chart}]},
    }  # fmt: skip


def refused(site: Site, name: str, code: str, phase: str) -> JsonObject:
    """The failure in the result, which the aggregate repeats, with what can be done about it."""
    result = site.observer.wait_result(
        name, f"failure {code}", lambda found: (found.get("failure") or {}).get("code") == code
    )
    failure: JsonObject = result["failure"]
    assert (result["outcome"], failure["stage"]) == ("accepted", "Rendering")
    assert result["reasons"][0]["path"].startswith("spec.components[0].helm")
    assert result["reasons"][0]["hint"]
    aggregate = site.observer.wait_aggregate(
        name, f"{phase} with {code}", lambda found: (found.get("failure") or {}).get("code") == code
    )
    assert (aggregate["phase"], aggregate["message"]) == (phase, aggregate["failure"]["message"])
    return failure


def test_a_server_that_is_down_is_waited_for(site: Site, server: WebServer, name: str) -> None:
    """Tried again by itself, with growing pauses; Deployed soon after it is up."""
    site.publish(spec(name, server))
    failure = refused(site, name, "chart-unreachable", "Pending")
    assert failure["retryable"]
    assert failure["nextRetrySeconds"] >= 5
    again = site.observer.wait_result(name, "a second try", lambda found: found["failure"]["attempt"] > 1)
    assert again["failure"]["nextRetrySeconds"] == 10
    serve(server)
    with server:
        site.observer.wait(
            "Deployed", lambda: site.observer.status(DEVICE, name).get("state") == "Deployed", seconds=60
        )
    result = site.observer.wait_result(name, "no failure", lambda found: "failure" not in found)
    assert "reasons" not in result or result["reasons"] == []


def test_a_server_that_never_answers_is_given_up_and_asked_again(site: Site, server: WebServer, name: str) -> None:
    """It accepts and is silent; another spec is rendered meanwhile."""

    def silent(handler: BaseHTTPRequestHandler) -> None:
        server.released.wait(120)

    server.files["/index.yaml"] = silent
    with server:
        site.publish(spec(name, server))
        other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
        site.publish(
            {
                "apiVersion": "fleetbus/v1", "kind": "DeploymentSpec", "metadata": {"name": f"{name}-other"},
                "spec": {"agents": {"devices": [DEVICE]},
                         "components": [{"name": "x", "kubernetes": {"objects": [other]}}]},
            }
        )  # fmt: skip
        site.observer.wait_state(DEVICE, f"{name}-other", "Deployed", 1)
        assert "failure" not in site.observer.result(name)
        assert refused(site, name, "chart-timed-out", "Pending")["retryable"]
        server.released.set()
        serve(server)
        site.observer.wait(
            "Deployed", lambda: site.observer.status(DEVICE, name).get("state") == "Deployed", seconds=60
        )


def test_what_the_server_exchanged_is_never_taken(site: Site, server: WebServer, name: str) -> None:
    """Its own index names another digest: perhaps it is being written, so it is asked again."""
    serve(server, chart_of(name))
    server.files["/web-1.2.3.tgz"] = OTHER
    with server:
        site.publish(spec(name, server))
        assert refused(site, name, "chart-digest-mismatch", "Pending")["retryable"]
        assert not site.observer.status(DEVICE, name)
        serve(server, chart_of(name))
        site.observer.wait(
            "Deployed", lambda: site.observer.status(DEVICE, name).get("state") == "Deployed", seconds=60
        )


def test_another_chart_than_the_spec_pins_is_final_until_it_is_published_again(
    site: Site, server: WebServer, name: str
) -> None:
    """Not asked for again by devices that report or join; said still after a restart of the orchestrator; and taken
    once the server has the right one and somebody publishes the spec once more."""
    serve(server, OTHER)
    wanted = spec(name, server, digest=digest_of(chart_of(name)))
    with server:
        site.publish(wanted)
        failure = refused(site, name, "chart-digest-mismatch", "Failed")
        assert (failure["retryable"], failure.get("nextRetrySeconds")) == (False, None)
        assert "publish it again" in failure["message"]
        asked = len(server.requests)
        site.start_agent(f"edge-{name}")
        other = spec(f"{name}-b", server)
        other["spec"]["agents"] = {"devices": [f"edge-{name}"]}
        site.publish(other)
        site.observer.wait_state(f"edge-{name}", f"{name}-b", "Deployed", 1)
        assert site.observer.result(name)["failure"]["attempt"] == 1
        assert len(server.requests) <= asked + 2  # those of the other spec

        site.orchestrator.kill()
        site.start_orchestrator()
        # Once or twice: what is lacking is asked for at the start, and the broker delivers the stored spec again.
        again = site.observer.wait_result(name, "another try", lambda found: found["failure"]["attempt"] > 1)
        assert again["failure"]["code"] == "chart-digest-mismatch"
        assert site.observer.aggregate(name)["phase"] == "Failed"

        serve(server, chart_of(name))
        site.publish(wanted)
        site.observer.wait_state(DEVICE, name, "Deployed", 1)


def test_a_chart_whose_templates_loop_is_given_up(site: Site, server: WebServer, name: str) -> None:
    """With the reason; the same orchestrator renders the next generation."""
    serve(server, LOOP)
    with server:
        site.publish(spec(name, server))
        site.observer.wait("a failure", lambda: "failure" in site.observer.result(name), seconds=90)
        failure = refused(site, name, "helm-timed-out", "Failed")
        assert not failure["retryable"]
        serve(server)
        site.publish(spec(name, server, values={"replicas": 2}))
        site.observer.wait_state(DEVICE, name, "Deployed", 2)
