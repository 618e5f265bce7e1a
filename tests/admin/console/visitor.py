"""A browser without a script: it keeps cookies, follows redirects, reads forms and posts them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import aiohttp
from typing_extensions import override

from sidecar.core.decision import Grant
from sidecar.ports import StreamKind
from sidecar.streams import Stream
from tests.admin.office import SECRET, Office


class Read(HTMLParser):
    """What a page has: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    @override
    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for each, attributes in self.elements if each == tag]


@dataclass
class Answer:
    status: int
    headers: Any
    html: str
    page: Read = field(init=False)

    def __post_init__(self) -> None:
        self.page = Read(self.html)


class Browsing:
    """Visits the console at ``url`` by ``http``, which keeps the cookies."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.csrf = ""

    async def get(self, path: str, *, follow: bool = True, **headers: str) -> Answer:
        url = self.url + path
        async with self.http.get(url, headers=headers, allow_redirects=follow) as response:
            answer = Answer(response.status, response.headers, await response.text())
        self._remember(answer)
        return answer

    async def post(
        self, path: str, fields: dict[str, str], *, follow: bool = True, **headers: str
    ) -> Answer:
        """Post a form as a browser does from a page of the console, with the session's token."""
        headers = {
            "Origin": self.url,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        async with self.http.post(
            self.url + path,
            data=urlencode({"csrf": self.csrf, **fields}),
            headers={name: value for name, value in headers.items() if value},
            allow_redirects=follow,
        ) as response:
            answer = Answer(response.status, response.headers, await response.text())
        self._remember(answer)
        return answer

    async def sign_in(self, credential: str = SECRET) -> Answer:
        return await self.post("/console/sign-in", {"credential": credential})

    def _remember(self, answer: Answer) -> None:
        tokens = [each["value"] for each in answer.page.all("input") if each.get("name") == "csrf"]
        self.csrf = tokens[0] if tokens else self.csrf


class Visitor(Browsing):
    """Visits the console of ``office``."""

    def __init__(self, office: Office, http: aiohttp.ClientSession) -> None:
        super().__init__(office.url, http)
        self.office = office


@asynccontextmanager
async def visiting(office: Office | None = None) -> AsyncIterator[Visitor]:
    """Give somebody who is not signed in."""
    async with (
        (office or Office()).listening() as found,
        # Cookies of an address count, as they do in a browser.
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        yield Visitor(found, http)


@asynccontextmanager
async def signed_in(
    office: Office | None = None, credential: str = SECRET
) -> AsyncIterator[Visitor]:
    """Give somebody who is."""
    async with visiting(office) as visitor:
        assert (await visitor.sign_in(credential)).status == 200
        yield visitor


def open_stream(
    office: Office, subject: str = "robot", kind: StreamKind = StreamKind.HTTP
) -> Stream:
    """Book a stream of the subject; whoever has it takes it off."""
    decision = office.world.ask("GET", "/api/", token=office.world.sign(sub=subject))
    assert isinstance(decision, Grant)
    return office.streams.registered(decision, kind, lambda _: None)
