"""The revocation endpoint over its socket, by RFC 7009."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from sidecar.admin.listener import AdminListener
from sidecar.admin.revocation_endpoint import RevocationClient, RevocationEndpoint
from sidecar.core.issuer import IntrospectionRules
from sidecar.ports import StatusUnavailable
from sidecar.revocations import MARGIN_SECONDS, Revocations, TokenVerifier
from tests.fakes.store import FakeAccountStore
from tests.fakes.tokens import rsa_key
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER, ISSUERS, NOW, World

SOC = RevocationClient("soc", "a secret of some length")
FORM = "application/x-www-form-urlencoded"
POSTED = {"client_id": SOC.client_id, "client_secret": SOC.secret}


def basic(secret: str = SOC.secret) -> dict[str, str]:
    text = f"{SOC.client_id}:{secret.replace(' ', '+')}"
    return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}


class Desk:
    """A listener among fakes. ``ask`` posts to it; ``revoked`` is what it has written."""

    def __init__(self, body_seconds: float = 10.0, *, takes_opaque: bool = False) -> None:
        self.world = World()
        self.store = FakeAccountStore()
        issuers = {each.name: each for each in ISSUERS}
        if takes_opaque:
            asked = replace(ISSUERS[0], introspection=IntrospectionRules())
            issuers[ISSUER] = asked
        verifier = TokenVerifier(self.world.keys, issuers, 8192, self.world.introspector)
        self._endpoint = RevocationEndpoint(
            [SOC], verifier, self._revocations, body_seconds=body_seconds
        )
        self.asked = asyncio.Event()
        self.listener = AdminListener(
            "127.0.0.1",
            0,
            probes=dict,
            render=lambda _: (b"", "text/plain"),
            workers=bytes,
            revoke=self._answer,
        )

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.set()
        return await self._endpoint.answer(request)

    def _revocations(self, actor: str) -> Revocations:
        return Revocations(self.store, self.world.clock, self.world.observer, actor=actor)

    @property
    def revoked(self) -> dict[tuple[str, str], float]:
        return self.store.revoked_tokens

    async def ask(
        self, form: dict[str, str] | str, method: str = "POST", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        body = form if isinstance(form, str) else urlencode(form)
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                method,
                self.listener.url + "/oauth2/revoke",
                data=body.encode(),
                headers={"Content-Type": FORM, **headers},
            ) as response,
        ):
            assert response.headers["Cache-Control"] == "no-store"
            return response.status, json.loads(await response.read()), dict(response.headers)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.listener:
        yield desk


@pytest.mark.parametrize("by_basic", [True, False])
async def test_a_token_is_revoked_until_it_would_have_expired(
    desk: Desk, *, by_basic: bool
) -> None:
    form = {"token": desk.world.sign(jti="j-1"), "token_type_hint": "refresh_token"}
    if by_basic:
        status, body, _ = await desk.ask(form, **basic())
    else:
        status, body, _ = await desk.ask({**form, **POSTED})

    assert (status, body) == (200, {})
    assert desk.revoked == {("corp", "j-1"): NOW + 300 + MARGIN_SECONDS}
    (audit,) = desk.world.observer.audits
    assert (audit.actor, audit.action, audit.token_id) == ("oauth2:soc", "revoke_token", "j-1")


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a b",
        "x" * 9000,
        World().sign(jti="j-1") + "x",
        World().sign(jti="j-1", iss="https://other.example"),
        World().sign(jti="j-1", key=rsa_key("other")),
        World().sign(jti="j-1", header={"alg": "none"}),
    ],
)
async def test_a_token_that_is_none_of_ours_is_no_error_and_writes_nothing(
    desk: Desk, token: str
) -> None:
    """RFC 7009, 2.2: or whoever can ask could fill the store."""
    status, body, _ = await desk.ask({"token": token, **POSTED})

    assert (status, body) == (200, {})
    assert desk.revoked == {}
    assert desk.world.observer.audits == []


async def test_an_expired_token_is_no_error(desk: Desk) -> None:
    assert (await desk.ask({"token": desk.world.sign(jti="j", exp=1), **POSTED}))[0] == 200


async def test_a_token_that_cannot_be_told_from_others_is_refused(desk: Desk) -> None:
    """It stays good: 200 would be a lie."""
    status, body, _ = await desk.ask({"token": desk.world.sign(), **POSTED})

    assert (status, body["error"]) == (400, "unsupported_token_type")
    assert desk.revoked == {}


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, {}),
        ({}, basic("wrong")),
        ({**POSTED, "client_secret": "wrong"}, {}),
        ({**POSTED, "client_id": "else"}, {}),
        ({}, {"Authorization": "Bearer abc"}),
    ],
)
async def test_who_is_not_a_client_is_told_so_and_changes_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture, form: dict[str, str], headers: dict[str, str]
) -> None:
    token = desk.world.sign(jti="j-1")

    status, body, answered = await desk.ask({"token": token, **form}, **headers)

    assert (status, body["error"]) == (401, "invalid_client")
    assert answered["WWW-Authenticate"].startswith("Basic realm=")
    assert desk.revoked == {}
    assert desk.world.keys.refreshes == []
    assert "127.0.0.1 may not revoke: " in caplog.text
    assert "wrong" not in caplog.text.replace("wrong secret", "")


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        (POSTED, {}),
        ({"token": "", **POSTED}, {}),
        ({"token": "a", **POSTED}, basic()),
        ("token=a&token=b&" + urlencode(POSTED), {}),
        ("token=%ff&" + urlencode(POSTED), {}),
        ({"token": "a", **POSTED}, {"Content-Type": "application/json"}),
        ({"token": "a" * 16384, **POSTED}, {}),
    ],
)
async def test_what_cannot_be_read_is_an_invalid_request(
    desk: Desk, form: dict[str, str] | str, headers: dict[str, str]
) -> None:
    status, body, _ = await desk.ask(form, **headers)

    assert (status, body["error"]) == (400, "invalid_request")


async def test_while_the_store_is_away_the_token_is_to_be_assumed_good(desk: Desk) -> None:
    desk.store.failure = StatusUnavailable("no Redis")

    status, body, headers = await desk.ask({"token": desk.world.sign(jti="j"), **POSTED})

    assert (status, body["error"]) == (503, "temporarily_unavailable")
    assert headers["Retry-After"] == "1"
    assert desk.world.observer.audits == []


async def test_while_the_keys_are_away_nobody_can_say(desk: Desk) -> None:
    desk.world.keys.forget(ISSUER)

    status, _, headers = await desk.ask({"token": desk.world.sign(jti="j"), **POSTED})

    assert (status, headers["Retry-After"]) == (503, "1")
    assert desk.revoked == {}


async def test_a_defect_of_ours_is_no_success(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.world.keys.failure = RuntimeError("a defect")

    status, body, _ = await desk.ask({"token": desk.world.sign(jti="j"), **POSTED})

    assert (status, body) == (500, {"error": "server_error"})
    assert "a revocation failed" in caplog.text
    assert "eyJ" not in caplog.text


async def test_it_is_posted_to_alone(desk: Desk) -> None:
    status, _, headers = await desk.ask({}, "GET")

    assert (status, headers["Allow"]) == (405, "POST")


class Broken:
    """A connection with a whole chunk of a request under way, and no end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._desk.listener.url.removeprefix("http://").rpartition(":")
        form = urlencode({**POSTED, "token": self._desk.world.sign(jti="j")}).encode()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /oauth2/revoke HTTP/1.1\r\nHost: a\r\nContent-Type: " + FORM.encode()
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(form), form)
        )  # fmt: skip
        await self._desk.asked.wait()
        return reader, writer


@pytest.mark.parametrize("rest", [b"zz\r\n", b""])
async def test_a_body_without_an_end_revokes_nothing(
    caplog: pytest.LogCaptureFixture, rest: bytes
) -> None:
    desk = Desk(body_seconds=0.1)
    async with desk.listener:
        reader, writer = await Broken(desk).open()
        writer.write(rest)
        answer = await reader.readline()
        writer.close()

    assert b" 400 " in answer
    assert desk.revoked == {}
    assert "the body did not come in time" in caplog.text


async def test_a_client_that_leaves_amid_its_request_revokes_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await Broken(desk).open()
    writer.close()

    await until(lambda: "the body broke off" in caplog.text)
    assert desk.revoked == {}


async def test_a_body_that_does_not_unpack_is_an_invalid_request(desk: Desk) -> None:
    status, body, _ = await desk.ask(POSTED, **{"Content-Encoding": "gzip"})

    assert (status, body["error"]) == (400, "invalid_request")


async def test_an_opaque_token_is_revoked_by_what_its_issuer_says_of_it() -> None:
    desk = Desk(takes_opaque=True)
    answers = desk.world.introspector.active
    answers["named"] = {"active": True, "sub": "robot", "exp": NOW + 300, "jti": "j-1"}
    answers["nameless"] = {"active": True, "sub": "robot", "exp": NOW + 300}
    async with desk.listener:
        assert (await desk.ask({"token": "named", **POSTED}))[0] == 200
        nameless = await desk.ask({"token": "nameless", **POSTED})
        assert (await desk.ask({"token": "inactive", **POSTED}))[0] == 200
        desk.world.introspector.is_down = True
        unknown = await desk.ask({"token": "named", **POSTED})

    assert list(desk.revoked) == [("corp", "j-1")]
    # Good, and it would stay so: 200 would be a lie.
    assert (nameless[0], nameless[1]["error"]) == (400, "unsupported_token_type")
    assert (unknown[0], unknown[1]["error"]) == (503, "temporarily_unavailable")
