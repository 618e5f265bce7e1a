"""The admin API of the real process: with two workers their parent answers for both."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.app.tls import client_context
from sidecar.demo.gateway import GatewayAccount
from tests.app.test_tls import Certificates
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import DEMO_WS, bearer, status
from tests.e2e.test_mirror import ADMIN as BOSS
from tests.e2e.test_mirror import send
from tests.e2e.test_reloading import reload
from tests.e2e.test_workers import all_ready, metric
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

SECRET = "a-secret-of-some-length"
ADMIN = "admin-user"
# As docs/redis.md gives them: the sidecar's own, an account manager's, and the audit trail's.
RIGHTS = (
    "~sidecar:*", "-@all", "+hello", "+auth", "+ping", "+select", "+client|tracking", "+hgetall",
    "+exists", "+mget", "+role", "+hget", "+scan", "+watch", "+unwatch", "+multi", "+exec",
    "+hset", "+del", "+set", "+expireat", "+incrby", "+xadd", "+xrevrange",
)  # fmt: skip


class Office:
    """Asks the admin API of a running sidecar, as ``credentials`` say."""

    def __init__(self, site: Site, sidecar: Sidecar, credentials: str = SECRET) -> None:
        self.site = site
        self.sidecar = sidecar
        self.credentials = credentials

    def logged_actions(self) -> list[str]:
        lines = self.sidecar.decisions
        return [line["action"] for line in lines if line["event"] == "account"]

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        async with self.site.http.request(
            method,
            self.sidecar.admin_url + path,
            json={} if body is None and method in ("POST", "PUT") else body,
            headers={**bearer(self.credentials), **headers},
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def office(site: Site, workers: int, **sections: Any) -> AsyncIterator[Office]:
    secret_file = site.directory / "secret"
    secret_file.write_text(SECRET + "\n")
    admin = {
        "host": "127.0.0.1",
        "port": 0,
        "tokens": True,
        "secret_file": str(secret_file),
    }
    settings = site.settings(workers=workers, admin=admin, routes=[DEMO_WS], **sections)
    async with running_sidecar(settings, site.directory) as sidecar:
        if workers > 1:
            await all_ready(site, sidecar, workers)
        yield Office(site, sidecar)


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_account_is_managed_like_the_gateways_own(site: Site, workers: int) -> None:
    account = {"subject": SUBJECT, "name": "Api User", "groups": ["devops"], "status": "active"}
    async with office(site, workers) as found:
        assert await found.ask("GET", "/api/serviceaccounts") == (200, [])
        code, created = await found.ask("POST", "/api/serviceaccounts", account)
        assert code == 201
        assert {name: created[name] for name in account} == account
        assert await found.ask("POST", "/api/serviceaccounts", account) == (
            409,
            {"message": "resource already exists"},
        )
        token = site.token()
        assert await status(site, found.sidecar, token) == 200

        code, updated = await found.ask(
            "PUT", f"/api/serviceaccounts/{SUBJECT}", {**account, "name": "", "status": "inactive"}
        )
        assert (code, updated["name"], updated["status"]) == (200, "Api User", "inactive")

        async def is_refused() -> bool:
            return await status(site, found.sidecar, token) == 401

        await until_async(is_refused)
        _, trail = await found.ask("GET", "/api/audit")
        assert [each["record"]["action"] for each in trail["entries"]] == ["update", "create"]
        assert trail["entries"][0]["record"]["after"]["status"] == "inactive"
        assert trail["entries"][0]["record"]["actor"] == "admin secret"
        await until(lambda: found.logged_actions() == ["create", "update"])
        changes = 'sidecar_account_changes_total{action="update"}'
        assert await metric(site, found.sidecar, changes) == 1
    assert SECRET not in "".join(found.sidecar.output)
    assert await site.redis.command("XLEN", "sidecar:audit") == 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_admin_comes_by_token_until_the_account_is_disabled(
    site: Site, workers: int
) -> None:
    await site.enable()
    await site.enable(ADMIN)
    await site.redis.command("HSET", f"sidecar:account:default:{ADMIN}", "groups", "admin")
    async with office(site, workers) as found:
        admin = Office(site, found.sidecar, site.token(sub=ADMIN))
        nobody = Office(site, found.sidecar, site.token())

        async def is_in() -> bool:
            return (await admin.ask("GET", "/api/streams"))[0] == 200

        await until_async(is_in)
        assert await nobody.ask("GET", "/api/streams") == (403, {"message": "access denied"})
        code, _ = await admin.ask("POST", f"/api/serviceaccounts/{SUBJECT}/revoke-tokens")
        assert code == 200
        _, trail = await found.ask("GET", "/api/audit")
        assert trail["entries"][0]["record"]["actor"] == f"admin: default/{ADMIN}"

        await site.disable(ADMIN)

        async def is_out() -> bool:
            return (await admin.ask("GET", "/api/streams"))[0] == 401

        await until_async(is_out)
        reason = 'sidecar_admin_refusals_total{reason="not_admin"}'
        assert await metric(site, found.sidecar, reason) == 1


@asynccontextmanager
async def events_of(found: Office, token: str) -> AsyncIterator[aiohttp.ClientResponse]:
    url = f"{found.sidecar.url}/api/sessions/1/stream"
    async with aiohttp.ClientSession() as http, http.get(url, headers=bearer(token)) as response:
        assert response.status == 200
        await response.content.readline()
        yield response


@pytest.mark.parametrize("workers", [1, 2])
async def test_streams_are_seen_and_cut_while_the_account_stays(site: Site, workers: int) -> None:
    for subject in (SUBJECT, ADMIN):
        await site.enable(subject)
        site.gateway.accounts[subject] = GatewayAccount(subject, subject, ())
    token, others = site.token(), site.token(sub=ADMIN)
    async with (
        office(site, workers) as found,
        events_of(found, token) as first,
        events_of(found, token) as second,
        events_of(found, others) as kept,
    ):
        _, seen = await found.ask("GET", f"/api/streams?subject={SUBJECT}")
        assert [each["subject"] for each in seen["streams"]] == [SUBJECT] * 2
        assert seen["silent"] == []
        _, everybody = await found.ask("GET", "/api/streams")
        assert len(everybody["streams"]) == 3

        code, cut = await found.ask("POST", "/api/streams/cut", {"subject": SUBJECT})

        assert (code, cut) == (200, {"cut": 2})
        for each in (first, second):
            async with asyncio.timeout(5):
                with pytest.raises(aiohttp.ClientError):
                    await each.content.read()
        assert await kept.content.readline()
        assert await status(site, found.sidecar, token) == 200
        _, trail = await found.ask("GET", "/api/audit")
        assert trail["entries"][0]["record"] | {"ts": ""} == {
            "ts": "",
            "event": "streams",
            "action": "cut_streams",
            "actor": "admin secret",
            "realm": "default",
            "subject": SUBJECT,
            "streams": 2,
        }


@pytest.mark.parametrize("workers", [1, 2])
async def test_streams_from_before_a_reload_are_seen_and_cut_too(site: Site, workers: int) -> None:
    """They end by the settings of then, in processes of then."""
    await site.enable()
    secret_file = site.directory / "secret"
    secret_file.write_text(SECRET)
    settings = site.settings(workers=workers)
    settings["admin"] = {**settings["admin"], "secret_file": str(secret_file)}
    async with running_sidecar(settings, site.directory) as sidecar:
        found = Office(site, sidecar)
        async with events_of(found, site.token()) as old:
            await reload(sidecar, site.directory, settings)
            async with events_of(found, site.token()) as new:
                _, seen = await found.ask("GET", "/api/streams")
                assert len(seen["streams"]) == 2

                cut = await found.ask("POST", "/api/streams/cut", {"subject": SUBJECT})

                assert cut == (200, {"cut": 2})
                for each in (old, new):
                    async with asyncio.timeout(5):
                        with pytest.raises(aiohttp.ClientError):
                            await each.content.read()


@pytest.mark.parametrize("workers", [1, 2])
async def test_decisions_are_seen_afterwards_and_as_they_are_made(site: Site, workers: int) -> None:
    await site.enable()
    async with office(site, workers) as found:
        for _ in range(3):
            await status(site, found.sidecar, site.token())
        await status(site, found.sidecar, site.token(exp=1))
        _, seen = await found.ask("GET", f"/api/decisions?subject={SUBJECT}&outcome=granted")
        assert [each["outcome"] for each in seen["decisions"]] == ["granted"] * 3
        _, denied = await found.ask("GET", "/api/decisions?reason=token_expired&limit=1")
        assert [each["reason"] for each in denied["decisions"]] == ["token_expired"]

        async with site.http.get(
            found.sidecar.admin_url + "/api/decisions?outcome=denied",
            headers={**bearer(SECRET), "Accept": "text/event-stream"},
        ) as following:
            assert following.status == 200
            for _ in range(6):  # both workers are listened to by then, whoever answers
                await status(site, found.sidecar, site.token(exp=1))
            async with asyncio.timeout(10):
                while not (line := await following.content.readline()).startswith(b"data: "):
                    pass
        assert json.loads(line[6:])["reason"] == "token_expired"
        assert "eyJ" not in line.decode()


async def test_a_certificate_signs_in_and_probes_need_none(site: Site, tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    tls = {
        "certificate": str(ours.certificate),
        "key": str(ours.key),
        "client_ca": str(ours.ca),
    }
    admin = {"host": "127.0.0.1", "port": 0, "tls": tls}

    async def ask(sidecar: Sidecar, context: ssl.SSLContext, path: str) -> int:
        url = sidecar.admin_url.replace("127.0.0.1", "localhost") + path
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http,
            http.get(url) as response,
        ):
            return response.status

    settings = site.settings(admin=admin)
    async with running_sidecar(settings, site.directory, until_ready=False) as sidecar:
        anybody = client_context(ours.ca)
        operator = client_context(ours.ca, ours.certificate, ours.key)
        assert await ask(sidecar, anybody, "/livez") == 200
        assert await ask(sidecar, anybody, "/metrics") == 200
        assert await ask(sidecar, anybody, "/api/serviceaccounts") == 401
        assert await ask(sidecar, operator, "/api/serviceaccounts") == 200


async def test_what_hoops_commands_change_at_the_gateway_is_in_the_trail_too(site: Site) -> None:
    """It is the workers who follow them."""
    site.gateway.accounts = {BOSS: GatewayAccount(BOSS, "Boss", ("admin",))}
    await site.enable(BOSS)
    await site.redis.command("HSET", f"sidecar:account:default:{BOSS}", "groups", "admin")
    new = {"subject": SUBJECT, "name": "Api User", "groups": ["devops"], "status": "active"}
    async with office(site, 2, mirror={}) as found:
        assert (await send(site, found.sidecar, "POST", "/api/serviceaccounts", **new))[0] == 201

        async def is_kept() -> bool:
            _, trail = await found.ask("GET", "/api/audit")
            actors = [each["record"]["actor"] for each in trail["entries"]]
            return actors == [f"gateway: {BOSS}"]

        await until_async(is_kept)


@pytest.mark.parametrize("is_kept", [True, False])
async def test_the_rights_that_the_readme_gives_are_enough_and_each_change_is_told(
    site: Site, *, is_kept: bool
) -> None:
    """Without the trail's rights the change is made all the same, and its record is in the log."""
    rights = RIGHTS if is_kept else [each for each in RIGHTS if each != "+xadd"]
    await site.redis.command("ACL", "SETUSER", "sidecar", "on", ">hunter2", *rights)
    accounts = {
        **site.settings()["accounts"],
        "username": "sidecar",
        "password": "hunter2",
    }
    async with office(site, 1, accounts=accounts) as found:
        posted = {"subject": SUBJECT, "status": "active"}
        assert (await found.ask("POST", "/api/serviceaccounts", posted))[0] == 201
        assert (await found.ask("POST", f"/api/serviceaccounts/{SUBJECT}/revoke-tokens"))[0] == 200
        assert (await found.ask("POST", "/api/realms/default/revoke-tokens"))[0] == 200
        assert (await found.ask("GET", "/api/realms/default/revoke-tokens"))[0] == 200
        assert (await found.ask("GET", "/api/serviceaccounts"))[0] == 200
        assert (await found.ask("DELETE", f"/api/serviceaccounts/{SUBJECT}"))[0] == 204

        await until(lambda: found.logged_actions() == ["create", "revoke_subject_tokens", "delete"])
        _, trail = await found.ask("GET", "/api/audit")
        assert len(trail["entries"]) == (4 if is_kept else 0)
        lost = await metric(site, found.sidecar, "sidecar_audit_lost_total")
        assert lost == (0 if is_kept else 4)
        told = "the record of delete by admin secret is in the log alone"
        assert (told in "".join(found.sidecar.output)) is not is_kept


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_shuts_out_who_came_in_by_what_is_no_longer_so(
    site: Site, workers: int
) -> None:
    settings = site.settings(workers=workers)
    async with running_sidecar(settings, site.directory) as sidecar:
        secret_file, found = site.directory / "secret", Office(site, sidecar)
        admin = {**settings["admin"], "secret_file": str(secret_file)}
        assert (await found.ask("GET", "/api/streams"))[0] == 404
        secret_file.write_text(SECRET)
        await reload(sidecar, site.directory, {**settings, "admin": admin})
        assert (await found.ask("GET", "/api/streams"))[0] == 200

        events = {**bearer(SECRET), "Accept": "text/event-stream"}
        url = sidecar.admin_url + "/api/decisions"
        async with site.http.get(url, headers=events) as following:
            assert await following.content.readline()
            secret_file.write_text("another-secret-of-some-length")
            await reload(sidecar, site.directory, {**settings, "admin": admin})
            assert (await found.ask("GET", "/api/streams"))[0] == 401
            async with asyncio.timeout(10):
                await following.content.read()
        found.credentials = "another-secret-of-some-length"
        async with site.http.get(
            url, headers={**bearer(found.credentials), "Accept": "text/event-stream"}
        ) as following:
            assert await following.content.readline()
            assert await sidecar.terminate() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_while_redis_is_away_nobody_is_told_that_anything_was_done(
    site: Site, workers: int
) -> None:
    await site.enable(ADMIN)
    await site.redis.command("HSET", f"sidecar:account:default:{ADMIN}", "groups", "admin")
    async with office(site, workers) as found:
        admin = Office(site, found.sidecar, site.token(sub=ADMIN))

        async def answers(code: int) -> bool:
            return (await admin.ask("GET", "/api/streams"))[0] == code

        await until_async(lambda: answers(200))
        await site.redis.kill()

        posted = {"subject": SUBJECT, "status": "active"}
        assert (await found.ask("POST", "/api/serviceaccounts", posted))[0] == 503
        assert (await found.ask("GET", "/api/audit"))[0] == 503
        # What the secret opens needs no account; a token does.
        assert (await found.ask("GET", "/api/streams"))[0] == 200
        await until_async(lambda: answers(503))


async def test_without_a_way_to_sign_in_there_is_no_api(site: Site, tmp_path: Path) -> None:
    async with running_sidecar(site.settings(), tmp_path) as sidecar:
        assert (await Office(site, sidecar).ask("GET", "/api/streams"))[0] == 404
