"""Whom the chart's network policies let through, and where the sidecar may go."""

from typing import Any

import pytest

from tests.deploy.chart import NAMESPACE, changed, example, rendered
from tests.deploy.network import Outside, Pod

GATEWAY = Pod(NAMESPACE, {"app": "hoopgateway"})
STRANGER = Pod(NAMESPACE, {"app": "stranger"})
PORTS_OF_THE_GATEWAY = (8009, 8010)


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_the_gateway_is_closed_to_all_but_the_sidecar(name: str) -> None:
    cluster = example(name)
    network = cluster.network
    gateway = Pod("hoop" if name == "everything" else NAMESPACE, GATEWAY.labels)

    for port in PORTS_OF_THE_GATEWAY:
        assert network.passes(cluster.own, gateway, port)
        assert not network.passes(STRANGER, gateway, port)
        assert not network.passes(Pod("elsewhere", cluster.own.labels), gateway, port)
        assert not network.passes(Outside("203.0.113.7"), gateway, port)


def test_who_is_let_past_the_sidecar_is_named() -> None:
    network = example("everything").network
    gateway, agent = Pod("hoop", GATEWAY.labels), Pod("hoop-agents", {})

    assert network.passes(agent, gateway, 8010)
    assert not network.passes(agent, gateway, 8009)


@pytest.mark.parametrize("name", ["with-gateway", "in-another-chart"])
def test_in_one_pod_the_gateways_ports_are_closed_and_its_ways_out_are_not(name: str) -> None:
    cluster = example(name)
    pod = cluster.own if name == "with-gateway" else GATEWAY

    for port in PORTS_OF_THE_GATEWAY:
        assert not cluster.network.passes(STRANGER, pod, port)
    assert cluster.network.passes(STRANGER, pod, 8080)
    assert cluster.network.passes(pod, Outside("203.0.113.7"), 5432)


def test_the_sidecar_goes_nowhere_but_where_it_has_to() -> None:
    cluster = example("everything")
    sidecar, valkey = cluster.own, Pod("valkey", {"app": "valkey"})
    passes = cluster.network.passes

    assert passes(sidecar, valkey, 6379)
    assert passes(sidecar, valkey, 26379)
    assert passes(sidecar, Pod("tracing", {}), 4318)
    assert not passes(sidecar, valkey, 22)
    assert not passes(sidecar, STRANGER, 6379)
    assert not passes(sidecar, STRANGER, 443)
    # The cloud's own metadata, which hands out credentials.
    assert not passes(sidecar, Outside("169.254.169.254"), 443)
    assert not passes(sidecar, Outside("169.254.169.254"), 80)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({"upstream": {"url": "http://api.example.com:8443"}}, 8443),
        ({"upstream": {"url": "https://api.example.com"}}, 443),
        ({"upstream": {"url": "http://a", "more_urls": ["http://b:81"]}}, 81),
        ({"upstream": None, "grpc": {"upstream": {"url": "grpc://h:8010"}}}, 8010),
        ({"accounts": {"url": "redis://valkey.example.com:6380/3"}}, 6380),
        ({"accounts": {"url": "redis+sentinel://a:1111,b:2222,c:3333/s/0"}}, 3333),
        ({"accounts": {"url": "redis+sentinel://a:26379,b:26379/s/0"}}, 6379),
    ],
    ids=["a port", "https", "more", "gRPC", "Redis", "Sentinel", "what a sentinel names"],
)
def test_the_ways_out_follow_the_settings(settings: dict[str, Any], port: int) -> None:
    cluster = rendered(changed("minimal", settings=settings, gateway={"podLabels": None}))

    assert cluster.network.passes(cluster.own, STRANGER, port)
    assert not cluster.network.passes(cluster.own, STRANGER, port + 1)
