"""Envoy in front: the real one, with the file that a user copies, asks the real sidecar."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_tls import Certificates
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.envoy import Envoy, port_of, running_envoy
from tests.e2e.processes import Sidecar, running_sidecar
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
FILE = "envoy/ext-authz-grpc.yaml"
NOT_RAW = {"encode_raw_headers: true": "encode_raw_headers: false"}
ALIASES_PASS = {"headers_with_underscores_action: REJECT_REQUEST": ""}
NORMALISED = {
    "normalize_path: false": "normalize_path: true",
    "path_with_escaped_slashes_action: KEEP_UNCHANGED": "",
}
TO_STDERR = {"StdoutAccessLog": "StderrAccessLog"}
DEMO_WS = {"name": "demo", "path": "/api/demo/ws", "websocket": True}


@dataclass
class Scene:
    """Envoy, the sidecar that it asks, and the gateway behind Envoy."""

    site: Site
    sidecar: Sidecar
    envoy: Envoy

    def bearer(self) -> bytes:
        return b"Authorization: Bearer " + self.site.token().encode()

    async def ask(self, target: bytes = b"/api/userinfo", *fields: bytes, **more: Any) -> int:
        """Ask with a good token; return the status."""
        status, _ = await self.envoy.ask(target, self.bearer(), *fields, **more)
        return status

    async def serves(self) -> None:
        """Wait until Envoy's health check has found the sidecar."""

        async def is_granted() -> bool:
            return await self.ask(b"/api/healthz") == 200

        await until_async(is_granted, 30)
        self.site.gateway.requests.clear()


@asynccontextmanager
async def envoy_before(
    site: Site, changed: Mapping[str, str] | None = None, **settings: Any
) -> AsyncIterator[Scene]:
    wanted = {**site.settings(ext_authz={"port": 0}), **settings}
    async with running_sidecar(wanted, site.directory) as sidecar:
        ports = {9191: port_of(sidecar.urls["ext_authz"]), 8009: port_of(site.gateway.url)}
        async with running_envoy(FILE, site.directory, ports, changed) as envoy:
            scene = Scene(site, sidecar, envoy)
            await scene.serves()
            yield scene


@pytest.mark.parametrize("changed", [{}, NOT_RAW], ids=["raw headers", "joined headers"])
async def test_upstream_hears_who_is_calling_from_us_alone(
    site: Site, changed: dict[str, str]
) -> None:
    await site.enable()
    spoofed = (
        b"X-Auth-Subject: root", b"X-Auth-Subject: admin", b"x_auth_groups: admin",
        b"X.Auth.Name: Root", b"Api-Key: xapi-stolen", b"X-Forwarded-Host: evil.example",
        b"X-Original-URL: /admin", b"Connection: X-Auth-Subject",
    )  # fmt: skip
    async with envoy_before(site, {**changed, **ALIASES_PASS}) as scene:
        assert await scene.ask(b"/api/userinfo", *spoofed) == 200

    folded: dict[str, list[str]] = {}
    for name, value in site.gateway.requests[-1].headers:
        folded.setdefault(name.lower().replace("_", "-").replace(".", "-"), []).append(value)
    assert folded["x-auth-subject"] == [SUBJECT]
    assert folded["x-auth-groups"] == ["devops,ops"]
    assert folded["x-auth-name"] == ["Api User"]
    assert folded["api-key"] == [""]
    assert folded["authorization"][0].startswith("Bearer ey")
    assert "x-forwarded-host" not in folded
    assert "x-original-url" not in folded


async def test_a_refusal_is_the_one_that_the_reverse_proxy_gives(site: Site) -> None:
    async with envoy_before(site) as scene:
        status, answer = await scene.envoy.ask(b"/api/userinfo")
        _, known = await scene.envoy.ask(b"/api/userinfo", scene.bearer())
        async with site.http.get(scene.sidecar.url + "/api/userinfo") as direct:
            expected = await direct.json()
            challenge = direct.headers["WWW-Authenticate"]

    head, _, body = answer.partition(b"\r\n\r\n")
    assert status == 401
    assert f"www-authenticate: {challenge}".encode() in head
    assert b"cache-control: no-store" in head
    assert b"content-type: application/json" in head
    assert {**json.loads(body), "request_id": ""} == {**expected, "request_id": ""}
    assert b'error="invalid_token"' in known
    assert site.gateway.requests == []


async def test_a_sidecar_that_only_answers_envoy_needs_no_upstream(site: Site) -> None:
    await site.enable()
    async with envoy_before(site, upstream=None) as scene:
        assert list(scene.sidecar.urls) == ["ext_authz", "admin"]
        assert await scene.ask() == 200


async def test_a_disabled_account_is_refused_at_the_next_request(site: Site) -> None:
    await site.enable()
    async with envoy_before(site) as scene:
        assert await scene.ask() == 200
        await site.disable()

        async def is_refused() -> bool:
            return await scene.ask() == 401

        await until_async(is_refused, 5)
        await until(
            lambda: (
                [each["reason"] for each in scene.sidecar.decisions][-1:] == ["subject_inactive"]
            )
        )


async def test_without_an_answer_of_the_sidecar_nothing_passes(site: Site) -> None:
    await site.enable()
    async with envoy_before(site) as scene:
        assert await scene.ask() == 200
        scene.sidecar.process.kill()
        await scene.sidecar.process.wait()
        site.gateway.requests.clear()

        for _ in range(5):
            assert await scene.ask() == 503
            assert await scene.ask(b"/api/healthz") == 503
    assert site.gateway.requests == []


async def test_a_sidecar_that_cannot_decide_is_not_healthy_and_nothing_passes(site: Site) -> None:
    await site.enable()
    async with envoy_before(site) as scene:
        await site.redis.stop()

        async def is_left_out() -> bool:
            # Without a bearer the sidecar itself would let this pass: Envoy does not ask it.
            return await scene.ask(b"/api/healthz") == 503

        await until_async(is_left_out, 20)
        assert await scene.ask() == 503


async def test_envoy_shows_its_certificate_where_it_has_to(site: Site, tmp_path: Path) -> None:
    """The one authority issues both; whose it is not is nobody to the other."""
    await site.enable()
    certificates = Certificates(tmp_path, "ours")
    files = {"certificate": certificates.certificate, "key": certificates.key}
    names = {name: str(file) for name, file in files.items()}
    tls = {**names, "client_ca": str(certificates.ca)}
    sidecar = "    - name: sidecar\n      type: STATIC\n"
    shown = {
        "name": "tls",
        "typed_config": {
            "@type": f"{TLS}.UpstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],  # gRPC's server wants to be asked for it
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": names["certificate"]},
                        "private_key": {"filename": names["key"]},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": str(certificates.ca)}},
            },
        },
    }
    secured = {sidecar: f"{sidecar}      transport_socket: {json.dumps(shown)}\n"}
    async with envoy_before(site, secured, ext_authz={"port": 0, "tls": tls}) as scene:
        assert scene.sidecar.urls["ext_authz"].startswith("grpcs://")
        assert await scene.ask() == 200


TRICKS = (
    b"/api/healthz/../userinfo", b"/api/healthz/%2e%2e/userinfo", b"/api/healthz/..;/userinfo",
    b"/api/userinfo/..", b"/api/./userinfo", b"//api/userinfo", b"/api//userinfo",
    b"/api/userinfo;x=1", b"/api%2fuserinfo", b"/api/healthz%2f..%2fuserinfo",
    b"/api/healthz%5c..%5cuserinfo",
    b"/api/healthz\\..\\userinfo", b"/%61pi/userinfo", b"/api%252fuserinfo", b"/api/userinfo%00",
    b"/api/userinfo%23", b"/api/userinfo#x", b"/api/userinfo?access_token=x",
    b"/static/\xff", b"/static/\xc0\xaf../api/userinfo", b"/static/!", b"/api/userinfo%",
    b"http://evil.example/api/userinfo", b"*",
)  # fmt: skip


@pytest.mark.parametrize("changed", [{}, NORMALISED], ids=["as it came", "normalised"])
async def test_a_path_is_judged_as_upstream_gets_it_or_refused(
    site: Site, changed: dict[str, str]
) -> None:
    """No token: what upstream hears is open by the path under which it heard of it."""
    open_paths = {"/api/healthz", "/"}
    async with envoy_before(site, changed) as scene:
        for target in TRICKS:
            site.gateway.requests.clear()
            status, _ = await scene.envoy.ask(target)
            heard = [request.raw_path for request in site.gateway.requests]
            if heard:
                path = heard[0].partition("?")[0]
                assert path in open_paths or path.startswith(("/static/", "/userinfo"))
                await until(partial(_was_granted, scene.sidecar, path))
            else:
                assert status in (400, 401, 404), target


async def test_a_tunnel_opens_on_a_route_for_it_only(site: Site) -> None:
    await site.enable()
    upgrade = (b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: x")
    async with envoy_before(site, routes=[DEMO_WS]) as scene:
        headers = {"Authorization": scene.bearer().decode().removeprefix("Authorization: ")}
        async with site.http.ws_connect(
            scene.envoy.url + "/api/demo/ws", headers=headers
        ) as websocket:
            await websocket.send_str("hello")
            async with asyncio.timeout(10):
                while (await websocket.receive()).data != "hello":
                    pass
        site.gateway.requests.clear()

        assert await scene.ask(b"/api/userinfo", *upgrade, b"Connection: Upgrade") == 403
    assert site.gateway.requests == []


async def test_envoys_log_knows_who_called(site: Site) -> None:
    await site.enable()
    log = site.directory / "envoy.log"
    async with envoy_before(site, TO_STDERR) as scene:
        assert await scene.ask() == 200

        await until(lambda: f'"subject":"{SUBJECT}"' in log.read_text(), 20)


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_request_is_lost_when_the_settings_are_read_anew(site: Site, workers: int) -> None:
    await site.enable()
    async with envoy_before(site, workers=workers) as scene:
        statuses: Counter[int] = Counter()
        is_over = False

        async def traffic() -> None:
            while not is_over:
                statuses[await scene.ask()] += 1

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic())
            for _ in range(2):
                said = len(scene.sidecar.output)
                scene.sidecar.process.send_signal(signal.SIGHUP)
                await until(partial(_in_force, scene.sidecar, said), 30)
            before = statuses.total()
            await until(lambda: statuses.total() > before + 20, 30)
            is_over = True
    assert set(statuses) == {200}, statuses


def _was_granted(sidecar: Sidecar, path: str) -> bool:
    last = sidecar.decisions[-1] if sidecar.decisions else {}
    return last.get("path") == path and last.get("outcome") == "granted"


def _in_force(sidecar: Sidecar, after: int) -> bool:
    return any("the new settings are in force" in line for line in sidecar.output[after:])
