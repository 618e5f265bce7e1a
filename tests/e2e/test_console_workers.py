"""The console of the real process: with two workers their parent shows both, and after a reload."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from tests.admin.console.visitor import Browsing
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_admin_api import SECRET, events_of, office
from tests.e2e.test_reloading import reload
from tests.e2e.test_workers import ask_all, pids
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

FIELDS = {"realm": "default", "subject": SUBJECT}
ACCOUNT = f"/console/account?realm=default&subject={SUBJECT}"


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browsing]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Browsing(url, http)


async def test_streams_of_all_workers_are_seen_and_are_over_when_it_says_so(site: Site) -> None:
    await site.enable()
    async with (
        office(site, 2) as found,
        browsing(found.sidecar.admin_url) as visitor,
        AsyncExitStack() as stack,
    ):
        assert (await visitor.sign_in(SECRET)).status == 200
        streams = [
            await stack.enter_async_context(events_of(found, site.token())) for _ in range(8)
        ]
        assert await ask_all(site, found.sidecar, site.token()) == {200}
        listed = (await visitor.get("/console/")).page.text
        assert f"{SUBJECT} Api User active devops ops" in listed
        assert " 8 " in listed[listed.index(SUBJECT) :]

        done = await visitor.post("/console/account/disable", FIELDS)

        assert "Disabled. All of its 8 open streams ended within" in done.page.text
        assert "8 ended a moment ago" in done.page.text
        for each in streams:
            with pytest.raises(aiohttp.ClientError):
                await each.content.read()
        await until(lambda: found.logged_actions() == ["disable"])

        async def are_both_there() -> bool:
            words = (await visitor.get("/console/health")).page.text
            return all(f"{pid} live" in words for pid in pids(found.sidecar))

        await until_async(are_both_there)
        words = (await visitor.get("/console/decisions?outcome=granted")).page.text
        assert "/api/sessions/1/stream" in words


async def test_a_reload_ends_sessions_and_may_take_the_console_away(site: Site) -> None:
    secret_file = site.directory / "secret"
    secret_file.write_text(SECRET)
    settings = site.settings(workers=2)
    settings["admin"] = {**settings["admin"], "secret_file": str(secret_file)}
    async with (
        running_sidecar(settings, site.directory) as sidecar,
        browsing(sidecar.admin_url) as visitor,
    ):
        assert (await visitor.sign_in(SECRET)).status == 200
        await reload(sidecar, site.directory, settings)
        assert "Sign in" in (await visitor.get("/console/")).page.text
        assert (await visitor.sign_in(SECRET)).status == 200

        admin = {**settings["admin"], "console": False}
        await reload(sidecar, site.directory, {**settings, "admin": admin})
        assert (await visitor.get("/console/")).status == 404


async def test_while_redis_is_away_that_is_said_and_nobody_is_signed_out(site: Site) -> None:
    await site.enable()
    async with office(site, 1) as found, browsing(found.sidecar.admin_url) as visitor:
        assert (await visitor.sign_in(SECRET)).status == 200
        await site.redis.kill()

        assert (await visitor.get(ACCOUNT)).status == 503

        async def is_said() -> bool:
            words = (await visitor.get("/console/health")).page.text
            return "The account view is not live" in words

        await until_async(is_said)
