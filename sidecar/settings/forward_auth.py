"""The settings of the forward-auth door. Times are in seconds."""

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from sidecar.ports import Dialect
from sidecar.settings.fields import Port, Seconds, Section, ServerTls
from sidecar.settings.networks import Network, Networks, covers_everybody

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def _is_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError("expected a path such as /auth, without a slash at its end")
    return text


def _are_some(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    if not networks:
        raise ValueError("nobody could ask; name the proxies' networks")
    if covers_everybody(networks):
        raise ValueError("trusts everybody; name the proxies' networks")
    return networks


class ForwardAuth(Section):
    """Where proxies ask whether a request may pass, before they pass it on themselves."""

    dialect: Dialect
    """How the proxy says what was asked: X-Forwarded-Method, -Proto, -Host and -Uri (traefik,
    caddy), X-Original-Method, -Host and -URI (nginx), or the method and the path themselves
    (envoy)."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8081
    """Port to listen on; 0 lets the system choose."""
    path: Annotated[str, AfterValidator(_is_prefix)] = "/auth"
    """Path at which proxies ask; with Envoy the path that comes before the asked one."""
    trusted_proxies: Annotated[Networks, AfterValidator(_are_some)] = _LOOPBACK
    """Networks (CIDR) of the proxies that may ask. Others get 403."""
    tls: ServerTls | None = None
    """TLS for the proxies; without it the door speaks plain HTTP."""
    backlog: Annotated[int, Field(ge=1, le=65535)] = 1024
    """Connections that may wait to be accepted."""
    idle_timeout: Seconds = 180.0
    """Seconds until a connection without a question is ended; more than the proxies keep it."""
    head_timeout: Seconds = 10.0
    """Seconds that a TLS handshake, and then each question's head, may take from first to last."""
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections of proxies at one time, for each process."""
    max_header_bytes: Annotated[int, Field(ge=1024, le=1048576)] = 16384
    """Bytes that the request line, and each header, may have."""
    max_headers: Annotated[int, Field(ge=8, le=1000)] = 160
    """Headers that a question may have: the client's, and those that the proxy adds."""
