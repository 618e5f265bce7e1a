"""Who may use the admin API, and who is told no more than that."""

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme

from sidecar.core.admin_refusal import AdminRefusal
from sidecar.core.subject import AccountStatus
from tests.admin.office import SECRET, Office
from tests.fakes.world import ISSUER

PATH = "/api/serviceaccounts"
DENIED = {"message": "access denied"}


async def status(office: Office, credentials: str | None, **headers: str) -> int:
    return (await office.ask("GET", PATH, credentials=credentials, **headers))[0]


async def test_an_admins_token_gets_in_and_the_record_names_its_subject() -> None:
    async with Office().listening() as office:
        token = office.world.sign()
        posted = {"subject": "alice", "status": "active"}
        code, shown = await office.ask("POST", PATH, posted, credentials=token)

    assert (code, shown["updated_by"]) == (201, "admin: corp/robot")


async def test_what_the_account_is_now_counts_for_a_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Office().listening() as office:
        token = office.world.sign()
        assert await status(office, token) == 200

        office.world.enroll("robot", "ops")
        assert await office.ask("GET", PATH, credentials=token) == (403, DENIED)
        office.world.enroll("robot", "admin", status=AccountStatus.INACTIVE)
        assert await office.ask("GET", PATH, credentials=token) == (401, DENIED)

        assert office.refusals == [AdminRefusal.NOT_ADMIN, AdminRefusal.BAD_CREDENTIALS]
    assert "subject_inactive" in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize(
    "credentials",
    ["", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), "ey.J.x", "\u00e9\u00e8"],
)
async def test_whatever_is_neither_is_refused_and_not_logged(
    caplog: pytest.LogCaptureFixture, credentials: str
) -> None:
    async with Office().listening() as office:
        code, said, headers = await office.ask_all("GET", PATH, credentials=credentials)

        assert (code, said) == (401, DENIED)
        assert headers["WWW-Authenticate"] == 'Bearer realm="sidecar-admin", error="invalid_token"'
        assert office.refusals == [AdminRefusal.BAD_CREDENTIALS]
    assert SECRET not in caplog.text


async def test_without_credentials_nobody_learns_what_there_is() -> None:
    async with Office().listening() as office:
        for path in (PATH, "/api/nowhere"):
            code, said, headers = await office.ask_all("GET", path, credentials=None)
            assert (code, said) == (401, DENIED)
            assert headers["WWW-Authenticate"] == 'Bearer realm="sidecar-admin"'
        cookie = {"Cookie": f"Authorization=Bearer {SECRET}; token={SECRET}"}
        assert await status(office, None, **cookie) == 401
        assert await status(office, None, Authorization=f"Basic {SECRET}") == 401
        assert (await office.ask("GET", f"{PATH}?access_token={SECRET}", credentials=None))[
            0
        ] == 401


async def test_two_credentials_at_once_are_bad() -> None:
    async with Office().listening() as office, aiohttp.ClientSession() as http:
        headers = [("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer other")]
        async with http.get(office.url + PATH, headers=headers) as response:
            assert response.status == 401


async def test_each_way_is_there_only_if_it_is_wanted() -> None:
    async with Office(secret=None).listening() as office:
        assert await status(office, SECRET) == 401
        assert await status(office, office.world.sign()) == 200
    async with Office(tokens=False).listening() as office:
        assert await status(office, SECRET) == 200
        assert await status(office, office.world.sign()) == 401


async def test_while_keys_or_accounts_are_away_a_token_is_neither_good_nor_an_attempt() -> None:
    async with Office().listening() as office:
        token = office.world.sign()
        office.world.keys.forget(ISSUER)
        for _ in range(20):
            assert await status(office, token) == 503
        office.world.accounts.live = False
        assert await status(office, office.world.sign()) == 503
        assert set(office.refusals) == {AdminRefusal.UNAVAILABLE}
        assert await status(office, SECRET) == 200


async def test_who_tries_secrets_out_is_not_listened_to_for_a_while() -> None:
    async with Office().listening() as office:
        for number in range(10):
            assert await status(office, f"guess {number}") == 401

        code, said, headers = await office.ask_all("GET", PATH)
        assert (code, said) == (429, {"message": "too many attempts"})
        assert headers["Retry-After"] == "2"
        assert office.refusals[-1] is AdminRefusal.TOO_MANY_ATTEMPTS

        office.world.clock.advance(2)
        assert await status(office, SECRET) == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://admin.example", "Host": "admin.example"}, True),
        ({"Origin": "http://admin.example:1", "Host": "admin.example"}, False),
    ],
)
async def test_what_a_page_of_another_site_writes_is_refused(
    headers: dict[str, str], *, passes: bool
) -> None:
    """A browser shows a client certificate for any page that asks."""
    async with Office().listening() as office:
        body = {"subject": "alice", "status": "active"}
        code, _ = await office.ask("POST", PATH, body, **headers)

        assert code == (201 if passes else 403)
        assert office.refusals == ([] if passes else [AdminRefusal.CROSS_SITE])
        assert await status(office, SECRET, **headers) == 200


async def test_once_other_settings_are_in_force_nobody_stays_admitted() -> None:
    async with Office().listening() as office, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {SECRET}", "Accept": "text/event-stream"}
        async with http.get(office.url + "/api/decisions", headers=headers) as following:
            assert await following.content.readline()
            office.gatekeeper.retire()
            async with asyncio.timeout(10):
                await following.content.read()


class Authorities:
    """A listener's certificate, and clients' of the authority that it knows and of another."""

    def __init__(self, directory: Path) -> None:
        self.known, self.other = trustme.CA(), trustme.CA()
        leaf = self.known.issue_cert("127.0.0.1")
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        leaf.configure_cert(self.server)
        self.known.configure_trust(self.server)
        self.server.verify_mode = ssl.CERT_OPTIONAL
        del directory

    def client(self, authority: trustme.CA | None, name: str | None = "ops") -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.known.configure_trust(context)
        if authority is not None:
            authority.issue_cert("ops@example.com", common_name=name).configure_cert(context)
        return context


async def test_a_certificate_of_the_named_authority_gets_in(tmp_path: Path) -> None:
    found = Authorities(tmp_path)

    async def ask(office: Office, context: ssl.SSLContext, **headers: str) -> int:
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.post(
                office.url + PATH,
                json={"subject": "alice", "status": "active"},
                headers=headers,
            ) as response,
        ):
            return response.status

    async with Office().listening(found.server) as office:
        assert office.url.startswith("https://")
        assert await ask(office, found.client(None)) == 401
        assert await ask(office, found.client(found.known)) == 201
        assert office.world.observer.audits[0].actor == "certificate: ops"
        assert await ask(office, found.client(found.known, None)) == 409
        # Who shows something else beside it has to mean it.
        bad = {"Authorization": "Bearer wrong"}
        assert await ask(office, found.client(found.known), **bad) == 401
        with pytest.raises(aiohttp.ClientError):
            await ask(office, found.client(found.other))
