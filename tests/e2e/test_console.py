"""The console of the real process in a real browser: seen, used by keyboard, and without a script.

One sidecar and one browser serve the whole module.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from tests.e2e.browser import Tab, chromium, find_chromium, tab
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.fakes.waiting import until_async

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SECRET = "a-secret-of-some-length"
OTHER = "robot-01"
BOSS = "boss"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"
PHONE = {"viewport": {"width": 390, "height": 844}}
PAGES = ("/console/", "/console/decisions", "/console/health", "/console/changes")
ACCOUNT = f"/console/account?realm=default&subject={SUBJECT}"


@dataclass
class World:
    site: Site
    sidecar: Sidecar
    browser: Browser
    cookies: Any = None

    def url(self, path: str) -> str:
        return self.sidecar.admin_url + path

    @asynccontextmanager
    async def signing_in(self, credential: str = SECRET, **options: object) -> AsyncIterator[Tab]:
        """Give a tab of somebody who has just signed in."""
        async with tab(self.browser, **options) as opened:
            await opened.page.goto(self.url("/"))
            await opened.page.get_by_label("Admin secret or access token").fill(credential)
            await opened.page.get_by_role("button", name="Sign in").click()
            await expect(opened.page.get_by_role("heading", name="Accounts")).to_be_visible()
            yield opened

    @asynccontextmanager
    async def signed_in(self, path: str = "/console/", **options: object) -> AsyncIterator[Tab]:
        """Give a tab of somebody who has signed in once, for all who do not sign out."""
        if self.cookies is None:
            async with self.signing_in() as first:
                self.cookies = await first.page.context.storage_state()
        async with tab(self.browser, storage_state=self.cookies, **options) as opened:
            await opened.page.goto(self.url(path))
            yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    find_chromium()
    directory = tmp_path_factory.mktemp("console")
    clients = [Client(SUBJECT, "a secret", SUBJECT, ("read",))]
    async with (
        IdentityProvider(clients, audiences=(AUDIENCE,)) as identity_provider,
        RedisServer() as redis,
        Gateway(identity_provider_verifier(identity_provider.jwks_url)) as gateway,
        aiohttp.ClientSession() as http,
    ):
        site = Site(identity_provider, redis, gateway, http, directory)
        for subject in (SUBJECT, OTHER, BOSS):
            gateway.accounts[subject] = GatewayAccount(subject, subject, ())
            await site.enable(subject)
        await redis.command("HSET", f"sidecar:account:default:{BOSS}", "groups", "admin")
        for number in range(60):
            await site.enable(f"robot-{number:02}")
        key = f"sidecar:account:default:0{HOSTILE}"
        fields = ("status", "active", "name", "<script>alert(1)</script>" + "x" * 9999)
        await redis.command("HSET", key, *fields)
        async with (
            running_sidecar(_settings(site, directory), directory) as sidecar,
            chromium() as browser,
        ):
            yield World(site, sidecar, browser)


def _settings(site: Site, directory: Path) -> dict[str, object]:
    secret_file = directory / "secret"
    secret_file.write_text(SECRET)
    settings = site.settings()
    admin = {**settings["admin"], "secret_file": str(secret_file), "tokens": True}
    return {**settings, "admin": admin}


async def reenable(world: World, subject: str = SUBJECT) -> None:
    """Let the account in, and wait until it is."""
    await world.site.enable(subject)
    token = world.site.token(sub=subject)

    async def is_in() -> bool:
        return await status(world.site, world.sidecar, token) == 200

    await until_async(is_in)


@asynccontextmanager
async def event_stream(
    world: World, subject: str = SUBJECT
) -> AsyncIterator[aiohttp.ClientResponse]:
    url = f"{world.sidecar.url}/api/sessions/1/stream"
    headers = bearer(world.site.token(sub=subject))
    async with world.site.http.get(url, headers=headers) as response:
        assert response.status == 200
        await response.content.readline()
        yield response


async def is_cut(response: aiohttp.ClientResponse) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()


async def test_an_operator_disables_an_account_and_sees_its_stream_end(world: World) -> None:
    await reenable(world)
    async with event_stream(world) as stream, world.signed_in() as opened:
        page = opened.page
        await page.get_by_label("Subject, name or group").fill(SUBJECT)
        await page.get_by_role("button", name="Search").click()
        row = page.get_by_role("row").filter(has_text=SUBJECT)
        await expect(row).to_contain_text("active")
        await row.get_by_role("link").click()
        await expect(page.get_by_text("open", exact=True)).to_have_count(1)

        await page.get_by_role("button", name="Disable").click()

        await expect(page.get_by_role("status")).to_contain_text(
            "Disabled. Its open stream ended within"
        )
        await expect(page.get_by_text("ended", exact=True)).to_have_count(1)
        await expect(page.locator(".state")).to_contain_text("inactive")
        await is_cut(stream)
        assert await status(world.site, world.sidecar, world.site.token()) == 401


async def test_what_somebody_else_disables_ends_on_the_page_without_a_click(world: World) -> None:
    await reenable(world, OTHER)
    async with (
        event_stream(world, OTHER) as stream,
        world.signed_in(ACCOUNT.replace(SUBJECT, OTHER)) as opened,
    ):
        page = opened.page
        await expect(page.locator("[data-state]")).to_have_text("Live")
        await expect(page.get_by_text("open", exact=True)).to_have_count(1)

        await world.site.disable(OTHER)

        await expect(page.get_by_text("ended", exact=True)).to_have_count(1)
        await expect(page.locator(".state")).to_contain_text("inactive")
        await expect(page.locator("[data-say]")).to_have_text("One stream has ended.")
        await is_cut(stream)


async def test_decisions_appear_as_they_are_made_and_only_those_that_are_wanted(
    world: World,
) -> None:
    await reenable(world)
    async with world.signed_in("/console/health") as opened:
        page = opened.page
        await page.get_by_role("link", name="Decisions").click()
        await page.get_by_label("Verdict").select_option("denied")
        await page.get_by_label("Reason").select_option("token_expired")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("[data-state]")).to_have_text("Live")
        before = await page.locator("tbody tr:not([data-empty])").count()

        assert await status(world.site, world.sidecar, world.site.token()) == 200
        assert await status(world.site, world.sidecar, world.site.token(exp=1)) == 401

        rows = page.locator("tbody tr:not([data-empty])")
        await expect(rows).to_have_count(before + 1)
        await expect(rows.first).to_contain_text("denied")
        await expect(rows.first).to_contain_text("token_expired")

        await page.get_by_role("button", name="Pause").click()
        await expect(page.locator("[data-state]")).to_have_text("Paused")
        assert await status(world.site, world.sidecar, world.site.token(exp=1)) == 401
        await page.get_by_role("link", name="Refresh").click()
        await expect(rows).to_have_count(before + 2)


async def test_all_of_it_works_by_keyboard_alone(world: World) -> None:
    await reenable(world)
    async with tab(world.browser) as opened:
        page = opened.page
        await page.goto(world.url("/"))
        await page.keyboard.type(SECRET)  # the field has the focus
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Accounts")).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await reach(page, "Subject, name or group")
        await page.keyboard.type(SUBJECT)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**q=api-user**")
        await reach(page, SUBJECT)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name=SUBJECT)).to_be_visible()
        await reach(page, "Disable")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Disabled.")
        await reach(page, "Sign out")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def reach(page: Page, name: str) -> None:
    """Press Tab until what is called so has the focus."""
    label = "document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText"
    for _ in range(40):
        await page.keyboard.press("Tab")
        if (await page.evaluate(label)).strip() == name:
            return
    pytest.fail(f"the keyboard does not reach {name!r}")


async def test_nothing_keeps_people_out_who_do_not_see_or_see_little(world: World) -> None:
    await reenable(world)
    contrast = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}
    async with world.signed_in("/console/sign-in") as opened:
        few = ("/console/?q=robot-0", "/console/decisions?subject=nobody")
        for path in ("/console/sign-in", *few, *PAGES[2:], ACCOUNT):
            await opened.page.goto(world.url(path))
            found = await Axe().run(opened.page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        await opened.page.emulate_media(color_scheme="dark")
        for path in (few[0], ACCOUNT):
            await opened.page.goto(world.url(path))
            found = await Axe().run(opened.page, options=contrast)
            assert found.violations_count == 0, f"{path}: {found.generate_report()}"


async def test_a_narrow_page_does_not_scroll_sideways(world: World) -> None:
    async with world.signed_in("/console/", **PHONE) as opened:
        for path in (*PAGES, ACCOUNT, f"/console/?q={'x' * 200}", "/console/sign-in"):
            await opened.page.goto(world.url(path))
            assert not await opened.overflows(), path


async def test_what_somebody_wrote_into_the_store_is_seen_and_does_nothing(world: World) -> None:
    async with world.signed_in() as opened:
        row = opened.page.get_by_role("row").filter(has_text="onerror")
        await expect(row).to_contain_text("0<img src=x onerror=alert(1)>\\u202e")
        await expect(row).to_contain_text("<script>alert(1)</script>")
        assert await opened.page.locator("main img, main script").count() == 0


async def test_a_script_that_got_into_a_page_all_the_same_is_not_run(world: World) -> None:
    async with world.signed_in() as opened:
        await opened.page.evaluate(
            """() => new Promise((resolve) => {
                const script = document.createElement("script");
                script.textContent = "window.wasRun = true";
                document.body.append(script);
                const image = document.createElement("img");
                image.setAttribute("onerror", "window.wasRun = true");
                image.addEventListener("error", () => resolve());
                image.src = "/console/static/nothing.svg";
                document.body.append(image);
            })"""
        )
        assert await opened.page.evaluate("window.wasRun") is None
        assert any("Content Security Policy" in each for each in opened.complaints)
        opened.complaints.clear()


async def test_without_a_script_everything_can_be_seen_and_done(world: World) -> None:
    await reenable(world)
    async with world.signing_in(java_script_enabled=False) as opened:
        page = opened.page
        await page.get_by_role("link", name="Next").click()
        await expect(page.locator("caption")).to_contain_text("51 to 63 of 63")
        await page.goto(world.url(ACCOUNT))
        await page.get_by_role("button", name="Disable").click()
        await expect(page.get_by_role("status")).to_contain_text("Disabled.")
        await page.get_by_role("button", name="Enable").click()
        await expect(page.get_by_role("status")).to_contain_text("Enabled")
        await page.get_by_role("link", name="Health").click()
        await expect(page.get_by_role("heading", name="Health")).to_be_visible()
        await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        await page.get_by_role("button", name="Sign out").click()
        await page.goto(world.url("/console/health"))
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_an_admin_who_is_disabled_is_told_so_where_they_are(world: World) -> None:
    await world.site.enable(BOSS)
    await world.site.redis.command("HSET", f"sidecar:account:default:{BOSS}", "groups", "admin")
    async with world.signing_in(world.site.token(sub=BOSS)) as opened:
        page = opened.page
        await expect(page.get_by_text(f"admin: default/{BOSS}")).to_be_visible()
        await page.get_by_role("link", name="Health").click()
        await expect(page.locator("[data-state]")).to_have_text("Live")

        await world.site.disable(BOSS)

        await expect(page.locator("[data-state]")).to_contain_text("Signed out")
        await page.reload()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
