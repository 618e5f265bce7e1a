"""Reading a check: what Envoy says of a request, made into the access request.

Envoy tells the header in one of two forms. With ``encode_raw_headers`` (``header_map``) each line
comes by itself, as the octets that it is. Without (``headers``, a map) lines of one name are joined
by commas, and octets that are no UTF-8 are replaced by ``!``: then an exclamation mark in the path
may stand for anything, and is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from google.protobuf.message import DecodeError

from sidecar.core.client_certificate import CertificateForm, read_thumbprint
from sidecar.core.confirmation import Shown
from sidecar.core.decision import Denied, Deny, DenyReason
from sidecar.core.request import AccessRequest
from sidecar.fronts.asking import read_method_and_target
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.head_check import is_host
from sidecar.fronts.hop_by_hop import END_TO_END, read_options
from sidecar.fronts.shown import NOTHING_SHOWN, PROOF, ShownRules

_LONGEST_LOGGED = 256

Fields = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Check:
    """What Envoy asks, and why it is refused whatever it asks (``problem``, or None).

    ``fields`` are the lines of the request's header without the pseudo-headers: names in lower
    case, values decoded as Latin-1. ``peer`` is the address that Envoy names as its client.
    """

    asked: AccessRequest
    fields: Fields = ()
    peer: str = ""
    problem: Deny | None = None


def read_check(
    message: bytes,
    trusted: TrustedProxies,
    request_id: str,
    shown: ShownRules = NOTHING_SHOWN,
) -> Check:
    """Read a serialized ``CheckRequest``. What cannot be read comes with its problem."""
    check = Check(AccessRequest("", "", "", "", (), "", request_id))
    try:
        attributes = _attributes(message)
        http, check.peer = attributes.request.http, _peer(attributes)
        asked = check.asked
        asked.method, asked.host, asked.peer = http.method, http.host, check.peer
        asked.path = http.path.partition("?")[0][:_LONGEST_LOGGED]
        pseudo, check.fields = _split(http)
        asked.switches_to = _switches_to(check.fields)
        asked.authorization = _values(check.fields, "authorization")
        asked.shown = _shown(check, attributes, shown, by_proxy=trusted.trusts(check.peer))
        asked.peer = trusted.client(check.peer, _values(check.fields, "x-forwarded-for"))
        _check_pseudo(http, pseudo)
        _check_fields(http, check.fields)
        path, query = read_method_and_target(http.method, http.path)
        _check_told(http, pseudo)
        asked.path, asked.query = path, query
    except Denied as denied:
        check.problem = Deny(denied.reason, denied.detail)
    return check


def _shown(check: Check, attributes: Any, rules: ShownRules, *, by_proxy: bool) -> Shown | None:
    told = () if rules.header is None else _values(check.fields, rules.header.name)
    # With ``include_peer_certificate``: Envoy's own handshake with its client.
    of_peer = str(attributes.source.certificate)
    own = read_thumbprint(CertificateForm.NGINX_ESCAPED_PEM, (of_peer,))
    return rules.shown(_values(check.fields, PROOF), told, own, by_proxy=by_proxy)


def _switches_to(fields: Fields) -> tuple[str, ...]:
    if any(name == "sec-websocket-key" for name, _ in fields):
        return (*_values(fields, "upgrade"), "websocket")  # RFC 6455, 4.1
    return _values(fields, "upgrade")


def _attributes(message: bytes) -> Any:
    try:
        request = CheckRequest.FromString(message)
    except DecodeError:
        # Also for text that is not UTF-8 (CVE-2023-27488).
        raise _malformed("the check is no CheckRequest") from None
    if not request.attributes.request.HasField("http"):
        raise _malformed("the check tells of no HTTP request")
    return request.attributes


def _peer(attributes: Any) -> str:
    return str(attributes.source.address.socket_address.address)


def _split(http: Any) -> tuple[dict[str, str], Fields]:
    """Return the pseudo-headers (RFC 9113, 8.3) and the other fields."""
    pseudo: dict[str, str] = {}
    fields = []
    for name, value in _lines(http):
        if not name.startswith(":"):
            fields.append((name, value))
        elif name in pseudo:
            raise _malformed("a pseudo-header is there twice")
        else:
            pseudo[name] = value
    if not fields and not pseudo:
        # Nobody could tell which identity headers the client sent.
        raise _malformed("the check tells no header")
    return pseudo, tuple(fields)


def _lines(http: Any) -> Iterator[tuple[str, str]]:
    if http.headers and http.header_map.headers:
        raise _malformed("the header is told twice")
    for name, value in http.headers.items():
        yield name.lower(), value
    for line in http.header_map.headers:
        if line.value and line.raw_value:
            raise _malformed("a field has two values")
        yield line.key.lower(), line.value or line.raw_value.decode("latin-1")


def _check_pseudo(http: Any, pseudo: dict[str, str]) -> None:
    said = {":method": http.method, ":path": http.path, ":authority": http.host}
    for name, value in said.items():
        if pseudo.get(name, value) != value:
            raise _malformed(f"{name} is not what the check says of it")


def _check_fields(http: Any, fields: Fields) -> None:
    if not is_host(http.host.encode()):
        raise _malformed("Host is not a host and a port")
    if any(value != http.host for value in _values(fields, "host")):
        raise _malformed("Host is not :authority")
    options = read_options(value.encode("utf-8") for value in _values(fields, "connection"))
    if not END_TO_END.isdisjoint(options):
        raise _malformed("Connection names an end-to-end header")


def _check_told(http: Any, pseudo: dict[str, str]) -> None:
    is_exact = http.header_map.headers and ":path" in pseudo
    if "!" in http.path and not is_exact:
        raise _malformed("the path may have octets that Envoy could not tell")


def _values(fields: Fields, wanted: str) -> tuple[str, ...]:
    return tuple(value for name, value in fields if name == wanted)


def _malformed(detail: str) -> Denied:
    return Denied(DenyReason.MALFORMED_REQUEST, detail)
