"""The settings of the door for Envoy's external authorization over gRPC."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sidecar.settings.fields import Port, Section, ServerTls, is_loopback


class ExtAuthz(Section):
    """Where Envoy asks (ext_authz over gRPC). It needs the packages of lock/grpc.txt."""

    host: str = "127.0.0.1"
    """Address to listen on. Whoever reaches it may ask whether a token is good."""
    port: Port = 9191
    """Port to listen on; 0 lets the system choose."""
    insecure_anybody: bool = False
    """Allow callers beyond loopback without TLS and without a certificate of theirs."""
    tls: Annotated[ServerTls | None, Field(validate_default=True)] = None
    """TLS; with `client_ca` Envoy has to show a certificate, which beyond loopback it must."""
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Checks that may wait for keys or Redis at one time; more are refused with 503."""

    @field_validator("tls")
    @classmethod
    def _knows_its_callers(cls, tls: ServerTls | None, info: ValidationInfo) -> ServerTls | None:
        reachable = not is_loopback(info.data.get("host", "localhost"))
        anybody = tls is None or tls.client_ca is None
        if reachable and anybody and not info.data.get("insecure_anybody"):
            raise ValueError(
                "anybody who reaches it could ask; let ext_authz.host be 127.0.0.1, or set"
                " certificate, key and client_ca (or ext_authz.insecure_anybody: true)"
            )
        return tls
