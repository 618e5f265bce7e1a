"""What network policies let through, by the rules of networking.k8s.io/v1.

A pod that no policy selects is open; one that is selected is open to what one of them names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any


@dataclass(frozen=True)
class Pod:
    """A pod, by its namespace and labels."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Outside:
    """Whatever is no pod."""

    address: str


Peer = Pod | Outside


@dataclass(frozen=True)
class Network:
    """A cluster's network with these policies."""

    policies: Sequence[Mapping[str, Any]]

    def passes(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Say whether a connection from one to the other is let out, and let in."""
        let_out = self._is_open(source, "Egress", target, port, protocol)
        return let_out and self._is_open(target, "Ingress", source, port, protocol)

    def _is_open(self, here: Peer, kind: str, there: Peer, port: int, protocol: str) -> bool:
        if isinstance(here, Outside):
            return True
        specs = [
            policy["spec"]
            for policy in self.policies
            if policy["metadata"]["namespace"] == here.namespace
            and kind in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], here.labels)
        ]
        rules = [rule for spec in specs for rule in spec.get(kind.lower()) or ()]
        side = "from" if kind == "Ingress" else "to"
        return not specs or any(
            _has_port(rule.get("ports"), port, protocol)
            and _has_peer(rule.get(side), there, here.namespace)
            for rule in rules
        )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a selector means what has these labels; it has to be one of labels alone."""
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _has_port(ports: Iterable[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        (each.get("protocol", "TCP"), each.get("port", port)) == (protocol, port) for each in ports
    )


def _has_peer(peers: Iterable[Mapping[str, Any]] | None, there: Peer, namespace: str) -> bool:
    return not peers or any(_is_peer(peer, there, namespace) for peer in peers)


def _is_peer(peer: Mapping[str, Any], there: Peer, namespace: str) -> bool:
    if isinstance(there, Outside):
        block = peer.get("ipBlock")
        return block is not None and _is_within(there.address, block)
    if "ipBlock" in peer:
        return False
    of_namespace = peer.get("namespaceSelector")
    in_namespace = (
        there.namespace == namespace
        if of_namespace is None
        else selects(of_namespace, {"kubernetes.io/metadata.name": there.namespace})
    )
    return in_namespace and selects(peer.get("podSelector", {}), there.labels)


def _is_within(address: str, block: Mapping[str, Any]) -> bool:
    known = ip_address(address)
    return known in ip_network(block["cidr"]) and not any(
        known in ip_network(each) for each in block.get("except", ())
    )
