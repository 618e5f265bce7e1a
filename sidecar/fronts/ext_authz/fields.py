"""What upstream may be told: which of a client's header fields Envoy has to remove.

Envoy removes after it has set (its ``headers_to_remove`` come last), so a name that we set is never
named for removal: it is overwritten. What goes is every other spelling of it.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.principal import Principal
from sidecar.fronts.ext_authz.check import Check
from sidecar.fronts.forwarded import (
    TrustedProxies,
    is_alias_of_proxies,
    is_of_proxies,
    is_override,
)
from sidecar.fronts.hop_by_hop import HOP_BY_HOP
from sidecar.fronts.name_memory import NameMemory
from sidecar.fronts.shown import NOTHING_SHOWN, ShownRules

# Envoy's own business: it speaks these hop by hop itself, or writes them anew for the edge.
_OF_ENVOY = frozenset(
    {
        "connection", "http2-settings", "te", "transfer-encoding", "upgrade",
        "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-proto",
    }
)  # fmt: skip
_PREFIX_OF_ENVOY = "x-envoy-"
_HOP_BY_HOP = frozenset(name.decode("ascii") for name in HOP_BY_HOP)


class _Kind(Enum):
    KEPT = auto()
    REMOVED = auto()
    OF_PROXIES = auto()


@dataclass(frozen=True)
class FieldRules:
    """Which fields go on to upstream, and what is set there."""

    identity: IdentityHeaders
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    forward_authorization: bool = True
    shown: ShownRules = NOTHING_SHOWN
    _kinds: NameMemory[str, _Kind] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kinds", NameMemory(self._kind_of))

    def to_set(
        self, check: Check, principal: Principal | None, request_id: str
    ) -> list[tuple[str, str]]:
        """Return the fields that replace whatever the client sent under their names.

        Raises:
            Denied: MALFORMED_REQUEST for a credential that is not ASCII.
        """
        told = [
            (name.lower(), value) for name, value in self.identity.values(principal, request_id)
        ]
        authorization = check.asked.authorization
        if not all(value.isascii() for value in authorization):
            raise Denied(DenyReason.MALFORMED_REQUEST, "Authorization is not ASCII")
        if self.forward_authorization and principal is not None:
            value = self.shown.credential(authorization[0])
            if value != authorization[0]:
                told.append(("authorization", value))
        return told

    def to_remove(self, check: Check) -> list[str]:
        """Return the names of the client's fields that upstream must not see, each once."""
        from_proxy = self.trusted.trusts(check.peer)
        found: dict[str, None] = {}
        for name, _ in check.fields:
            kind = self._kinds[name]
            if kind is _Kind.REMOVED or (kind is _Kind.OF_PROXIES and not from_proxy):
                found[name] = None
        return list(found)

    def _kind_of(self, name: str) -> _Kind:
        if name == "authorization":
            return _Kind.KEPT if self.forward_authorization else _Kind.REMOVED
        if self.shown.is_proof(name):
            return _Kind.KEPT if self.shown.forwards_proofs else _Kind.REMOVED
        if name in _OF_ENVOY or name.startswith(_PREFIX_OF_ENVOY):
            return _Kind.KEPT
        if name in self._set_by_us():
            return _Kind.KEPT
        if (
            name in _HOP_BY_HOP
            or self.identity.is_protected(name)
            or is_override(name)
            or is_alias_of_proxies(name)
            or self.shown.is_alias(name)
        ):
            return _Kind.REMOVED
        told = is_of_proxies(name) or self.shown.is_certificate(name)
        return _Kind.OF_PROXIES if told else _Kind.KEPT

    def _set_by_us(self) -> frozenset[str]:
        names = (*self.identity.names.values(), *self.identity.cleared)
        return frozenset(name.lower() for name in names)
