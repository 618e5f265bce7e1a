"""An opaque token through the real process: in, and out at once when its account is disabled."""

import asyncio

import aiohttp
import pytest

from sidecar.demo.gateway import Gateway, GatewayAccount
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.e2e.test_workers import metric
from tests.fakes.introspection import introspection_server

pytestmark = pytest.mark.e2e

ACCOUNT = GatewayAccount(SUBJECT, "Api User", ("devops",))


async def its_own(token: str) -> str | None:
    """Verify as a gateway does that knows the opaque token too."""
    return SUBJECT if token == "opaque" else None


async def test_an_opaque_token_is_good_until_its_account_is_disabled(site: Site) -> None:
    secret = site.directory / "secret"
    secret.write_text("our secret")
    await site.enable()
    async with introspection_server() as server, Gateway(its_own, [ACCOUNT]) as gateway:
        server.active["opaque"] = {"sub": SUBJECT, "aud": AUDIENCE, "exp": 4_000_000_000}
        issuers = [
            {
                "issuer": server.issuer,
                "audiences": [AUDIENCE],
                "insecure_http": True,
                "introspection": {
                    "client_id": "sidecar",
                    "secret_file": str(secret),
                    "tokens": "opaque_only",
                },
            }
        ]
        async with running_sidecar(
            site.settings(issuers=issuers, upstream={"url": gateway.url}), site.directory
        ) as sidecar:
            assert await status(site, sidecar, "unknown") == 401
            url = sidecar.url + "/api/sessions/1/stream"
            async with site.http.get(url, headers=bearer("opaque")) as stream:
                assert stream.status == 200
                await site.disable()
                async with asyncio.timeout(5):
                    with pytest.raises(aiohttp.ClientError):
                        await stream.content.read()

            assert await status(site, sidecar, "opaque") == 401
            questions = await metric(site, sidecar, "sidecar_introspection_seconds_count")

    assert len(server.forms) == questions == 2
