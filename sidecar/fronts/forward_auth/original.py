"""What the proxy's client asked, as the proxy tells it. Each dialect has one way, and no other.

A second way would be the client's: oauth2-proxy took ``X-Forwarded-Uri`` from whoever sent it
(CVE-2026-40575), since the proxy in front wrote something else. And each part has a header of its
own: in a URL that a proxy puts together (``X-Original-URL``), the client's ``Host`` could hold the
beginning of another path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from sidecar.core.decision import Denied, DenyReason
from sidecar.core.dialect import Dialect
from sidecar.fronts.head_check import is_host
from sidecar.fronts.request_head import RawHeaders

_FORWARDED = ("x-forwarded-method", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-proto")
_ORIGINAL = ("x-original-method", "x-original-host", "x-original-uri")
_SCHEMES = ("http", "https", "ws", "wss")


@dataclass(frozen=True, slots=True)
class Original:
    """The request that the proxy holds back until it is answered."""

    method: str
    host: str
    target: str


def names_of(dialect: Dialect) -> Sequence[str]:
    """Return the headers that say what was asked, in lower case; the proxy has to set them all."""
    match dialect:
        case Dialect.TRAEFIK | Dialect.CADDY:
            return _FORWARDED
        case Dialect.NGINX:
            return _ORIGINAL
        case Dialect.ENVOY:
            return ()
        case _:
            assert_never(dialect)


def read_original(
    dialect: Dialect, prefix: str, method: str, target: str, raw_headers: RawHeaders
) -> Original:
    """Return what was asked; ``method`` and ``target`` are those of the proxy's question.

    Nothing is judged here but whether there is one reading.

    Raises:
        Denied: MALFORMED_REQUEST for a header that is missing, doubled or malformed.
    """
    told = _one_each(names_of(dialect), raw_headers)
    match dialect:
        case Dialect.TRAEFIK | Dialect.CADDY:
            _check_place(prefix, target)
            method, host, target, scheme = told
            if scheme not in _SCHEMES:
                raise _malformed("the forwarded scheme is not one of HTTP's")
            return _original(method, host, target)
        case Dialect.NGINX:
            _check_place(prefix, target)
            method, host, target = told
            return _original(method, host, target)
        case Dialect.ENVOY:
            if not target.startswith(f"{prefix}/"):
                raise _malformed("the path is not below the door's")
            (host,) = _one_each(("host",), raw_headers)
            target = target.removeprefix(prefix)
            if "!" in target.partition("?")[0]:
                # Envoy asks with one in the place of each octet that is no UTF-8, and passes the
                # octets on. HTTP/2 clients can send them, an overlong ".." for instance.
                raise _malformed("the path may have octets that Envoy could not tell")
            return Original(method, host, target)
        case _:
            assert_never(dialect)


def _original(method: str, host: str, target: str) -> Original:
    if not method:
        raise _malformed("the forwarded method is empty")
    if not is_host(host.encode("latin-1")):
        raise _malformed("the forwarded host is not a host and a port")
    return Original(method, host, target)


def _check_place(prefix: str, target: str) -> None:
    # Caddy leaves the client's query on its question; it is not read here.
    if target.partition("?")[0] != prefix:
        raise _malformed("the path is not the door's")


def _one_each(names: Sequence[str], raw_headers: RawHeaders) -> list[str]:
    found: dict[str, list[bytes]] = {name: [] for name in names}
    for given, value in raw_headers:
        values = found.get(given.decode("latin-1").lower())
        if values is not None:
            values.append(value)
    for name, values in found.items():
        if len(values) != 1:
            raise _malformed(f"not exactly one {name}")
    return [values[0].decode("latin-1") for values in found.values()]


def _malformed(detail: str) -> Denied:
    return Denied(DenyReason.MALFORMED_REQUEST, detail)
