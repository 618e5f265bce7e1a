"""Metadata of a call: what goes on to upstream, what goes back, and what ends here.

The rules for names are those of the reverse proxy's headers; gRPC adds the names that it keeps to
itself, and values of octets (``-bin``). Values of one name keep their order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.principal import Principal
from sidecar.core.trace import TRACE_FIELDS
from sidecar.fronts.forwarded import (
    TrustedProxies,
    is_alias_of_proxies,
    is_of_proxies,
    is_override,
)
from sidecar.fronts.hop_by_hop import HOP_BY_HOP
from sidecar.fronts.shown import NOTHING_SHOWN, PROOF, ShownRules

Metadatum = tuple[str, str | bytes]
Metadata = Sequence[Metadatum]

# What the library says for itself on each hop. `host` would be a second opinion on `:authority`.
_OF_THE_HOP = frozenset({name.decode() for name in HOP_BY_HOP}) | {
    "content-length", "content-type", "host", "user-agent",
}  # fmt: skip
# The names that begin with "grpc-" are reserved. Those of a caller the library takes for itself; an
# unknown one could change what it does (grpc-internal-encoding-request does). These are a server's.
_RESERVED = "grpc-"
_PASS_DOWN = frozenset({"grpc-retry-pushback-ms", "grpc-status-details-bin"})


class Unsendable(Exception):
    """Upstream sent metadata that cannot be sent on: a value beyond printable ASCII."""


@dataclass(slots=True)
class CallHead:
    """A call's metadata, sorted. ``kept`` is in its order; the rest is read out.

    ``problem`` says why it is refused whatever it asks, or is empty.
    """

    kept: list[Metadatum] = field(default_factory=list)
    of_proxies: list[Metadatum] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    forwarded_for: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    trace: list[tuple[bytes, bytes]] = field(default_factory=list)
    problem: str = ""

    def values(self, name: str) -> list[str | bytes]:
        """Return the values that go on under a name."""
        return [value for each, value in self.kept if each == name]


@dataclass(frozen=True, slots=True)
class MetadataRules:
    """Which metadata goes on to upstream, and what we say there ourselves.

    ``traces`` takes out what tells of the trace, for the front to put its own there.
    """

    identity: IdentityHeaders
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    forward_authorization: bool = True
    shown: ShownRules = NOTHING_SHOWN
    traces: bool = False

    def read(self, metadata: Iterable[Metadatum]) -> CallHead:
        """Sort the metadata of a call."""
        head = CallHead()
        read_out = {"authorization": head.authorization, "x-forwarded-for": head.forwarded_for}
        for name, value in metadata:
            if isinstance(value, bytes):
                if not self._is_dropped(name):
                    head.kept.append((name, value))
            elif not _is_sendable(value):
                head.problem = "metadata beyond printable ASCII"
            elif (into := read_out.get(name)) is not None:
                into.append(value)
            elif self.traces and name.encode() in TRACE_FIELDS:
                head.trace.append((name.encode(), value.encode()))
            elif self.shown.is_proof(name):
                head.proofs.append(value)
            elif self._is_of_proxies(name):
                self._read_told(head, name, value)
            elif not self._is_dropped(name):
                head.kept.append((name, value))
        return head

    def write(
        self,
        head: CallHead,
        principal: Principal | None,
        *,
        peer: str,
        scheme: str,
        request_id: str,
    ) -> tuple[Metadatum, ...]:
        """Return the metadata for upstream."""
        told = list(head.kept)
        if self.forward_authorization:
            told.extend(("authorization", value) for value in self._credentials(head, principal))
            if self.shown.forwards_proofs:
                told.extend((PROOF, value) for value in head.proofs)
        told.extend(
            _metadatum(name.lower(), value)
            for name, value in self.identity.values(principal, request_id)
        )
        chain = [peer]
        if self.trusted.trusts(peer):
            chain = [*head.forwarded_for, peer]
            told.extend(head.of_proxies)
        if all(name != "x-forwarded-proto" for name, _ in told):
            told.append(("x-forwarded-proto", scheme))
        told.append(("x-forwarded-for", ", ".join(chain)))
        return tuple(told)

    def _read_told(self, head: CallHead, name: str, value: str) -> None:
        head.of_proxies.append((name, value))
        if self.shown.is_certificate(name):
            head.certificates.append(value)

    def _is_of_proxies(self, name: str) -> bool:
        told = is_of_proxies(name) and not is_alias_of_proxies(name)
        return told or self.shown.is_certificate(name)

    def _is_dropped(self, name: str) -> bool:
        return (
            name in _OF_THE_HOP
            or name.startswith(_RESERVED)
            or self.identity.is_protected(name)
            or is_override(name)
            or is_of_proxies(name)
            or self.shown.is_alias(name)
        )

    def _credentials(self, head: CallHead, principal: Principal | None) -> list[str]:
        if principal is None:
            return head.authorization  # an open route, or a credential of upstream's own
        return [self.shown.credential(head.authorization[0])]


def going_down(metadata: Iterable[Metadatum]) -> tuple[Metadatum, ...]:
    """Return which of upstream's metadata, initial or trailing, go on to the client.

    Raises:
        Unsendable: the library would refuse to send one of them.
    """
    told = []
    for name, value in metadata:
        if name in _OF_THE_HOP or (name.startswith(_RESERVED) and name not in _PASS_DOWN):
            continue
        if isinstance(value, str) and not _is_sendable(value):
            raise Unsendable(name)
        told.append((name, value))
    return tuple(told)


def _is_sendable(value: str) -> bool:
    # "ASCII-Value" of gRPC over HTTP/2: 0x20 to 0x7E.
    return value.isascii() and value.isprintable()


def _metadatum(name: str, value: str) -> Metadatum:
    return (name, value.encode()) if name.endswith("-bin") else (name, value)


def malformed(detail: str) -> Denied:
    """Return what refuses a call that cannot be read in one way only."""
    return Denied(DenyReason.MALFORMED_REQUEST, detail)
