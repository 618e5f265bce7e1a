"""What a proxy in front may tell us of the client, and what nobody may.

The trusted set is empty by default: CVE-2026-40575 was patched with a setting whose default trusted
everybody, and CVE-2026-76835 is the same bypass again. Private addresses are no exception
(CVE-2024-45806).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from sidecar.core.identity_headers import fold_name

Network = IPv4Network | IPv6Network

# Told by a trusted proxy only; a client's are dropped.
_OF_PROXIES = frozenset({"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip"})
_PREFIXES_OF_PROXIES = ("x-forwarded-", "x-envoy-")

# Dropped from everybody: with these an upstream would act on another method, path or host than the
# one that was judged (CVE-2026-40575, X-Original-URL and its kin).
_OVERRIDES = frozenset(
    {
        "x-original-url",
        "x-original-uri",
        "x-original-host",
        "x-original-method",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
    }
)


def is_of_proxies(name: str) -> bool:
    """Say whether a header of this name, however spelled, counts from trusted proxies only."""
    folded = fold_name(name)
    return folded in _OF_PROXIES or folded.startswith(_PREFIXES_OF_PROXIES)


def is_alias_of_proxies(name: str) -> bool:
    """Say whether this is such a header's name in another spelling.

    No proxy writes it so. It is a client's, on its way past a proxy that takes out the others.
    """
    return is_of_proxies(name) and fold_name(name) != name.lower()


def is_override(name: str) -> bool:
    """Say whether a header of this name, however spelled, would change what was asked."""
    return fold_name(name) in _OVERRIDES


@dataclass(frozen=True)
class TrustedProxies:
    """The networks whose word on the client counts. Empty: nobody's."""

    networks: tuple[Network, ...] = ()
    _known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    def trusts(self, address: str) -> bool:
        """Say whether ``address`` (as the socket or a trusted proxy names it) is a proxy of ours.

        What is no IP address is not.
        """
        if not self.networks:
            return False
        known = self._known.get(address)
        if known is None:
            known = self._is_within(address)
            if len(self._known) < 1024:
                self._known[address] = known
        return known

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """Return the client's address: the last one that no trusted proxy stands for.

        ``forwarded_for`` holds the values of all ``X-Forwarded-For`` lines. Each proxy appends whom
        it saw, so the list is read from its end, and what stands before an untrusted address is
        that address's own claim.
        """
        client = peer
        named = [word.strip() for value in forwarded_for for word in value.split(",")]
        while named and self.trusts(client):
            client = _without_port(named.pop())
            if not is_address(client):
                return peer
        return client

    def _is_within(self, address: str) -> bool:
        if not is_address(address):
            return False
        parsed = ip_address(address)
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self.networks)


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, _ = address.partition(":")
    return host if colon and ":" not in address[len(host) + 1 :] else address


def is_address(text: str) -> bool:
    """Say whether ``text`` is an IP address, and no name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
