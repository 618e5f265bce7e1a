"""SIGHUP: new settings and certificates, and not one request lost for it."""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.app.test_tls import Certificates
from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer
from tests.e2e.test_workers import metric
from tests.e2e.traffic import Traffic, steady
from tests.fakes.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

RELOADS = 10
IN_FORCE = "the new settings are in force"
REFUSED = "the reload is refused"
# PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what systemd 254 sets for it; it outlives exec.
WITHOUT_NEW_CODE = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
each_number_of_workers = pytest.mark.parametrize("workers", [1, 2])


def listen(drain_seconds: float = 1, shutdown_seconds: float = 30, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": 0,
        "drain_seconds": drain_seconds,
        "shutdown_seconds": shutdown_seconds,
        **more,
    }


def said(sidecar: Sidecar, text: str) -> int:
    return sum(text in line for line in sidecar.output)


async def reload(sidecar: Sidecar, directory: Path, settings: dict[str, Any] | str) -> None:
    """Change the settings' file, send SIGHUP, and wait until the sidecar has done with it."""
    text = settings if isinstance(settings, str) else yaml.safe_dump(settings)
    (directory / "sidecar.yaml").write_text(text)
    before = said(sidecar, IN_FORCE) + said(sidecar, REFUSED)
    sidecar.process.send_signal(signal.SIGHUP)
    await until(lambda: said(sidecar, IN_FORCE) + said(sidecar, REFUSED) > before, 30)


async def status_anew(sidecar: Sidecar, token: str) -> int:
    """Return the status on a new connection: on an old one the old settings may answer once."""
    traffic = Traffic(sidecar.url, token)
    await traffic.ask_on_new_connections(1)
    return next(iter(traffic.statuses))


def without(path: str) -> dict[str, Any]:
    """Return a route, before the preset's, that refuses everybody without a scope none has."""
    return {"name": "closed", "path": path, "scopes": ["nobody-has-it"]}


@each_number_of_workers
async def test_reloads_under_load_lose_no_request(site: Site, workers: int) -> None:
    await site.enable()
    settings = site.settings(workers=workers, listen=listen())
    async with running_sidecar(settings, site.directory) as sidecar:
        traffic = Traffic(sidecar.url, site.token())
        async with steady(traffic, new_per_second=150, kept=15):
            for _ in range(RELOADS):
                await reload(sidecar, site.directory, settings)
            await asyncio.sleep(1.5)  # drained

        assert said(sidecar, IN_FORCE) == RELOADS
        assert traffic.failures == []
        assert traffic.refused == 0
        assert set(traffic.statuses) == {200}
        assert traffic.statuses[200] > 500


@each_number_of_workers
async def test_new_routes_are_in_force_and_bad_ones_are_not(site: Site, workers: int) -> None:
    await site.enable()
    settings = site.settings(workers=workers, listen=listen(drain_seconds=0))
    token = site.token()
    successful = "sidecar_settings_last_reload_successful"
    async with running_sidecar(settings, site.directory) as sidecar:
        assert await status_anew(sidecar, token) == 200
        assert await metric(site, sidecar, successful) == 1

        closed = {**settings, "routes": [without("/api/userinfo")]}
        await reload(sidecar, site.directory, closed)
        assert await status_anew(sidecar, token) == 403

        await reload(sidecar, site.directory, {**settings, "routes": 7, "worker": 1})
        assert said(sidecar, "routes (line")
        assert said(sidecar, "did you mean workers?")
        assert await metric(site, sidecar, successful) == 0
        assert await status_anew(sidecar, token) == 403
        await sidecar.ready()

        await reload(sidecar, site.directory, settings)
        assert await metric(site, sidecar, successful) == 1
        assert await status_anew(sidecar, token) == 200


async def test_what_only_a_restart_can_change_is_refused(site: Site) -> None:
    settings = site.settings(listen=listen())
    async with running_sidecar(settings, site.directory) as sidecar:
        changed = {**settings, "admin": {"host": "127.0.0.1", "port": 1}, "workers": 2}
        await reload(sidecar, site.directory, changed)

        assert said(sidecar, "admin.port: cannot change in a reload")
        assert said(sidecar, "workers: cannot change in a reload")


async def test_systemd_hears_of_the_start_of_each_reload_and_of_the_end(site: Site) -> None:
    """And the unit's MemoryDenyWriteExecute is in nobody's way, where the kernel has it (6.3)."""
    grpc = {"host": "127.0.0.1", "port": 0, "upstream": {"url": "grpc://127.0.0.1:1"}}
    settings = site.settings(listen=listen(drain_seconds=0), grpc=grpc)
    address = str(site.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        environ = {"NOTIFY_SOCKET": address}
        locked = (sys.executable, "-c", WITHOUT_NEW_CODE)
        async with running_sidecar(settings, site.directory, environ, prefix=locked) as sidecar:
            await reload(sidecar, site.directory, settings)
            await reload(sidecar, site.directory, {**settings, "routes": 7})
        systemd.settimeout(0)
        heard = [systemd.recv(1024).decode().split("\n")[0] for _ in range(6)]

        once = ["RELOADING=1", "READY=1"]
        assert heard == ["READY=1", *once, *once, "STOPPING=1"]
        with pytest.raises(BlockingIOError):
            systemd.recv(1024)


async def test_a_new_certificate_is_served_and_open_streams_end_at_the_deadline(
    site: Site, tmp_path: Path
) -> None:
    """By one process; ``test_restarts`` has it for workers."""
    await site.enable()
    old, new = Certificates(tmp_path, "served"), Certificates(tmp_path, "new")
    tls = {"certificate": str(old.certificate), "key": str(old.key)}
    settings = site.settings(listen=listen(drain_seconds=0, shutdown_seconds=3, tls=tls))
    believes_old = ssl.create_default_context(cafile=old.ca)
    believes_new = ssl.create_default_context(cafile=new.ca)
    async with running_sidecar(settings, site.directory) as sidecar:
        before = Traffic(sidecar.url, site.token(), tls=believes_old)
        async with site.http.get(
            sidecar.url + "/api/sessions/1/stream",
            headers=bearer(site.token()),
            ssl=believes_old,
            server_hostname="localhost",
        ) as stream:
            assert stream.status == 200
            old.certificate.write_bytes(new.certificate.read_bytes())
            old.key.write_bytes(new.key.read_bytes())
            await reload(sidecar, site.directory, settings)

            after = Traffic(sidecar.url, site.token(), tls=believes_new)
            await after.ask_on_new_connections(5)
            assert after.statuses == {200: 5}
            with pytest.raises(ssl.SSLCertVerificationError):
                await before.connect()
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(aiohttp.ClientError):  # it is cut, not ended
                while await stream.content.readany():
                    pass
            assert 2 < asyncio.get_running_loop().time() - began < 6
