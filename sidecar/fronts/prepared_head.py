"""The head of a connection's last request, with all that was made of it.

Programs send the same fields with every request of a connection. What is made of them depends on
them alone (and on the peer, who stays), so it is made once: the sorted fields, the verdict on them,
the bearer, and the octets for upstream. Only the request's own id differs; it has its place kept.
"""

import secrets
from dataclasses import dataclass, field

from sidecar.core.confirmation import Shown
from sidecar.core.decision import Denied, Deny
from sidecar.core.principal import Principal
from sidecar.core.token_memory import TokenMemory
from sidecar.core.trace import Trace
from sidecar.fronts.head_check import check_head
from sidecar.fronts.request_head import (
    HeadRules,
    RawHeaders,
    RequestHead,
)


@dataclass(slots=True)
class PreparedHead:
    """What came (``raw_headers``, ``version``) and what was made of it.

    ``client`` is the client's address, as the peer or proxies that are trusted name it. ``begun``
    is the trace of a request that could not be answered at once, for whoever goes on with it.
    """

    raw_headers: RawHeaders
    version: tuple[int, int]
    head: RequestHead
    client: str
    authorization: tuple[str, ...]
    problem: Deny | None
    shown: Shown | None = None
    memory: TokenMemory = field(default_factory=TokenMemory)
    begun: Trace | None = None
    _principal: Principal | None = None
    _assertion: str = ""
    _parts: tuple[bytes, ...] = ()

    def is_of(self, raw_headers: RawHeaders, version: tuple[int, int]) -> bool:
        """Say whether a request has this very head."""
        return self.raw_headers == raw_headers and self.version == version

    def lines(
        self, rules: HeadRules, principal: Principal | None, peer: str, scheme: str, request_id: str
    ) -> bytes:
        """Return the fields for upstream and the empty line, as octets.

        Raises:
            Denied: as ``HeadRules.write``.
        """
        parts = self._parts
        assertion = rules.identity.assertion(principal)
        if not parts or self._principal is not principal or self._assertion is not assertion:
            parts = self._parts = self._write(rules, principal, peer, scheme)
            self._principal, self._assertion = principal, assertion
        return request_id.encode("ascii").join(parts)

    def _write(
        self, rules: HeadRules, principal: Principal | None, peer: str, scheme: str
    ) -> tuple[bytes, ...]:
        # Nobody can have put into a field what is made up only now.
        place = secrets.token_hex(16)
        fields = rules.write(self.head, principal, peer=peer, scheme=scheme, request_id=place)
        lines = b"".join(b"%b: %b\r\n" % each for each in fields) + b"\r\n"
        return tuple(lines.split(place.encode("ascii")))


def prepare_head(
    rules: HeadRules,
    raw_headers: RawHeaders,
    version: tuple[int, int],
    peer: str,
    certificate: str | None = None,
) -> PreparedHead:
    """Read a head and judge it; ``certificate`` is the thumbprint of the peer's own."""
    head = rules.read(raw_headers)
    problem = None
    try:
        check_head(head, version)
    except Denied as denied:
        problem = Deny(denied.reason, denied.detail)
    client = rules.trusted.client(peer, head.forwarded_for)
    shown = rules.shown.shown(
        head.proofs, head.certificates, certificate, by_proxy=rules.trusted.trusts(peer)
    )
    authorization = tuple(head.authorization)
    return PreparedHead(raw_headers, version, head, client, authorization, problem, shown)
