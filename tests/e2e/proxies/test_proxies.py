"""Real proxies with the files of ``deploy/``, a real sidecar, and a client that means no good."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from sidecar.demo.redis_server import free_port
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.proxies import corpus
from tests.e2e.proxies.programs import ENVOY, PROGRAMS, Program, running_proxy
from tests.e2e.test_reloading import IN_FORCE, reload, said
from tests.e2e.traffic import Traffic, steady
from tests.fakes.doors import fields_of
from tests.fakes.front import read_all, status_of
from tests.fakes.raw_grpc import raw_call
from tests.fakes.upstream import Conversation, ScriptedUpstream, answer_ok, scripted_upstream
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e

ASKING = [program for program in PROGRAMS if program.dialect is not None]
ROUTES = [
    *corpus.ROUTES,
    {"name": "read one", "path": "/reports/**", "methods": ["GET", "HEAD"]},
    {"name": "upload", "path": "/uploads/**", "methods": ["POST"]},
    {"name": "live", "path": "/live", "methods": ["GET"], "websocket": True},
]
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


@dataclass
class Scene:
    """A proxy that listens, the upstream behind it, and the token of an account."""

    program: Program
    port: int
    upstream: ScriptedUpstream
    sidecar: Sidecar
    site: Site
    token: str

    async def send(self, octets: bytes) -> bytes:
        """Send and return the one answer that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(octets)
        try:
            async with asyncio.timeout(15):
                return await whole(reader, is_head=octets.startswith(b"HEAD "))
        finally:
            writer.close()

    async def ask(
        self, target: str, *fields: str, method: str = "GET", body: str = "", bearer: bool = True
    ) -> tuple[int, bytes, list[Conversation]]:
        """Send one request; return status, answer, and what upstream heard meanwhile."""
        before = len(self.upstream.conversations)
        response = await self.send(
            self.request(target, *fields, method=method, body=body, bearer=bearer)
        )
        return status_of(response), response, self.upstream.conversations[before:]

    def request(
        self, target: str, *fields: str, method: str = "GET", body: str = "", bearer: bool = True
    ) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", *fields]
        if not any(each.lower().startswith("host:") for each in fields):
            lines.insert(1, "Host: sidecar.example")
        if not any(each.lower().startswith("connection:") for each in fields):
            lines.append("Connection: close")
        if bearer:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", body]).encode("latin-1")


async def talk(conversation: Conversation) -> None:
    """Answer as an upstream does that reads bodies, and switches when asked to."""
    if conversation.request_line.startswith("GET /live ") and conversation.values("upgrade"):
        await conversation.say(SWITCH + b"\x81\x02hi")
        await conversation.read_to_end()
        return
    if found := re.match(r"GET /reports/(\d{3}) ", conversation.request_line):
        text = f"HTTP/1.1 {found[1]} So\r\nContent-Length: 6\r\n\r\ntheirs"
        await conversation.say(text.encode("ascii"))
        return
    length = conversation.values("content-length")
    if length:
        await conversation.read(int(length[0]))
    elif conversation.values("transfer-encoding"):
        while not conversation.received.endswith(b"0\r\n\r\n"):
            await conversation.read(1)
    await answer_ok(conversation)


@asynccontextmanager
async def scene_of(program: Program, site: Site, **more: Any) -> AsyncIterator[Scene]:
    program.find()
    await site.enable()
    async with scripted_upstream(talk) as upstream:
        behind = upstream.url.removeprefix("http://")
        settings = {**_settings(program, site, upstream.url), **more}
        async with (
            running_sidecar(settings, site.directory) as sidecar,
            running_proxy(
                program, site.directory, sidecar=urlsplit(sidecar.url).netloc, upstream=behind
            ) as port,
        ):
            yield Scene(program, port, upstream, sidecar, site, site.token())


def _settings(program: Program, site: Site, upstream: str) -> dict[str, Any]:
    settings = site.settings(routes=ROUTES)
    del settings["preset"], settings["upstream"]
    settings["cleared_headers"] = ["Api-Key"]
    if program.dialect is None:
        settings["upstream"] = {"url": upstream}
        settings["listen"]["trusted_proxies"] = ["127.0.0.1/32"]
    else:
        settings["forward_auth"] = {"dialect": program.dialect, "port": 0}
    return settings


def told(heard: Sequence[Conversation]) -> dict[str, list[str]]:
    """Return what upstream heard in one request, names folded as CGI does."""
    assert len(heard) == 1
    found: dict[str, list[str]] = {}
    for name, value in heard[0].fields:
        found.setdefault(re.sub("[^a-z0-9]", "-", name.lower()), []).append(value)
    return found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_the_shipped_configuration_holds(program: Program, site: Site) -> None:
    async with scene_of(program, site) as scene:
        await it_lets_in_whom_the_sidecar_grants(scene)
        await it_refuses_in_words_that_clients_know(scene)
        await it_leaves_what_upstream_says_as_it_is(scene)
        await what_a_client_says_of_itself_gains_nothing(scene)
        await what_a_client_says_of_its_address_is_not_heard(scene)
        await what_a_client_says_it_asked_gains_nothing(scene)
        await no_spelling_of_a_path_opens_another(scene)
        await no_spelling_of_a_method_opens_another(scene)
        await the_corpus_goes_no_further_than_its_verdict(scene)
        await a_switch_needs_a_route_that_takes_one(scene)
        await an_account_is_refused_between_two_requests_of_a_connection(scene)


async def it_lets_in_whom_the_sidecar_grants(scene: Scene) -> None:
    status, response, heard = await scene.ask("/reports/a%41b?x=%2F..&y=%zz")
    assert (status, response[-2:]) == (200, b"ok")
    assert heard[0].request_line == "GET /reports/a%41b?x=%2F..&y=%zz HTTP/1.1"
    fields = told(heard)
    assert fields["x-auth-subject"] == [SUBJECT]
    assert fields["x-auth-groups"] == ["devops,ops"]
    assert fields["authorization"] == [f"Bearer {scene.token}"]

    status, _, heard = await scene.ask("/reports/x", method="HEAD")
    assert (status, heard[0].request_line) == (200, "HEAD /reports/x HTTP/1.1")

    body = "x" * 100_000
    status, _, heard = await scene.ask(
        "/uploads/x", f"Content-Length: {len(body)}", method="POST", body=body
    )
    assert (status, len(heard[0].received)) == (200, len(body))
    status, _, heard = await scene.ask(
        "/uploads/x",
        "Content-Length: 3",
        "Expect: 100-continue",
        "X-Odd: \xff\xe9",
        method="POST",
        body="abc",
    )
    assert (status, bytes(heard[0].received)) == (200, b"abc")
    assert heard[0].values("x-odd") == ["\xff\xe9"]
    status, _, heard = await scene.ask(
        "/uploads/x", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n"
    )
    assert status == 200
    assert b"abc" in heard[0].received


async def it_refuses_in_words_that_clients_know(scene: Scene) -> None:
    for target, method, expected in (
        ("/reports/x", "GET", 401),
        ("/nowhere", "GET", 403),
        ("/reports/x", "POST", 403),
        ("/public/x;y", "GET", 400),
    ):
        status, response, heard = await scene.ask(target, method=method, bearer=False)
        assert (target, status) == (target, expected)
        assert not heard
        head, _, body = response.partition(b"\r\n\r\n")
        said = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        assert said["message"]
        await until(partial(_is_logged, scene, said["request_id"]))
        assert b"no-store" in head.lower()
        if status == 401:
            assert fields_of(response)["www-authenticate"] == ['Bearer realm="sidecar"']
    assert (await scene.ask("/reports/x", "Authorization: Bearer x", bearer=False))[0] == 401
    assert (await scene.ask("/reports/x", "Authorization: Bearer x"))[0] in (400, 401)


def _is_logged(scene: Scene, request_id: str) -> bool:
    return any(line["request_id"] == request_id for line in scene.sidecar.decisions)


async def it_leaves_what_upstream_says_as_it_is(scene: Scene) -> None:
    """The proxy's words for the sidecar's refusals are not put over upstream's own."""
    for status in (401, 403, 404, 500, 503):
        found, response, heard = await scene.ask(f"/reports/{status}")
        assert (found, len(heard)) == (status, 1)
        assert b"theirs" in response


async def what_a_client_says_of_itself_gains_nothing(scene: Scene) -> None:
    """CVE-2025-64484, CVE-2026-88011, CVE-2026-30851, CVE-2024-45410."""
    for target, subject in (("/reports/x", [SUBJECT]), ("/public/x", [])):
        for spoof in (
            ("X-Auth-Subject: root", "X-Auth-Groups: admin", "Api-Key: k", "X-Auth-Name: Root"),
            ("X-Auth-Subject: root", "X-Auth-Subject: admin"),
            ("x-auth-subject: root", "Connection: close, X-Auth-Subject"),
            ("X_Auth_Subject: root", "x_auth_groups: admin"),
            ("X-Auth_Subject: root", "X-Auth.Groups: admin"),
            ("X.Auth.Subject: root", "Api_Key: k", "X~Auth~Groups: admin"),
        ):
            bearer = target != "/public/x"
            status, _, heard = await scene.ask(target, *spoof, bearer=bearer)
            if status >= 400:
                assert status in (400, 403)
                assert not heard
                continue
            fields = told(heard)
            assert [each for each in fields.get("x-auth-subject", []) if each] == subject, spoof
            assert fields.get("x-auth-groups", [""]) in ([""], ["devops,ops"])
            assert fields.get("x-auth-name", [""]) in ([""], ["Api User"])
            assert fields.get("api-key", [""]) == [""]


async def what_a_client_says_of_its_address_is_not_heard(scene: Scene) -> None:
    for name in ("X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Envoy-External-Address",
                 "X-Forwarded-Port", "X-Forwarded-Server", "X_Forwarded_For", "X.Forwarded.For",
                 "X_Real_IP"):  # fmt: skip
        status, _, heard = await scene.ask("/reports/x", f"{name}: 6.6.6.6")
        assert status == (200 if heard else 400), name
        assert not any("6.6.6.6" in value for each in heard for _, value in each.fields), name


async def what_a_client_says_it_asked_gains_nothing(scene: Scene) -> None:
    """CVE-2026-40575 and its kin: the open path and method that a client names are not heard."""
    for name in ("X-Forwarded-Uri", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL",
                 "X-Forwarded-Prefix", "X-Envoy-Original-Path", "X_Forwarded_Uri",
                 "X_Original_URL"):  # fmt: skip
        for value in ("/public/x", "http://sidecar.example/public/x"):
            status, _, heard = await scene.ask("/reports/x", f"{name}: {value}", bearer=False)
            assert status in (400, 401), name
            assert not heard
    for name in ("X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method-Override",
                 "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"):  # fmt: skip
        status, _, heard = await scene.ask("/uploads/x", f"{name}: POST")
        assert status in (400, 403), name
        assert not heard
        status, _, heard = await scene.ask("/reports/x", f"{name}: DELETE")
        assert status == (200 if heard else 400), name
        assert not any("DELETE" in value for each in heard for _, value in each.fields)
    for name in ("X-Forwarded-Host", "X-Original-Host", "Forwarded"):
        status, _, heard = await scene.ask("/reports/x", f"{name}: evil.example")
        assert status == (200 if heard else 400), name
        assert not any("evil" in value for each in heard for _, value in each.fields), name


async def no_spelling_of_a_path_opens_another(scene: Scene) -> None:
    """CVE-2026-33494, CVE-2026-42274, CVE-2026-73511, CVE-2021-29492, GHSA-pxq7-h93f-9jrg."""
    for target in (
        "/public/../reports/x",
        "/public/%2e%2e/reports/x",
        "/public/.%2E/reports/x",
        "/public/..%2freports/x",
        "/public%2f..%2freports/x",
        "/public/..;/reports/x",
        "/public/..%5creports/x",
        "/public/..\\reports\\x",
        "/public/%252e%252e/reports/x",
        "/public#/../reports/x",
        "/public%23/../reports/x",
        "//reports/x",
        "/public//../reports/x",
        "/%72eports/x",
        "/public/%c0%ae%c0%ae/reports/x",
        "/public/x%00/../../reports/x",
        "http://sidecar.example/reports/x",
        "http://evil.example/public/../reports/x",
    ):
        status, _, heard = await scene.ask(target, bearer=False)
        for each in heard:
            path = each.request_line.split()[1].partition("?")[0]
            assert "reports" not in unquote(unquote(path)), (target, path)
        assert status >= 400 or heard, target
        if "evil" not in target:
            assert status >= 400, target
    # nginx takes nearly anything for a host.
    for host in ("a?x=", "a/public/?x=", "sidecar.example#", "sidecar.example/public/x?"):
        status, _, heard = await scene.ask("/reports/x", f"Host: {host}", bearer=False)
        assert status >= 400, host
        assert not heard


async def no_spelling_of_a_method_opens_another(scene: Scene) -> None:
    """CVE-2020-14359, CVE-2026-73547."""
    before = len(scene.upstream.conversations)
    for method, target in (
        ("POST", "/reports/x"),
        ("DELETE", "/reports/x"),
        ("get", "/reports/x"),
        ("GeT", "/reports/x"),
        ("TRACE", "/reports/x"),
        ("PROPFIND", "/reports/x"),
        ("CONNECT", "/reports/x"),
        ("CONNECT", "127.0.0.1:1"),
        ("GET", "*"),
    ):
        status, _, _ = await scene.ask(target, "Content-Length: 0", method=method)
        assert status >= 400, (method, target)
    # Whoever answers it: an OPTIONS for the whole server is none for upstream.
    await scene.ask("*", method="OPTIONS")
    assert len(scene.upstream.conversations) == before


async def the_corpus_goes_no_further_than_its_verdict(scene: Scene) -> None:
    for attack in corpus.attacks(scene.token):
        before = len(scene.upstream.conversations)
        try:
            status = status_of(await scene.send(attack.octets))
        except (EOFError, ConnectionError):
            status = 400  # ended without a word
        heard = [each.request_line.split(" ")[1] for each in scene.upstream.conversations[before:]]
        if attack.passes:
            assert (attack.name, status, len(heard)) == (attack.name, 200, 1)
            continue
        assert all(map(corpus.is_open, heard)), (attack.name, heard)
        assert status >= 400 or heard, attack.name


async def a_switch_needs_a_route_that_takes_one(scene: Scene) -> None:
    before = len(scene.upstream.conversations)
    octets = scene.request("/live", *HANDSHAKE, bearer=False)
    assert status_of(await scene.send(octets)) == 401
    status = status_of(await scene.send(scene.request("/reports/x", *HANDSHAKE)))
    # The sidecar itself forwards it as what it is without the upgrade.
    assert status == (200 if scene.program.dialect is None else 403)
    for upgrade in ("h2c", "websocket, h2c", "tcp"):
        fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {upgrade}", "HTTP2-Settings: x")
        await scene.send(scene.request("/reports/x", *fields))
    for each in scene.upstream.conversations[before:]:
        assert not each.values("upgrade")

    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write(scene.request("/live", *HANDSHAKE))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
    assert status_of(head) == 101
    assert await asyncio.wait_for(reader.readexactly(4), 15) == b"\x81\x02hi"
    writer.close()


async def an_account_is_refused_between_two_requests_of_a_connection(scene: Scene) -> None:
    octets = scene.request("/reports/x", "Connection: keep-alive")
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    async with asyncio.timeout(15):
        writer.write(octets)
        assert status_of(await whole(reader)) == 200
        await scene.site.disable()
        refused = False
        while not refused:
            writer.write(octets)
            refused = status_of(await whole(reader)) == 401
    writer.close()
    heard = len(scene.upstream.conversations)
    assert (await scene.ask("/reports/x"))[0] == 401
    assert len(scene.upstream.conversations) == heard


async def whole(reader: asyncio.StreamReader, *, is_head: bool = False) -> bytes:
    """Read one answer; up to its connection's end where it does not say how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    if status_of(head) == 100:
        return await whole(reader, is_head=is_head)
    fields = fields_of(head)
    if is_head or status_of(head) == 101:
        return head
    if "content-length" in fields:
        return head + await reader.readexactly(int(fields["content-length"][0]))
    if "transfer-encoding" in fields:
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head + await read_all(reader)


@pytest.mark.parametrize("segment", [b"\xff", b"\xc0\xae\xc0\xae"])
async def test_envoy_passes_no_octets_that_it_could_not_tell(site: Site, segment: bytes) -> None:
    """Its HTTP/2 takes them, and asks with ``!`` in their place."""
    async with scene_of(ENVOY, site) as scene:
        await raw_call(f"http://127.0.0.1:{scene.port}", b"/public/x/reports/x")
        assert len(scene.upstream.conversations) == 1
        await raw_call(f"http://127.0.0.1:{scene.port}", b"/public/" + segment + b"/reports/x")
        await until(lambda: len(scene.sidecar.decisions) > 1)
        assert len(scene.upstream.conversations) == 1


async def test_envoy_keeps_a_token_from_upstream_when_the_sidecar_says_so(site: Site) -> None:
    async with scene_of(ENVOY, site, forward_authorization=False) as scene:
        status, _, heard = await scene.ask("/reports/x")

    assert status == 200
    assert told(heard)["x-auth-subject"] == [SUBJECT]
    assert "authorization" not in told(heard)


@pytest.mark.parametrize("program", ASKING, ids=lambda program: program.name)
async def test_a_reload_loses_no_question(program: Program, site: Site) -> None:
    """The proxy keeps connections to the door, and the door ends them."""
    async with scene_of(program, site) as scene:
        traffic = Traffic(f"http://127.0.0.1:{scene.port}", scene.token, "/reports/x")
        settings = (site.directory / "sidecar.yaml").read_text()
        async with steady(traffic, new_per_second=50, kept=4):
            for _ in range(3):
                await reload(scene.sidecar, site.directory, settings)

    assert said(scene.sidecar, IN_FORCE) == 3
    assert (traffic.failures, traffic.refused) == ([], 0)
    assert set(traffic.statuses) == {200}


FAILURES = {
    "503": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}",
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /public/x\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nX-Auth-Sub",
    "nothing": b"",
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_a_sidecar_that_fails_lets_nobody_in(program: Program, tmp_path: Path) -> None:
    async def fail(conversation: Conversation) -> None:
        await conversation.say(FAILURES[how])
        conversation.writer.close()

    how = "503"
    async with scripted_upstream() as upstream, scripted_upstream(fail) as sidecar:
        behind = upstream.url.removeprefix("http://")
        address = sidecar.url.removeprefix("http://")
        async with running_proxy(program, tmp_path, sidecar=address, upstream=behind) as port:
            for how in FAILURES:
                asked = len(sidecar.conversations)
                status = await _status(port)
                # Where the sidecar stands in between, its answer is the client's, even this one.
                if program.dialect is not None:
                    assert status >= 500 or (how == "a redirect" and status != 200), (how, status)
                assert how != "503" or status == 503
                assert len(sidecar.conversations) > asked
                assert not upstream.conversations
        gone = f"127.0.0.1:{free_port()}"
        async with running_proxy(program, tmp_path, sidecar=gone, upstream=behind) as port:
            assert await _status(port) in (502, 503)
            assert not upstream.conversations


async def _status(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /public/x HTTP/1.1\r\nHost: sidecar.example\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(15):
        response = await read_all(reader)
    writer.close()
    return status_of(response)
