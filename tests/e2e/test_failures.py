"""What is around the sidecar is away: it starts, says 503, and gets well by itself."""

import asyncio
import json
import shutil
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from sidecar.adapters.clock import SystemClock
from sidecar.demo.redis_server import RedisServer
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e


async def readiness(site: Site, sidecar: Sidecar) -> tuple[int, dict[str, Any]]:
    async with site.http.get(sidecar.admin_url + "/readyz") as response:
        return response.status, (await response.json())["checks"]


async def becomes(site: Site, sidecar: Sidecar, token: str, wanted: int) -> set[int]:
    """Ask until the status is ``wanted``; return the others that were seen on the way."""
    seen = set()
    async with asyncio.timeout(20):
        while (found := await status(site, sidecar, token)) != wanted:
            seen.add(found)
    return seen


async def test_without_redis_it_starts_and_is_ready_once_redis_is_there(site: Site) -> None:
    """R1."""
    await site.redis.kill()
    async with running_sidecar(site.settings(), site.directory, until_ready=False) as sidecar:
        await until(lambda: any("account store is not available" in x for x in sidecar.output))
        assert await status(site, sidecar, site.token()) == 503
        assert (await readiness(site, sidecar))[0] == 503
        async with site.http.get(sidecar.admin_url + "/livez") as response:
            assert response.status == 200

        await site.redis.restart()
        await site.enable()

        assert await becomes(site, sidecar, site.token(), 200) <= {503, 401}


async def test_without_its_provider_it_starts_and_is_ready_once_the_provider_is_there(
    site: Site,
) -> None:
    """K10."""
    await site.enable()
    token = site.token()
    await site.identity_provider.__aexit__(None, None, None)
    async with running_sidecar(site.settings(), site.directory, until_ready=False) as sidecar:
        await until(lambda: any("could not be fetched" in line for line in sidecar.output))
        async with site.http.get(sidecar.url + "/api/userinfo", headers=bearer(token)) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
        code, checks = await readiness(site, sidecar)
        assert code == 503
        assert not checks["keys"]

        await site.identity_provider.__aenter__()

        assert await becomes(site, sidecar, token, 200) == {503}


async def test_a_redis_that_dies_lets_nobody_stay_in_and_is_found_again(site: Site) -> None:
    await site.enable()
    token = site.token()
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        assert await status(site, sidecar, token) == 200

        await site.redis.kill()
        assert await becomes(site, sidecar, token, 503) <= {200}
        await site.redis.restart()

        # It came back without its data, so nobody is known: refused, not let in.
        assert await becomes(site, sidecar, token, 401) == {503}
        await site.enable()
        await becomes(site, sidecar, token, 200)


async def test_upstream_down_is_a_bad_gateway_and_back_is_back(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        await site.gateway.__aexit__(None, None, None)
        async with site.http.get(
            sidecar.url + "/api/userinfo", headers=bearer(site.token())
        ) as response:
            assert response.status == 502
            assert (await response.json())["error"] == "bad_gateway"
        await site.gateway.__aenter__()
        await becomes(site, sidecar, site.token(), 200)


async def test_an_upstream_that_resets_within_a_body_never_looks_complete(site: Site) -> None:
    await site.enable()

    async def talk(conversation: Conversation) -> None:
        await conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        conversation.abort()

    async with scripted_upstream(talk) as upstream:
        settings = site.settings(upstream={"url": upstream.url})
        async with running_sidecar(settings, site.directory) as sidecar:
            with pytest.raises(aiohttp.ClientError):
                async with site.http.get(
                    sidecar.url + "/api/sessions/7/result/stream", headers=bearer(site.token())
                ) as response:
                    await response.read()


async def test_a_large_upload_and_download_are_carried_in_little_memory(site: Site) -> None:
    await site.enable()
    size = 256 * 1024 * 1024

    async def talk(conversation: Conversation) -> None:
        left = size
        while left:
            left -= len(await conversation.reader.read(min(left, 1 << 20)))
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            await conversation.say(bytes(1 << 20))

    async def body() -> Any:
        for _ in range(size >> 20):
            yield bytes(1 << 20)

    async with scripted_upstream(talk) as upstream:
        settings = site.settings(upstream={"url": upstream.url})
        async with running_sidecar(settings, site.directory) as sidecar:
            before = _resident(sidecar)
            got = 0
            async with site.http.post(
                sidecar.url + "/api/upload",
                headers=bearer(site.token(), **{"Content-Length": str(size)}),
                data=body(),
            ) as response:
                async for piece in response.content.iter_any():
                    got += len(piece)
            grown = _resident(sidecar) - before

    assert got == size
    assert grown < 40 * 1024 * 1024


def _resident(sidecar: Sidecar) -> int:
    statm = Path(f"/proc/{sidecar.process.pid}/statm").read_text("ascii")
    return int(statm.split()[1]) * 4096


async def test_requests_in_flight_end_before_the_process_does(site: Site) -> None:
    await site.enable()
    asked, go = asyncio.Event(), asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        asked.set()
        await go.wait()
        await conversation.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")

    async with scripted_upstream(talk) as upstream:
        settings = site.settings(upstream={"url": upstream.url})
        async with (
            running_sidecar(settings, site.directory) as sidecar,
            asyncio.TaskGroup() as tasks,
        ):

            async def ask() -> str:
                async with site.http.get(
                    sidecar.url + "/api/slow", headers=bearer(site.token())
                ) as response:
                    return await response.text()

            answer = tasks.create_task(ask())
            await asyncio.wait_for(asked.wait(), 10)
            ending = tasks.create_task(sidecar.terminate())
            await until(lambda: any("ending" in line for line in sidecar.output))
            with pytest.raises(aiohttp.ClientConnectionError):
                async with aiohttp.ClientSession() as http, http.get(sidecar.url + "/api/healthz"):
                    pass
            go.set()
            assert await asyncio.wait_for(answer, 10) == "done"
            assert await ending == 0


async def test_tls_on_every_side(site: Site) -> None:
    """Clients, upstream and the identity provider behind TLS, each with its own authority."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    ca, certificate, key = (site.directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(server)
    await site.enable()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        https.append(b"X-Forwarded-Proto: https" in head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    async def keys(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        async with site.http.get(site.identity_provider.jwks_url) as response:
            document = await response.read()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(document) + document)
        writer.close()

    https: list[bool] = []
    gateway = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server)
    provider = await asyncio.start_server(keys, "127.0.0.1", 0, ssl=server)
    gateway_port, provider_port = (each.sockets[0].getsockname()[1] for each in (gateway, provider))
    issuer = f"https://localhost:{provider_port}"
    settings = site.settings(
        listen={
            "host": "127.0.0.1", "port": 0, "drain_seconds": 0,
            "tls": {"certificate": str(certificate), "key": str(key)},
        },
        upstream={"url": f"https://localhost:{gateway_port}", "tls": {"ca": str(ca)}},
        issuers=[
            {
                "issuer": issuer,
                "audiences": [AUDIENCE],
                "jwks_url": f"{issuer}/jwks",
                "ca": str(ca),
            }
        ],
    )  # fmt: skip
    trusting = ssl.create_default_context(cafile=str(ca))
    async with gateway, provider, running_sidecar(settings, site.directory) as sidecar:
        assert sidecar.url.startswith("https://")
        async with site.http.get(
            sidecar.url + "/api/userinfo", headers=bearer(site.token(iss=issuer)), ssl=trusting
        ) as response:
            assert (response.status, await response.text()) == (200, "ok")

    assert https == [True]


# The least that a sidecar's user needs: it reads, and listens (docs/redis.md says the same).
READER = (
    "sidecar", "on", ">hunter2", "%R~sidecar:*", "-@all", "+hello", "+auth", "+ping", "+select",
    "+client|tracking", "+hgetall", "+exists", "+mget", "+role",
)  # fmt: skip


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server with TLS here")
async def test_redis_behind_tls_with_a_user_and_a_password(site: Site) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (site.directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(key)
    program = shutil.which("redis-server")
    assert program is not None
    port = _free_port()
    arguments = (
        "--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(ca), "--tls-auth-clients", "no",
    )  # fmt: skip
    async with RedisServer(arguments=arguments, find=lambda: Path(program)) as redis:
        await redis.command("HSET", f"sidecar:account:default:{SUBJECT}", "status", "active")
        await redis.command("ACL", "SETUSER", *READER)
        password = site.directory / "password"
        password.write_text("hunter2\n")
        settings = site.settings(
            accounts={
                "url": f"rediss://127.0.0.1:{port}/0",
                "username": "sidecar",
                "password_file": str(password),
                "tls": {"ca": str(ca)},
            }
        )
        async with running_sidecar(settings, site.directory) as sidecar:
            assert await status(site, sidecar, site.token()) == 200
            await redis.command("HSET", f"sidecar:account:default:{SUBJECT}", "status", "inactive")
            await becomes(site, sidecar, site.token(), 401)


def _free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_strict_consistency_asks_redis_for_every_decision(site: Site) -> None:
    await site.enable()
    settings = site.settings(accounts={"url": site.redis.url, "consistency": "strict"})
    async with running_sidecar(settings, site.directory) as sidecar:
        assert await status(site, sidecar, site.token()) == 200
        await site.redis.command("CONFIG", "RESETSTAT")
        for _ in range(5):
            assert await status(site, sidecar, site.token()) == 200
        stats: Any = await site.redis.command("INFO", "commandstats")
        assert stats["cmdstat_hgetall"]["calls"] >= 5

        await site.disable()
        assert await status(site, sidecar, site.token()) == 401


async def test_a_decision_is_logged_in_a_line_of_json(site: Site) -> None:
    await site.enable()
    began = SystemClock().now()
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        await status(site, sidecar, site.token())
        await until(lambda: sidecar.decisions)

    line = sidecar.decisions[0]
    assert json.dumps(line).isascii()
    assert (line["outcome"], line["subject"], line["route"]) == ("granted", SUBJECT, "hoop-api")
    assert line["ts"][:4] == str(1970 + int(began // 31556952))
