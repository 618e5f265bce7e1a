"""Who tries credentials out, and for how long it is not listened to.

Each peer may fail a few times at once, and then once every few seconds. It is refused before its
next credentials are looked at: so it cannot learn that they are good.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from math import ceil

from sidecar.ports import Clock

_AT_ONCE = 10
_SECONDS_EACH = 2.0
_MOST_PEERS = 10_000


class Attempts:
    """Failed attempts by peer: a bucket each, of ``at_once``, that leaks one in so many seconds.

    Of so many peers as are remembered at once the one that failed longest ago is forgotten.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        at_once: int = _AT_ONCE,
        seconds_each: float = _SECONDS_EACH,
        most_peers: int = _MOST_PEERS,
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._seconds_each = seconds_each
        self._most_peers = most_peers
        # When each bucket will be empty, by the steady clock.
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def wait_of(self, peer: str) -> int:
        """Return for how many seconds the peer is not listened to; 0 for not at all."""
        ahead = self._empty_at.get(_network_of(peer), 0.0) - self._clock.steady()
        # The room of one attempt has to be free.
        return max(0, ceil(ahead - (self._at_once - 1) * self._seconds_each))

    def failed(self, peer: str) -> None:
        """Note that the peer's credentials were bad."""
        network, now = _network_of(peer), self._clock.steady()
        self._empty_at[network] = max(now, self._empty_at.get(network, 0.0)) + self._seconds_each
        self._empty_at.move_to_end(network)
        if len(self._empty_at) > self._most_peers:
            self._empty_at.popitem(last=False)


def _network_of(peer: str) -> str:
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        # Whoever has one address of IPv6 has a whole /64 of them.
        return address.exploded[:19]
    return peer
