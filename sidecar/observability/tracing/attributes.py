"""What spans say of a request: names and values as OpenTelemetry's conventions have them.

What a client chooses is bounded in length, and is no part of a span's name. Needs no tracing
library.
"""

import re
from urllib.parse import urlsplit

from sidecar.core.decision import Decision, Deny, Grant, caller_in, denial_in
from sidecar.core.trace import Door, Record
from sidecar.observability.redaction import harmless
from sidecar.observability.tracing.observer import Ended

Attributes = dict[str, str | int | float | bool]

_PORT = re.compile(r"[0-9]{1,5}")
_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
_OTHER = "_OTHER"
_CLIENT_GONE = 499  # as nginx logs it: nobody was there to get a status
_CHECK = "envoy.service.auth.v3.Authorization/Check"
_LONGEST_PATH, _LONGEST_HOST, _LONGEST_METHOD = 1024, 255, 32
# Semantic conventions for gRPC: which codes are a server's errors.
_SERVER_ERRORS = frozenset(
    {"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}
)


def server_name(ended: Ended) -> str:
    """Return the name of a request's span: few of them, whatever clients ask."""
    door = ended.record.arrival.door
    if door is Door.EXT_AUTHZ:
        return _CHECK
    if door is Door.GRPC:
        return _rpc_method(ended)
    method, route = _method(ended.request.method), _route(ended.record.decision)
    method = "HTTP" if method == _OTHER else method
    return f"{method} {route}" if route else method


def upstream_name(ended: Ended) -> str:
    """Return the name of the span of what upstream was asked."""
    if ended.record.arrival.door is Door.GRPC:
        return _rpc_method(ended)
    method = _method(ended.request.method)
    return "HTTP" if method == _OTHER else method


def server_attributes(ended: Ended, *, tells_callers: bool) -> Attributes:
    """Return what the span of a request says."""
    request, record = ended.request, ended.record
    told: Attributes = {
        "sidecar.door": record.arrival.door.value,
        "sidecar.request_id": request.request_id,
    }
    if record.arrival.peer:
        told["network.peer.address"] = record.arrival.peer
    told |= _of_rpc(ended) if record.arrival.door is Door.GRPC else _of_http(ended)
    if record.decision is not None:
        told |= _of_decision(record.decision)
        if tells_callers:
            told |= _of_caller(record.decision)
    if tells_callers and request.peer:
        told["client.address"] = request.peer
    return told


def outcome_attributes(decision: Decision) -> Attributes:
    """Return what was decided, or would have been where it was not enforced."""
    denial = denial_in(decision)
    if denial is None:
        return {"sidecar.decision.outcome": "granted"}
    told: Attributes = {
        "sidecar.decision.outcome": "denied",
        "sidecar.decision.reason": denial.reason.value,
    }
    if isinstance(decision, Grant):
        told["sidecar.decision.enforced"] = False
    return told


def _of_decision(decision: Decision) -> Attributes:
    """Return what was decided, and about whose token; of persons it says nothing."""
    told = outcome_attributes(decision)
    route, caller = _route(decision), caller_in(decision)
    if route:
        told["sidecar.route"] = route
    if caller is not None:
        told["sidecar.issuer"] = caller.issuer
    return told


def upstream_attributes(ended: Ended) -> Attributes:
    """Return what the span of what upstream was asked says."""
    record = ended.record
    told = _of_address(record)
    if record.arrival.door is Door.GRPC:
        told |= {"rpc.system.name": "grpc", "rpc.method": _path(ended).removeprefix("/")}
        if not record.failure and not _is_cut(record):
            told["rpc.response.status_code"] = ended.code
        return told
    told["http.request.method"] = _method(ended.request.method)
    told["url.full"] = record.address.rstrip("/") + _path(ended)
    if record.upstream_status is not None:
        told["http.response.status_code"] = record.upstream_status
    retries = sum(event.name == "retry" for event in record.upstream_events)
    if retries:
        told["http.request.resend_count"] = retries
    return told


def error_of_server(ended: Ended) -> str:
    """Return what makes a request's span one of an error (``error.type``), or nothing.

    A denial is none: it is what the sidecar is for, unless it could not decide (5xx).
    """
    record = ended.record
    if record.failure:
        return record.failure
    if ended.status is None:
        return ended.code if ended.code in _SERVER_ERRORS else ""
    if ended.status < 500:
        return ""
    decision = record.decision
    return decision.reason.value if isinstance(decision, Deny) else str(ended.status)


def error_of_upstream(ended: Ended) -> str:
    """Return what makes upstream's span one of an error, or nothing: to a client 4xx is one."""
    record = ended.record
    if record.failure:
        return record.failure
    if record.arrival.door is Door.GRPC:
        return "" if ended.code == "OK" or _is_cut(record) else ended.code
    status = record.upstream_status
    return "" if status is None or status < 400 else str(status)


def _of_http(ended: Ended) -> Attributes:
    request, record, status = ended.request, ended.record, ended.status
    method = _method(request.method)
    told: Attributes = {
        "http.request.method": method,
        "url.path": _path(ended),
        "url.scheme": record.arrival.scheme,
    }
    if method == _OTHER:
        told["http.request.method_original"] = request.method[:_LONGEST_METHOD]
    told |= _of_host(harmless(request.host[:_LONGEST_HOST]))
    if route := _route(record.decision):
        told["http.route"] = route
    if status == _CLIENT_GONE:
        told["sidecar.client_gone"] = True
    elif status is not None:
        told["http.response.status_code"] = status
    if record.arrival.door is Door.EXT_AUTHZ:
        # What is answered by gRPC is Envoy; the status is the one that its client gets.
        told |= {
            "rpc.system.name": "grpc",
            "rpc.method": _CHECK,
            "rpc.response.status_code": "OK",
        }
    return told


def _of_rpc(ended: Ended) -> Attributes:
    method = _rpc_method(ended)
    told: Attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.response.status_code": ended.code,
    }
    if method == _OTHER:
        told["rpc.method_original"] = _path(ended).removeprefix("/")
    return told


def _of_host(host: str) -> Attributes:
    name, colon, port = host.rpartition(":")
    # A number beyond 16 bits is none that OTLP could carry.
    if not colon or _PORT.fullmatch(port) is None:
        return {"server.address": host} if host else {}
    return {"server.address": name, "server.port": int(port)}


def _of_address(record: Record) -> Attributes:
    told: Attributes = {}
    address = record.address
    parts = urlsplit(address if "://" in address or address.startswith("unix:") else f"//{address}")
    if parts.scheme == "unix":
        told["server.address"] = parts.path
    elif parts.hostname:
        told["server.address"] = parts.hostname
        default = {"http": 80, "https": 443}.get(parts.scheme)
        if (port := parts.port or default) is not None:
            told["server.port"] = port
    if isinstance(record.peer, tuple):
        told |= {"network.peer.address": str(record.peer[0]), "network.peer.port": record.peer[1]}
    return told


def _of_caller(decision: Decision) -> Attributes:
    caller = caller_in(decision)
    if caller is None:
        return {}
    return {"sidecar.subject": caller.key.subject, "sidecar.client_id": caller.client_id}


def _route(decision: Decision | None) -> str:
    return "" if decision is None or decision.route is None else decision.route.name


def _method(method: str) -> str:
    return method if method in _METHODS else _OTHER


def _rpc_method(ended: Ended) -> str:
    """Return the method where the call was let pass; else anybody could make up names."""
    granted = isinstance(ended.record.decision, Grant)
    return _path(ended).removeprefix("/") if granted else _OTHER


def _path(ended: Ended) -> str:
    return harmless(ended.request.path[:_LONGEST_PATH])


def _is_cut(record: Record) -> bool:
    return any(event.name == "cut" for event in record.events)
