"""Refusing what the proxy would pass on to upstream as the client sent it.

The reverse proxy takes such fields out; whoever only answers a question cannot. What the answer
names under its exact spelling, the proxy overwrites. Aliases (``X_Auth_Subject``,
CVE-2025-64484; ``X.Auth.Subject``, CVE-2026-88011) and headers that change what was asked
(``X-HTTP-Method-Override``) would stay, so the request is refused unless the proxy took them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.identity_headers import IdentityHeaders, fold_name
from sidecar.fronts.forwarded import is_alias_of_proxies, is_override
from sidecar.fronts.hop_by_hop import read_options
from sidecar.fronts.name_memory import NameMemory
from sidecar.fronts.request_head import RawHeaders, RequestHead


@dataclass(frozen=True)
class Screen:
    """What a client may not send through the proxy. ``told`` are the proxy's own, in lower case."""

    identity: IdentityHeaders
    told: Sequence[str]
    _problems: NameMemory[bytes, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        overwritten = (*self.identity.names.values(), *self.identity.cleared)
        exact = frozenset({*self.told, *(name.lower() for name in overwritten)})
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_problems", NameMemory(self._problem_of))
        object.__setattr__(self, "_folded", frozenset(map(fold_name, self.told)))

    def check(self, head: RequestHead, raw_headers: RawHeaders) -> None:
        """Refuse the request if it has such a header.

        Raises:
            Denied: MALFORMED_REQUEST.
        """
        for name, _ in raw_headers:
            problem = self._problems[name]
            if problem:
                raise Denied(DenyReason.MALFORMED_REQUEST, problem)
        for option in read_options(head.connection):
            # A proxy that heeds it after it has set the header removes the identity
            # (CVE-2024-45410).
            if self._is_set_by_proxy(option.decode("latin-1")):
                detail = "Connection names a header that the proxy sets"
                raise Denied(DenyReason.MALFORMED_REQUEST, detail)

    def _is_set_by_proxy(self, name: str) -> bool:
        folded: frozenset[str] = self.__dict__["_folded"]
        return self.identity.is_protected(name) or fold_name(name) in folded

    def _problem_of(self, octets: bytes) -> str:
        name = octets.decode("latin-1")
        exact: frozenset[str] = self.__dict__["_exact"]
        if name.isascii() and name.lower() in exact:
            return ""
        if self._is_set_by_proxy(name) or is_alias_of_proxies(name):
            return "an alias of a header that the proxy sets"
        return "a header that changes what was asked" if is_override(name) else ""
