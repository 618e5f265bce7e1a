"""HAProxy with jwt_verify, one thread. It remembers no token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import AUDIENCE, Peer, Scene, running_peer
from tests.bench.processes import find_program

NAME = "HAProxy"
_CONFIGURATION = """\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend front
    bind 127.0.0.1:{port}
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    http-request deny deny_status 401 unless {{ var(txn.token) -m found }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str {algorithm} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {audience} }}
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify("{algorithm}","{key}") -m int 1 }}
    default_backend behind
backend behind
    server upstream {host}:{upstream_port}
"""  # noqa: E501 - its configuration knows no continued lines


def program() -> str:
    return find_program("haproxy", "Debian: haproxy")


@asynccontextmanager
async def running_haproxy(scene: Scene) -> AsyncIterator[Peer]:
    port = free_port()
    host, upstream_port = scene.upstream_address
    file = scene.directory / f"haproxy-{port}.cfg"
    file.write_text(
        _CONFIGURATION.format(
            port=port,
            host=host,
            upstream_port=upstream_port,
            algorithm=scene.site.algorithm,
            issuer=scene.site.provider.issuer,
            audience=AUDIENCE,
            key=scene.key_file,
        )
    )
    async with running_peer(NAME, scene, [program(), "-db", "-f", str(file)], port) as peer:
        yield peer
