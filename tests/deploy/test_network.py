"""The rules by which the policies are judged, since the other tests believe them."""

from typing import Any

import pytest

from tests.deploy.network import Network, Outside, Peer, Pod, selects

HERE = Pod("ns", {"app": "gateway", "tier": "a"})
FRIEND = Pod("ns", {"app": "sidecar"})
NAMESAKE = Pod("other", {"app": "sidecar"})


def policy(kinds: list[str], **rules: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "gateway"}}
    spec = {"podSelector": selector, "policyTypes": kinds, **rules}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


def test_without_a_policy_everybody_gets_everywhere() -> None:
    assert Network([]).passes(NAMESAKE, HERE, 1)


def test_a_policy_closes_what_it_selects_and_nothing_else() -> None:
    network = Network([policy(["Ingress"])])

    assert not network.passes(FRIEND, HERE, 1)
    assert network.passes(HERE, FRIEND, 1)
    assert network.passes(FRIEND, Pod("other", {"app": "gateway"}), 1)


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        ({}, [FRIEND, NAMESAKE, Outside("10.0.0.1")]),
        ({"from": [{"podSelector": {"matchLabels": {"app": "sidecar"}}}]}, [FRIEND]),
        ({"from": [{"namespaceSelector": {}}]}, [FRIEND, NAMESAKE]),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, [Outside("10.0.0.1")]),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/24"]}}]}, []),
        ({"ports": [{"protocol": "TCP", "port": 2}]}, []),
    ],
    ids=["anybody", "a pod", "a namespace", "an address", "but this", "another port"],
)
def test_a_rule_admits_whom_it_names(rule: dict[str, Any], admitted: list[Peer]) -> None:
    network = Network([policy(["Ingress"], ingress=[rule])])

    assert [
        peer for peer in (FRIEND, NAMESAKE, Outside("10.0.0.1")) if network.passes(peer, HERE, 1)
    ] == admitted


def test_what_goes_out_is_judged_too() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "::/0"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    network = Network([policy(["Egress"], egress=[rule])])

    assert network.passes(HERE, Outside("2001:db8::1"), 443)
    assert not network.passes(HERE, Outside("10.0.0.1"), 443)
    assert not network.passes(HERE, Outside("2001:db8::1"), 443, "UDP")
    assert not network.passes(HERE, FRIEND, 443)


def test_a_selector_that_is_not_understood_is_not_believed() -> None:
    with pytest.raises(AssertionError):
        selects({"matchExpressions": []}, {})
