"""The image's health check, as the container runtime runs it."""

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path

from sidecar.admin.listener import AdminListener
from sidecar.app.tls import server_context
from tests.app.test_tls import Certificates

SCRIPT = Path(__file__).parent.parent.parent / "deploy" / "healthcheck.py"


def run(**environ: str) -> int:
    env = {**os.environ, **environ}
    return subprocess.run([sys.executable, str(SCRIPT)], env=env, check=False).returncode


def listener(tls: ssl.SSLContext | None = None) -> AdminListener:
    return AdminListener(
        "127.0.0.1",
        0,
        probes=lambda: {"keys": False},
        render=lambda _: (b"", ""),
        workers=bytes,
        tls=tls,
    )


async def test_a_sidecar_that_lives_is_healthy_though_it_is_not_ready() -> None:
    async with listener() as admin:
        port = admin.url.rpartition(":")[2]
        for host in ("", "127.0.0.1", "0.0.0.0"):  # noqa: S104
            environ = {"SIDECAR_ADMIN__PORT": port, "SIDECAR_ADMIN__HOST": host}
            assert await asyncio.to_thread(run, **environ) == 0


async def test_a_listener_with_tls_is_asked_by_tls(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    async with listener(server_context(ours.certificate, ours.key, None)) as admin:
        port = admin.url.rpartition(":")[2]
        assert await asyncio.to_thread(run, SIDECAR_ADMIN__PORT=port) == 0


def test_where_nobody_listens_it_is_not() -> None:
    assert run(SIDECAR_ADMIN__PORT="9", SIDECAR_ADMIN__HOST="127.0.0.1") == 1


def test_the_image_tells_the_port_to_both() -> None:
    image = (SCRIPT.parent.parent / "Dockerfile").read_text()

    assert "SIDECAR_ADMIN__PORT=9090" in image
