"""The gRPC proxy as the settings want it: its certificates, and whom it believes upstream."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.app.fronts import Shared
from sidecar.app.grpc_proxy import grpc_proxy_opening
from sidecar.streams import Streams
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.front import IDENTITY
from tests.fakes.grpc_front import ECHO, ROUTES, channel_to, grpc_upstream
from tests.fakes.world import World


async def ask(section: dict[str, Any], directory: Path, ca: bytes | None = None) -> bytes:
    """Open the front and make one call through it; return what comes back."""
    world = World(routes=ROUTES)
    streams = Streams(world.observer)
    shared = Shared(world.authorizer, IDENTITY, streams, world.clock, world.observer, dict)
    loaded = settings(directory, grpc={**section, "host": "127.0.0.1", "port": 0})
    assert loaded.grpc is not None
    believed = None if ca is None else grpc.ssl_channel_credentials(ca)
    async with AsyncExitStack() as stack:
        opening = await grpc_proxy_opening(loaded, loaded.grpc, shared, {}, stack)
        front = await stack.enter_async_context(opening())
        channel = await stack.enter_async_context(channel_to(front.url, believed))
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
        bearer = ("authorization", f"Bearer {world.sign()}")
        return bytes(await call(b"x", metadata=(bearer,), timeout=20))


async def test_in_the_clear_on_both_sides(tmp_path: Path) -> None:
    async with grpc_upstream() as upstream:
        section = {"upstream": {"url": f"grpc://{upstream.target}"}}

        assert await ask(section, tmp_path) == b"x"


async def test_tls_on_both_sides_each_with_its_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    front, behind = Certificates(tmp_path, "front"), Certificates(tmp_path, "behind")
    credentials = grpc.ssl_server_credentials(
        [(behind.key.read_bytes(), behind.certificate.read_bytes())],
        root_certificates=behind.ca.read_bytes(),
        require_client_auth=True,
    )
    ca = front.ca.read_bytes()
    own = {"certificate": str(behind.certificate), "key": str(behind.key)}
    async with grpc_upstream(credentials=credentials) as upstream:
        section: dict[str, Any] = {
            "tls": {"certificate": str(front.certificate), "key": str(front.key)},
            "upstream": {
                "url": f"grpcs://{upstream.target}",
                "tls": {"ca": str(behind.ca), "server_name": "localhost", **own},
            },
        }
        assert await ask(section, tmp_path, ca) == b"x"

        monkeypatch.setenv("SSL_CERT_FILE", str(behind.ca))
        del section["upstream"]["tls"]["ca"]
        assert await ask(section, tmp_path, ca) == b"x", "by the system's authorities"


async def test_without_a_section_of_its_own_upstreams_tls_is_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = Certificates(tmp_path, "behind")
    credentials = grpc.ssl_server_credentials(
        [(behind.key.read_bytes(), behind.certificate.read_bytes())]
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(behind.ca))
    async with grpc_upstream(credentials=credentials) as upstream:
        port = upstream.target.rpartition(":")[2]
        section = {"upstream": {"url": f"grpcs://localhost:{port}"}}

        assert await ask(section, tmp_path) == b"x"
