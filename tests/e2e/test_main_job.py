"""The main job: a service account gets in and is shut out, through the real process."""

import asyncio
import json
from collections import Counter

import aiohttp
import pytest

from sidecar.demo.gateway import GatewayAccount
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import Sidecar, cli, running_sidecar
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e

DEMO_WS = {"name": "demo", "path": "/api/demo/ws", "websocket": True}


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


async def status(site: Site, sidecar: Sidecar, token: str, path: str = "/api/userinfo") -> int:
    async with site.http.get(sidecar.url + path, headers=bearer(token)) as response:
        await response.read()
        return response.status


async def test_an_account_is_created_gets_in_and_is_shut_out_by_command(site: Site) -> None:
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        config = ("--config", str(site.directory / "sidecar.yaml"))
        token = site.token()
        assert await status(site, sidecar, token) == 401

        code, out, err = await cli(
            *("account", "create", SUBJECT, "--groups", "devops,ops"),
            *("--name", "Api User", *config),
        )
        assert (code, out.strip()) == (0, f"service account {SUBJECT} created"), err
        async with site.http.get(sidecar.url + "/api/userinfo", headers=bearer(token)) as response:
            assert response.status == 200
            assert (await response.json())["groups"] == ["devops", "ops"]
            assert response.headers["Server"].startswith("hoopgateway/")

        code, out, err = await cli("account", "disable", SUBJECT, *config)
        assert code == 0, err
        assert await status(site, sidecar, token) == 401
        await until(lambda: sidecar.decisions[-1]["reason"] == "subject_inactive")

        code, _, err = await cli("account", "enable", SUBJECT, *config)
        assert code == 0, err
        assert await status(site, sidecar, token) == 200


async def test_a_refusal_tells_the_client_nothing_and_the_log_everything(site: Site) -> None:
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        expired = site.token(exp=1)
        bodies = []
        for token in (expired, site.token(), "garbage"):
            async with site.http.get(
                sidecar.url + "/api/userinfo", headers=bearer(token)
            ) as response:
                assert response.status == 401
                assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
                assert response.headers["Cache-Control"] == "no-store"
                body = await response.json()
                del body["request_id"]
                bodies.append(body)

        assert bodies == [{"message": "access denied", "error": "invalid_token"}] * 3
        await until(lambda: len(sidecar.decisions) == 3)
        assert [line["reason"] for line in sidecar.decisions] == [
            "token_expired",
            "subject_unknown",
            "token_unreadable",
        ]


async def test_upstream_hears_who_is_calling_from_us_alone(site: Site) -> None:
    await site.enable()
    spoofed = {
        "X-Auth-Subject": "root",
        "x_auth_groups": "admin",
        "X.Auth.Name": "Root",
        "Api-Key": "xapi-stolen",
    }
    async with (
        running_sidecar(site.settings(), site.directory) as sidecar,
        site.http.get(
            sidecar.url + "/api/userinfo", headers=bearer(site.token(), **spoofed)
        ) as response,
    ):
        assert response.status == 200

    received = site.gateway.requests[-1].headers
    folded: dict[str, list[str]] = {}
    for name, value in received:
        folded.setdefault(name.lower().replace("_", "-").replace(".", "-"), []).append(value)
    assert folded["x-auth-subject"] == [SUBJECT]
    assert folded["x-auth-groups"] == ["devops,ops"]
    assert folded["x-auth-name"] == ["Api User"]
    assert folded["api-key"] == [""]
    assert folded["authorization"][0].startswith("Bearer ey")


async def test_a_disabled_account_loses_its_open_event_stream(site: Site) -> None:
    await site.enable()
    async with (
        running_sidecar(site.settings(), site.directory) as sidecar,
        site.http.get(
            sidecar.url + "/api/sessions/1/stream", headers=bearer(site.token())
        ) as response,
    ):
        assert response.status == 200
        assert (await response.content.readline()).startswith(b": connected")

        await site.disable()

        # An aborted body, not an end that looks complete.
        with pytest.raises(aiohttp.ClientError):
            async with asyncio.timeout(5):
                await response.content.read()


async def test_a_disabled_account_loses_its_open_websocket(site: Site) -> None:
    await site.enable()
    async with (
        running_sidecar(site.settings(routes=[DEMO_WS]), site.directory) as sidecar,
        site.http.ws_connect(
            sidecar.url + "/api/demo/ws", headers=bearer(site.token())
        ) as websocket,
    ):
        await websocket.send_str("hello")
        async with asyncio.timeout(5):
            while (await websocket.receive()).data != "hello":
                pass

        await site.disable()

        async with asyncio.timeout(5):
            while not websocket.closed:
                await websocket.receive()
        assert websocket.close_code == 1008


async def test_other_accounts_streams_go_on_when_one_is_disabled(site: Site) -> None:
    await site.enable()
    await site.enable("other")
    other = site.identity_provider.issue(SUBJECT, aud=AUDIENCE, sub="other")
    site.gateway.accounts["other"] = GatewayAccount("other", "Other", ())
    async with (
        running_sidecar(site.settings(), site.directory) as sidecar,
        site.http.get(sidecar.url + "/api/sessions/1/stream", headers=bearer(other)) as staying,
        site.http.get(
            sidecar.url + "/api/sessions/1/stream", headers=bearer(site.token())
        ) as leaving,
    ):
        await site.disable()
        with pytest.raises(aiohttp.ClientError):
            await leaving.content.read()

        for _ in range(6):
            assert await staying.content.readline()


async def test_an_expired_token_ends_its_stream(site: Site) -> None:
    await site.enable()
    async with (
        running_sidecar(site.settings(), site.directory) as sidecar,
        site.http.get(
            sidecar.url + "/api/sessions/1/stream", headers=bearer(site.token(lifetime=2))
        ) as response,
    ):
        assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            async with asyncio.timeout(10):
                await response.content.read()


async def test_open_routes_pass_without_a_bearer_and_everything_else_does_not(site: Site) -> None:
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        async with site.http.get(sidecar.url + "/api/healthz") as response:
            assert response.status == 200
        async with site.http.options(sidecar.url + "/api/userinfo") as response:
            assert response.status == 204
        async with site.http.get(sidecar.url + "/api/userinfo") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="sidecar"'
        async with site.http.get(sidecar.url + "/api/healthz/..;/userinfo") as response:
            assert response.status == 400


async def test_a_new_key_is_fetched_when_its_first_token_comes(site: Site) -> None:
    await site.enable()
    settings = site.settings(keys={"cool_down": 0.5})
    async with running_sidecar(settings, site.directory) as sidecar:
        assert await status(site, sidecar, site.token()) == 200

        site.identity_provider.rotate()

        statuses: list[int] = []
        async with asyncio.timeout(10):
            while not (statuses and statuses[-1] == 200):
                statuses.append(await status(site, sidecar, site.token()))
                await asyncio.sleep(0.05)
        # While the cool-down runs it is "not now", never "your token is bad".
        assert set(statuses[:-1]) <= {503}


async def test_a_rotation_under_load_refuses_no_good_token(site: Site) -> None:
    """K2: the first tokens of a new key wait for its fetch, and are not even told to try again."""
    await site.enable()
    seen: Counter[int] = Counter()
    done = asyncio.Event()

    async def ask_on(sidecar: Sidecar) -> None:
        while not done.is_set():
            seen[await status(site, sidecar, site.token())] += 1

    async with (
        running_sidecar(site.settings(), site.directory) as sidecar,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(8):
            tasks.create_task(ask_on(sidecar))
        await until(lambda: seen.total() > 50)
        site.identity_provider.rotate()
        before = seen.total()
        await until(lambda: seen.total() > before + 100)
        done.set()

    assert set(seen) == {200}
    assert len(site.identity_provider.kids) == 2


async def test_explain_says_step_by_step_why(site: Site) -> None:
    async with running_sidecar(site.settings(), site.directory):
        code, out, err = await cli(
            *("explain", "GET /api/userinfo", "--token-file", "-"),
            *("--config", str(site.directory / "sidecar.yaml")),
            stdin=site.token(),
        )

    assert code == 1, err
    assert "subject_unknown" in out
    assert "eyJ" not in out + err


async def test_no_token_reaches_any_output(site: Site) -> None:
    await site.enable()
    token = site.token()
    async with running_sidecar(site.settings(log={"level": "debug"}), site.directory) as sidecar:
        await status(site, sidecar, token)
        await status(site, sidecar, token, "/api/userinfo?access_token=" + token)
        await status(site, sidecar, token + "x")
        async with site.http.get(sidecar.admin_url + "/metrics") as response:
            metrics = await response.text()

    everything = "".join(sidecar.output) + metrics
    assert token.split(".")[1] not in everything
    assert len(sidecar.decisions) == 3


async def test_the_cli_lists_accounts_as_json(site: Site) -> None:
    await site.enable()
    (site.directory / "sidecar.yaml").write_text(json.dumps(site.settings()))

    code, out, err = await cli(
        *("account", "list", "-o", "json", "--config", str(site.directory / "sidecar.yaml"))
    )

    assert code == 0, err
    assert [account["subject"] for account in json.loads(out)] == [SUBJECT]
