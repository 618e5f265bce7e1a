"""A real Chromium, headless, that shows what goes wrong on a page.

Where there is none the tests are skipped, and say so; where ``REQUIRE_BROWSER`` is set, as in CI,
that is a failure.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Return where it is; skip the test, or fail it, without it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "chromium is not installed: the console is NOT TESTED in a browser"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """A page, and everything that the browser complained of: errors, refused loads, violations."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    async def overflows(self) -> bool:
        """Say whether the page scrolls sideways."""
        return bool(
            await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        )


@asynccontextmanager
async def tab(browser: Browser, **options: object) -> AsyncIterator[Tab]:
    """Open a tab with cookies of its own; what the browser complains of fails the test."""
    context: BrowserContext = await browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    try:
        opened = Tab(await context.new_page())
        yield opened
        assert opened.complaints == []
    finally:
        await context.close()
