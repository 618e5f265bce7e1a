"""A pushed event, through the real process with several workers: the open stream is cut."""

import asyncio

import aiohttp
import pytest

from sidecar.adapters.clock import SystemClock
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.fakes.events import event
from tests.fakes.transmitter import fake_transmitter

pytestmark = pytest.mark.e2e

SECRET = "a secret of some length"


async def test_a_session_revoked_at_the_provider_ends_what_is_open_here(site: Site) -> None:
    secret = site.directory / "secret"
    secret.write_text(SECRET)
    await site.enable()
    token = site.token()
    async with fake_transmitter() as transmitter:
        receiver = {
            "name": "idp",
            "issuer": transmitter.issuer,
            "insecure_http": True,
            "audiences": ["https://sidecar.example"],
            "secret_file": str(secret),
            "subjects_of": [site.identity_provider.issuer],
            "opaque_subjects": True,
        }
        events = {"port": 0, "receivers": [receiver]}
        settings = site.settings(events=events, workers=2)
        async with running_sidecar(settings, site.directory) as sidecar:
            url = sidecar.url + "/api/sessions/1/stream"
            async with site.http.get(url, headers=bearer(token)) as stream:
                assert stream.status == 200
                now = int(SystemClock().now())
                claims = event(iat=now, sub_id={"format": "opaque", "id": SUBJECT})
                claims["events"] = {kind: {} for kind in claims["events"]}
                answer = await transmitter.push(
                    sidecar.urls["events"] + "/events/idp", SECRET, claims
                )
                assert answer == (202, b"")
                async with asyncio.timeout(5):
                    with pytest.raises(aiohttp.ClientError):
                        await stream.content.read()
            assert await status(site, sidecar, token) == 401
