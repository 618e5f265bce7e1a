"""A decision in Envoy's words (``CheckResponse``): the one place where that is derived.

Envoy reads ``status`` first and lets a request pass on 0 (OK) alone, whatever else the response
holds. So a refusal says it twice: in the status, and in the HTTP response for the client.
"""

from collections.abc import Iterable
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import (
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
)
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.protobuf.struct_pb2 import Struct

from sidecar.core.decision import Deny
from sidecar.core.principal import Principal
from sidecar.core.protection import Realm
from sidecar.fronts.refusal import refusal_of

# Its default would append our value to the client's: "root,api-user".
_REPLACE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_OK = 0


def granted(
    principal: Principal | None, to_set: Iterable[tuple[str, str]], to_remove: Iterable[str]
) -> bytes:
    """Return the serialized response that lets a request pass.

    ``to_set`` replaces what the client sent, ``to_remove`` is taken out after that. Envoy's own
    log and filters get the caller as dynamic metadata of ``envoy.filters.http.ext_authz``.
    """
    response = CheckResponse(
        ok_response=OkHttpResponse(headers=_replacing(to_set), headers_to_remove=to_remove)
    )
    response.status.code = _OK
    if principal is not None:
        response.dynamic_metadata.CopyFrom(_metadata(principal))
    return bytes(response.SerializeToString())


def denied(deny: Deny, *, realm: Realm, request_id: str) -> tuple[bytes, int]:
    """Return the serialized response that refuses a request, and the client's HTTP status."""
    refusal = refusal_of(deny, realm=realm, request_id=request_id)
    response = CheckResponse(
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=refusal.status),
            headers=_replacing((n.decode("ascii"), v.decode("ascii")) for n, v in refusal.fields),
            body=refusal.body.decode("ascii"),
        )
    )
    response.status.code = deny.reason.grpc_code
    response.status.message = deny.reason.error_code
    return bytes(response.SerializeToString()), refusal.status


def _replacing(fields: Iterable[tuple[str, str]]) -> list[Any]:
    return [
        HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=_REPLACE)
        for name, value in fields
    ]


def _metadata(principal: Principal) -> Struct:
    metadata = Struct()
    metadata["subject"] = principal.key.subject
    metadata["realm"] = principal.key.realm
    metadata["expires_at"] = principal.expires_at
    metadata.get_or_create_list("groups").extend(principal.groups)
    return metadata
