"""Reading the access request out of a call."""

from collections.abc import Iterable, Mapping

from sidecar.core.client_certificate import CertificateForm, read_thumbprint
from sidecar.core.decision import Denied, Deny, DenyReason
from sidecar.core.request import AccessRequest, read_target
from sidecar.fronts.asking import make_request_id
from sidecar.fronts.grpc_proxy.agents import is_agents
from sidecar.fronts.grpc_proxy.metadata import CallHead, malformed

_LONGEST_LOGGED = 256
# gRPC over HTTP/2: ":method POST", whatever the call.
_METHOD = "POST"
_CERTIFICATE = "x509_pem_cert"  # gRPC core's GRPC_X509_PEM_CERT_PROPERTY_NAME


def read_access_request(
    method: str, head: CallHead, client: str
) -> tuple[AccessRequest, Deny | None]:
    """Return what is asked, and why it is refused whatever it asks (or None).

    ``method`` is the ``:path``, ``/package.Service/Method``. The ``:authority`` is not told to
    handlers, so the log has no host.
    """
    problem, path = None, method
    try:
        _check(method, head)
    except Denied as denied:
        problem = Deny(denied.reason, denied.detail)
        path = method.partition("?")[0][:_LONGEST_LOGGED]
    authorization = tuple(head.authorization)
    asked = AccessRequest(
        _METHOD, "", path, "", authorization, client, make_request_id(),
        own_credential=is_agents(method, head.values("origin"), authorization),
    )  # fmt: skip
    return asked, problem


def read_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
    """Return the thumbprint of the certificate that the client has shown to the library."""
    shown = tuple(auth_context.get(_CERTIFICATE, ()))
    if len(shown) != 1:
        return None
    pem = shown[0].decode("latin-1")
    return read_thumbprint(CertificateForm.NGINX_ESCAPED_PEM, (pem,))


def _check(method: str, head: CallHead) -> None:
    if head.problem:
        raise malformed(head.problem)
    if len(head.authorization) > 1:
        raise Denied(DenyReason.MALFORMED_CREDENTIALS, "several authorization values")
    if "?" in method:
        raise malformed("a method with a query")
    read_target(method, _METHOD)
