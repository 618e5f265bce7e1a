"""The stand-in against what is known of the original: statuses, bodies, headers, streams."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from sidecar.demo.gateway import Gateway, GatewayAccount
from sidecar.demo.gateway_tokens import ProviderUnreachable

DENIED = '{"message":"access denied"}'
AUDIT = {"Authorization": "Bearer audit"}
ADMIN = {"Authorization": "Bearer root"}
ALICE = {"Authorization": "Bearer api-user"}
ACCOUNTS = "/api/serviceaccounts"


async def whoever_it_says(token: str) -> str | None:
    """A verifier to which a token is its subject."""
    if token == "broken":
        raise ProviderUnreachable
    return None if token == "bad" else token


def accounts() -> list[GatewayAccount]:
    return [
        GatewayAccount("root", "Root", ("admin",)),
        GatewayAccount("audit", "Audit", ("auditor",)),
        GatewayAccount("api-user", "Api User Programmatic Access", ("devops", "ops")),
        GatewayAccount("former", status="inactive"),
    ]


@pytest_asyncio.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway(whoever_it_says, accounts(), api_key="xapi-key") as gateway:
        yield gateway


class Asking:
    """Asks one gateway; answers with status and body."""

    def __init__(self, gateway: Gateway, session: ClientSession) -> None:
        self._url = gateway.url
        self._session = session

    async def __call__(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> tuple[int, str]:
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, self._url + path, headers=headers, data=data
        ) as answer:
            return answer.status, await answer.text()


@pytest_asyncio.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def ask(gateway: Gateway, session: ClientSession) -> Asking:
    return Asking(gateway, session)


async def test_userinfo_has_the_originals_fields_in_its_order(ask: Asking) -> None:
    status, body = await ask("GET", "/api/userinfo", ALICE)

    info = json.loads(body)
    assert status == 200
    assert len(info.pop("org_id")) == 36
    assert len(info.pop("intercom_hmac_digest")) == 64
    assert list(info.items()) == [
        ("id", "api-user"),
        ("name", "Api User Programmatic Access"),
        ("email", "api-user"),
        ("status", "active"),
        ("verified", True),
        ("role", "standard"),
        ("slack_id", ""),
        ("picture", ""),
        ("groups", ["devops", "ops"]),
        ("is_admin", False),
        ("is_multitenant", False),
        ("tenancy_type", "selfhosted"),
        ("org_name", "default"),
        ("org_license", ""),
        ("feature_ask_ai", "unavailable"),
        ("webapp_users_management", "on"),
        ("default_protection_profile", None),
        ("show_origin_survey", False),
        ("show_setup_checklist", False),
    ]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "bearer api-user",
        "BEARER api-user",
        "Bearer  api-user",
        "Bearer api-user x",
        "Basic api-user",
        "Bearer bad",
        "Bearer nobody",
        "Bearer former",
    ],
)
async def test_whoever_is_not_let_in_is_not_told_why(ask: Asking, authorization: str) -> None:
    assert await ask("GET", "/api/userinfo", {"Authorization": authorization}) == (401, DENIED)


async def test_the_first_authorization_line_counts(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.split(":")[2]))
    writer.write(
        b"GET /api/userinfo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer api-user\r\nAuthorization: Bearer bad\r\n\r\n"
    )

    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_without_a_provider_it_is_the_gateways_failure(ask: Asking) -> None:
    assert await ask("GET", "/api/userinfo", {"Authorization": "Bearer broken"}) == (
        500,
        '{"message":"internal server error, failed loading IDP provider"}',
    )


async def test_the_api_key_overrides_the_bearer(ask: Asking) -> None:
    """Why no client's Api-Key may pass the sidecar."""
    status, body = await ask("GET", "/api/userinfo", ALICE | {"Api-Key": "xapi-key"})

    assert (status, json.loads(body)["role"]) == (200, "admin")
    assert await ask("GET", "/api/userinfo", ALICE | {"Api-Key": "guess"}) == (
        401,
        '{"message":"unauthorize"}',
    )
    assert (await ask("GET", "/api/userinfo", ALICE | {"Api-Key": ""}))[0] == 200


async def test_without_a_configured_api_key_none_is_right(session: ClientSession) -> None:
    async with Gateway(whoever_it_says, accounts()) as gateway:
        ask = Asking(gateway, session)

        assert await ask("GET", "/api/userinfo", ALICE | {"Api-Key": "xapi-key"}) == (401, DENIED)


@pytest.mark.parametrize("who", [ALICE, AUDIT, ADMIN])
async def test_every_active_account_may_list(ask: Asking, who: dict[str, str]) -> None:
    status, body = await ask("GET", ACCOUNTS, who)

    listed = json.loads(body)
    assert status == 200
    assert [account["subject"] for account in listed] == ["root", "audit", "api-user", "former"]
    assert list(listed[2]) == ["id", "org_id", "subject", "name", "status", "groups"]


async def test_an_empty_list_is_null(ask: Asking, gateway: Gateway) -> None:
    gateway.accounts.clear()

    assert await ask("GET", ACCOUNTS, {"Api-Key": "xapi-key"}) == (200, "null")


async def test_an_admin_creates_an_account_once(ask: Asking, gateway: Gateway) -> None:
    posted = {"subject": "new", "name": "New", "groups": ["ops"], "status": "active"}

    status, body = await ask("POST", ACCOUNTS, ADMIN, posted)

    assert status == 201
    assert {name: json.loads(body)[name] for name in posted} == posted
    assert gateway.accounts["new"] == GatewayAccount("new", "New", ("ops",))
    again = await ask("POST", ACCOUNTS, ADMIN, posted | {"status": "inactive"})
    assert again == (409, '{"message":"resource already exists"}')
    assert gateway.accounts["new"].is_active


async def test_a_put_replaces_status_and_groups_and_keeps_an_empty_name(
    ask: Asking, gateway: Gateway
) -> None:
    put = {"subject": "other", "status": "inactive"}

    status, body = await ask("PUT", f"{ACCOUNTS}/api-user", ADMIN, put)

    assert (status, json.loads(body)["subject"]) == (200, "other")
    assert gateway.accounts["api-user"] == GatewayAccount(
        "api-user", "Api User Programmatic Access", (), "inactive"
    )
    assert await ask("GET", "/api/userinfo", ALICE) == (401, DENIED)


async def test_an_unknown_account_cannot_be_put(ask: Asking) -> None:
    put = {"subject": "nobody", "status": "active"}

    assert await ask("PUT", f"{ACCOUNTS}/nobody", ADMIN, put) == (
        404,
        '{"message":"resource not found"}',
    )


async def test_a_subject_with_a_slash_can_be_made_and_never_be_changed(
    ask: Asking, gateway: Gateway
) -> None:
    """The original's trap: whoever is named so cannot be disabled there."""
    account = {"subject": "a/b", "status": "active"}
    assert (await ask("POST", ACCOUNTS, ADMIN, account))[0] == 201

    put = account | {"status": "inactive"}
    assert (await ask("PUT", f"{ACCOUNTS}/a%2Fb", ADMIN, put))[0] == 404

    assert gateway.accounts["a/b"].is_active


async def test_a_wrong_status_is_refused(ask: Asking) -> None:
    posted = {"subject": "new", "status": "foo"}

    assert await ask("POST", ACCOUNTS, ADMIN, posted) == (
        422,
        '{"message":"wrong status value \\"foo\\""}',
    )


@pytest.mark.parametrize("who", [ALICE, AUDIT])
async def test_only_admins_may_change_accounts(ask: Asking, who: dict[str, str]) -> None:
    assert await ask("POST", ACCOUNTS, who) == (403, DENIED)
    assert await ask("PUT", f"{ACCOUNTS}/root", who) == (403, DENIED)
    assert await ask("POST", ACCOUNTS) == (401, DENIED)


async def test_health_needs_no_token(ask: Asking, gateway: Gateway) -> None:
    assert await ask("GET", "/api/healthz") == (200, '{"liveness":"OK"}')
    gateway.healthy = False
    assert await ask("GET", "/api/healthz") == (400, '{"liveness":"ERR"}')


@pytest.mark.parametrize("path", ["/api/userinfo", "/api/nowhere", "/"])
async def test_a_preflight_needs_no_token(
    gateway: Gateway, session: ClientSession, path: str
) -> None:
    async with session.options(gateway.url + path) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_every_answer_carries_the_gateways_name(
    gateway: Gateway, session: ClientSession
) -> None:
    for path in ("/api/healthz", "/api/userinfo", "/nowhere"):
        async with session.get(gateway.url + path) as answer:
            assert answer.headers["Server"] == "hoopgateway/demo"
            assert "WWW-Authenticate" not in answer.headers


async def test_head_is_get_without_the_body(ask: Asking) -> None:
    assert await ask("HEAD", "/api/userinfo", ALICE) == (200, "")
    assert await ask("HEAD", "/api/sessions/1/stream", ALICE) == (200, "")


async def test_requests_are_recorded_as_they_arrived(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.split(":")[2]))
    writer.write(
        b"GET /api//a%2Fb/../c?x=%41 HTTP/1.1\r\nhost: x\r\nX-Twice: 1\r\nx-twice: \xff\r\n"
        b"Connection: close\r\n\r\n"
    )
    await reader.read()
    writer.close()

    (recorded,) = gateway.requests
    assert (recorded.method, recorded.raw_path) == ("GET", "/api//a%2Fb/../c?x=%41")
    assert recorded.raw_headers[:2] == ((b"host", b"x"), (b"X-Twice", b"1"))
    assert recorded.headers[2] == ("x-twice", "ÿ")
    assert recorded.values("x-TWICE") == ["1", "ÿ"]


async def test_the_record_is_bounded(gateway: Gateway, ask: Asking) -> None:
    await ask("GET", "/api/healthz")
    gateway.requests *= 1000

    await ask("HEAD", "/api/healthz")

    assert len(gateway.requests) == 1000
    assert gateway.requests[-1].method == "HEAD"


async def test_a_stream_needs_a_token(ask: Asking) -> None:
    assert await ask("GET", "/api/sessions/7/stream") == (401, DENIED)
    assert (await ask("GET", "/api/demo/ws"))[0] == 401


async def test_it_comes_back_at_the_same_place_with_its_accounts(session: ClientSession) -> None:
    gateway = Gateway(whoever_it_says, accounts())
    async with gateway:
        url = gateway.url

    async with gateway:
        assert gateway.url == url
        assert (await Asking(gateway, session)("GET", "/api/userinfo", ALICE))[0] == 200
