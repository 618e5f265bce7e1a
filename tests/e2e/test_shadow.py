"""A roll-out on a gateway that serves already: nothing is enforced, the report says what would be.

One process for all of it: each start costs a second.
"""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from sidecar.cli.main import cli
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

SPOOFED = {"X-Auth-Subject": "root", "x_auth_groups": "admin", "Api-Key": "xapi-stolen"}
ENFORCED = {"name": "enforced", "path": "/api/serviceaccounts", "shadow": False}


async def status(
    site: Site, sidecar: Sidecar, path: str, method: str = "GET", **headers: str
) -> int:
    async with site.http.request(method, sidecar.url + path, headers=headers) as response:
        await response.read()
        return response.status


def received(site: Site) -> dict[str, list[str]]:
    """Return what the gateway was told last, by name as a lenient program reads it."""
    folded: dict[str, list[str]] = {}
    for name, value in site.gateway.requests[-1].headers:
        folded.setdefault(name.lower().replace("_", "-"), []).append(value)
    return folded


async def test_a_gateway_that_serves_goes_on_and_the_report_says_what_would_be_refused(
    site: Site,
) -> None:
    settings = site.settings(shadow=True, shadow_unmatched=True, routes=[ENFORCED])
    token = site.token()
    async with running_sidecar(settings, site.directory) as sidecar:
        # No account yet: the gateway lets it in by itself, and hears of nobody from us.
        assert await status(site, sidecar, "/api/userinfo", **bearer(token, **SPOOFED)) == 200
        told = received(site)
        assert told["x-auth-subject"] == told["x-auth-groups"] == told["api-key"] == [""]
        assert told["authorization"] == [f"Bearer {token}"]
        # No token: the refusal is the gateway's own.
        assert await status(site, sidecar, "/api/userinfo") == 401
        assert received(site)["x-auth-subject"] == [""]
        assert await status(site, sidecar, "/nowhere", "POST") == 404
        # Enforced all the same: a route that says so, and what cannot be read in one way.
        seen = len(site.gateway.requests)
        assert await status(site, sidecar, "/api/serviceaccounts", **bearer(token)) == 401
        assert await status(site, sidecar, "/api/x%2f..%2fuserinfo", **bearer(token)) == 400
        assert len(site.gateway.requests) == seen

        await site.enable()
        await grants(site, sidecar, token)
        await spares_an_open_stream(site, sidecar, token)
        await says_that_it_is_on(site, sidecar)

    found = report(site, sidecar)
    # More where a request came before the news of its account: the sum has to be right.
    assert found["would_be_refused"] == sum(by_reason(found).values())
    assert found["refused"] == 2
    assert found["granted"] >= 2
    assert found["streams_would_be_cut"] == {"revoked": 1}
    assert by_reason(found)["subject_unknown"] >= 1
    assert by_reason(found)["no_credentials"] == by_reason(found)["no_route"] == 1
    [account] = [each for each in found["callers"] if each["subject"] == SUBJECT]
    assert account["command"] == f"sidecar account create --realm=default -- {SUBJECT}"
    assert found["ready"] is False


def by_reason(found: Any) -> dict[str, int]:
    return {each["reason"]: each["would_be_refused"] for each in found["reasons"]}


async def grants(site: Site, sidecar: Sidecar, token: str) -> None:
    async def is_granted() -> bool:
        assert await status(site, sidecar, "/api/userinfo", **bearer(token)) == 200
        return received(site)["x-auth-subject"] == [SUBJECT]

    await until_async(is_granted)


async def spares_an_open_stream(site: Site, sidecar: Sidecar, token: str) -> None:
    url = sidecar.url + "/api/sessions/1/stream"
    async with site.http.get(url, headers=bearer(token)) as response:
        assert (await response.content.readline()).startswith(b": connected")
        await site.disable()
        await until(lambda: any(each["event"] == "cut" for each in sidecar.decisions))
        assert sidecar.decisions[-1]["subject"] == SUBJECT
        while not (await response.content.readline()).startswith(b"data:"):
            pass


async def says_that_it_is_on(site: Site, sidecar: Sidecar) -> None:
    async with site.http.get(sidecar.admin_url + "/readyz") as response:
        assert (await response.json())["shadow_routes"] > 10
    async with site.http.get(sidecar.admin_url + "/metrics") as response:
        metrics = await response.text()
    assert 'sidecar_shadow_denials_total{reason="subject_unknown"} 0.0' not in metrics
    assert 'sidecar_shadow_cuts_total{reason="revoked"} 1.0' in metrics
    assert "sidecar_shadow_routes 0.0" not in metrics
    assert "NOTHING IS ENFORCED" in "".join(sidecar.output)


def report(site: Site, sidecar: Sidecar) -> Any:
    """Return what the command makes of all that the process has written."""
    log = site.directory / "sidecar.log"
    log.write_text("".join(sidecar.output))
    result = CliRunner().invoke(cli, ["report", "-o", "json", "--fail-on-refusals", str(log)])
    assert result.exit_code == 1
    return json.loads(result.stdout)
