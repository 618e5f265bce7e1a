"""The head of a request: read once, and written anew.

One pass over the raw fields sorts each by its name; classes of names are remembered, so a known
name costs one look-up. What goes to upstream keeps its order, case and duplicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

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
from sidecar.fronts.hop_by_hop import HOP_BY_HOP, read_options
from sidecar.fronts.name_memory import NameMemory
from sidecar.fronts.shown import NOTHING_SHOWN, ShownRules

RawHeaders = Sequence[tuple[bytes, bytes]]


class _Kind(Enum):
    KEPT = auto()
    DROPPED = auto()
    HOST = auto()
    AUTHORIZATION = auto()
    CONNECTION = auto()
    TRANSFER_ENCODING = auto()
    UPGRADE = auto()
    EXPECT = auto()
    CONTENT_LENGTH = auto()
    FORWARDED_FOR = auto()
    OF_PROXIES = auto()
    PROOF = auto()
    CERTIFICATE = auto()
    TRACE = auto()


_BY_NAME = {
    b"host": _Kind.HOST,
    b"authorization": _Kind.AUTHORIZATION,
    b"connection": _Kind.CONNECTION,
    b"transfer-encoding": _Kind.TRANSFER_ENCODING,
    b"upgrade": _Kind.UPGRADE,
    b"expect": _Kind.EXPECT,
    b"content-length": _Kind.CONTENT_LENGTH,
    b"x-forwarded-for": _Kind.FORWARDED_FOR,
}


@dataclass(slots=True)
class RequestHead:
    """A request's fields, sorted. ``kept`` are raw, in their order; the rest is read out."""

    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    of_proxies: list[tuple[bytes, bytes]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    hosts: list[bytes] = field(default_factory=list)
    connection: list[bytes] = field(default_factory=list)
    transfer_encoding: list[bytes] = field(default_factory=list)
    upgrade: list[bytes] = field(default_factory=list)
    expect: list[bytes] = field(default_factory=list)
    content_length: list[bytes] = field(default_factory=list)
    forwarded_for: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    trace: list[tuple[bytes, bytes]] = field(default_factory=list)
    octets: int = 0

    @property
    def host(self) -> str:
        """The ``Host``, for the log and for upstream; empty when HTTP/1.0 came without."""
        return self.hosts[0].decode("latin-1") if self.hosts else ""

    @property
    def wants_websocket(self) -> bool:
        """Say whether the client asks to switch to WebSocket and to nothing else.

        RFC 9110, 7.8: without the ``upgrade`` option an intermediary reads an ordinary request,
        and what follows would be a tunnel through it.
        """
        return [value.strip().lower() for value in self.upgrade] == [
            b"websocket"
        ] and b"upgrade" in read_options(self.connection)

    @property
    def announces_body(self) -> bool:
        """Say whether the head says that a body follows, however little the parser made of it."""
        return bool(self.transfer_encoding) or self.content_length not in ([], [b"0"])

    @property
    def expects_continue(self) -> bool:
        """Say whether the client holds its body back until told (RFC 9110, 10.1.1)."""
        return bool(self.expect)


@dataclass(frozen=True)
class HeadRules:
    """Which fields go on to upstream, and what we say there ourselves.

    ``traces`` takes out what tells of the trace, for the front to put its own there.
    """

    identity: IdentityHeaders
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    forward_authorization: bool = True
    shown: ShownRules = NOTHING_SHOWN
    traces: bool = False
    _kinds: NameMemory[bytes, _Kind] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kinds", NameMemory(self._kind_of))

    def read(self, raw_headers: RawHeaders) -> RequestHead:
        """Sort the fields of a request."""
        head = RequestHead()
        kinds = self._kinds
        for name, value in raw_headers:
            head.octets += len(name) + len(value)
            kind = kinds[name]
            if kind is _Kind.KEPT:
                head.kept.append((name, value))
            elif kind is not _Kind.DROPPED:
                _read_out(head, kind, name, value)
        return head

    def write(
        self,
        head: RequestHead,
        principal: Principal | None,
        *,
        peer: str,
        scheme: str,
        request_id: str,
    ) -> list[tuple[bytes, bytes]]:
        """Return the fields for upstream, hop-by-hop ones left out.

        What the client's ``Connection`` names is taken from what it sent, before ours is added:
        else ``Connection: X-Auth-Subject`` would remove the identity (CVE-2024-45410).

        Raises:
            Denied: MALFORMED_REQUEST for a credential that is not ASCII.
        """
        told = list(head.kept)
        if head.connection:
            options = read_options(head.connection)
            told = [each for each in told if each[0].lower() not in options]
        if head.hosts:
            told.append((b"Host", head.hosts[0]))
        if self.forward_authorization:
            told.extend(_authorization(head, principal, self.shown))
        told.extend(
            (name.encode("ascii"), value.encode("ascii"))
            for name, value in self.identity.values(principal, request_id)
        )
        self._tell_of_client(head, peer, scheme, told)
        return told

    def _tell_of_client(
        self, head: RequestHead, peer: str, scheme: str, told: list[tuple[bytes, bytes]]
    ) -> None:
        proto = (b"X-Forwarded-Proto", scheme.encode("ascii"))
        if not self.trusted.trusts(peer):
            told.extend(((b"X-Forwarded-For", peer.encode("latin-1")), proto))
            return
        chain = ", ".join([*head.forwarded_for, peer])
        told.append((b"X-Forwarded-For", chain.encode("latin-1")))
        told.extend(head.of_proxies)
        if all(name.lower() != b"x-forwarded-proto" for name, _ in head.of_proxies):
            told.append(proto)

    def _kind_of(self, name: bytes) -> _Kind:
        lower = name.lower()
        found = _BY_NAME.get(lower)
        text = name.decode("latin-1")
        if found is not None:
            return found
        if self.traces and lower in TRACE_FIELDS:
            return _Kind.TRACE
        if self.shown.is_proof(text.lower()):
            return _Kind.PROOF
        if (
            lower in HOP_BY_HOP
            or self.identity.is_protected(text)
            or is_override(text)
            or is_alias_of_proxies(text)
            or self.shown.is_alias(text)
        ):
            return _Kind.DROPPED
        if self.shown.is_certificate(text.lower()):
            return _Kind.CERTIFICATE
        return _Kind.OF_PROXIES if is_of_proxies(text) else _Kind.KEPT


def _read_out(head: RequestHead, kind: _Kind, name: bytes, value: bytes) -> None:
    match kind:
        case _Kind.AUTHORIZATION:
            head.authorization.append(value.decode("latin-1"))
        case _Kind.HOST:
            head.hosts.append(value)
        case _Kind.CONNECTION:
            head.connection.append(value)
        case _Kind.TRANSFER_ENCODING:
            head.transfer_encoding.append(value)
        case _Kind.UPGRADE:
            head.upgrade.append(value)
        case _Kind.EXPECT:
            head.expect.append(value)
        case _Kind.CONTENT_LENGTH:
            head.content_length.append(value)
            head.kept.append((name, value))
        case _Kind.FORWARDED_FOR:
            head.forwarded_for.append(value.decode("latin-1"))
        case _Kind.PROOF:
            head.proofs.append(value.decode("latin-1"))
        case _:
            _read_told(head, kind, name, value)


def _read_told(head: RequestHead, kind: _Kind, name: bytes, value: bytes) -> None:
    if kind is _Kind.TRACE:
        head.trace.append((name.lower(), value))
        return
    head.of_proxies.append((name, value))
    if kind is _Kind.CERTIFICATE:
        head.certificates.append(value.decode("latin-1"))


def _authorization(
    head: RequestHead, principal: Principal | None, shown: ShownRules
) -> list[tuple[bytes, bytes]]:
    proofs = head.proofs if shown.forwards_proofs else []
    if not all(value.isascii() for value in (*head.authorization, *proofs)):
        raise Denied(DenyReason.MALFORMED_REQUEST, "Authorization is not ASCII")
    told = [(b"DPoP", value.encode("ascii")) for value in proofs]
    if principal is None:
        # An open route: the credential is upstream's own affair (AWS SigV4, for one).
        told.extend((b"Authorization", value.encode("ascii")) for value in head.authorization)
    else:
        told.append((b"Authorization", shown.credential(head.authorization[0]).encode("ascii")))
    return told
