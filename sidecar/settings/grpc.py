"""The settings of the gRPC proxy, for upstream's gRPC port."""

import re
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from sidecar.settings.fields import (
    ClientTls,
    Port,
    Seconds,
    Section,
    ServerTls,
    split_url,
)

_METADATA_NAME = re.compile(r"(?!grpc-)[0-9a-z_.-]+")


def is_metadata_name(header: str) -> bool:
    """Say whether a header of this name can be sent in gRPC, which has fewer letters for names."""
    return _METADATA_NAME.fullmatch(header.lower()) is not None


class GrpcUpstreamTls(ClientTls):
    """TLS to the gRPC upstream."""

    server_name: str | None = None
    """Name that upstream's certificate has to bear, where it is not the URL's host."""


class GrpcUpstream(Section):
    """Where the calls go."""

    url: str
    """Where it is: grpc://127.0.0.1:8010, or grpcs:// with TLS."""
    connect_timeout: Seconds = 5.0
    """Seconds to get a connection."""
    keepalive: Annotated[Seconds, Field(ge=10)] = 310.0
    """Seconds between two probes of the connection. What upstream finds too many it answers by
    ending it (too_many_pings): grpc-go, and with it the Hoop gateway, more than one in 300."""
    tls: GrpcUpstreamTls | None = None
    """How a grpcs upstream is verified; without it by the system's authorities."""

    @field_validator("url")
    @classmethod
    def _is_target(cls, text: str) -> str:
        url = split_url(text, ("grpc", "grpcs"))
        if not url.hostname or url.port is None or "@" in url.netloc:
            raise ValueError("expected scheme, host and port, such as grpc://127.0.0.1:8010")
        if url.path.strip("/") or url.query or url.fragment:
            raise ValueError("expected scheme, host and port alone, such as grpc://127.0.0.1:8010")
        return text.rstrip("/")

    @field_validator("tls")
    @classmethod
    def _is_spoken(
        cls, tls: GrpcUpstreamTls | None, info: ValidationInfo
    ) -> GrpcUpstreamTls | None:
        if tls is not None and not str(info.data.get("url", "grpcs:")).startswith("grpcs:"):
            raise ValueError("has no effect on grpc://; use grpcs:// in the url, or leave it out")
        return tls

    @property
    def target(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("grpcs:")


class Grpc(Section):
    """Where gRPC clients come in: any service and method, each call judged by the route table.

    A call is a POST of ``/package.Service/Method`` there. ``listen.trusted_proxies`` are trusted
    here too. Needs the packages of lock/grpc.txt.
    """

    upstream: GrpcUpstream
    host: str = "0.0.0.0"  # noqa: S104 - it is there to be reached
    """Address to listen on."""
    port: Port = 8082
    """Port to listen on; 0 lets the system choose."""
    tls: ServerTls | None = None
    """TLS for clients; without it the listener speaks HTTP/2 in the clear (h2c)."""
    max_message_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 18 * 1024 * 1024
    """Bytes that a message may have, either way. The Hoop gateway takes 17 MiB."""
    max_calls: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Calls that may be open at one time, per worker; more get RESOURCE_EXHAUSTED."""
    keepalive: Annotated[Seconds, Field(ge=1)] = 30.0
    """Seconds between two probes of a silent client's connection."""
