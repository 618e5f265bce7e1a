"""No header of a client's changes what is decided, who it is, or what upstream is asked.

Each of 1,200 names that some program takes to heart, and each protected one in every disguise.
"""

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.disguises import disguises
from tests.attacks.test_framing import PROTECTED, admin, problems_of_identity
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.recording_upstream import Recorded, RecordingUpstream, fold, recording_upstream

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("header_names.toml").read_text())
TARGET = "/admin/x?y=1"
VALUES = ("root", "127.0.0.1", "/admin/other")
# What tells the message's end, whom it is for or who asks: with such a value it is refused.
TELLING = {"authorization", "content-length", "expect", "host", "transfer-encoding"}
OF_PROXIES = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP")
OVERRIDES = ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override")
SENTINEL = "evil"


def names() -> list[str]:
    built = [a + b for a in TABLE["before"].split() for b in TABLE["behind"].split()]
    every = [*TABLE["registered"].split(), *TABLE["known"].split(), *built]
    return list({name.lower(): name for name in every}.values())


def problems_of(request: Recorded) -> Iterator[str]:
    """Say where what upstream got is not what was asked by whom it was asked."""
    if (request.method, request.target, request.body) != ("GET", TARGET, b""):
        yield f"{request.method} {request.target} {request.body!r}"
    if [value for _, value in request.values("host")] != ["sidecar.example"]:
        yield f"host {request.values('host')}"
    if len(request.values("authorization")) != 1:
        yield "not one credential"
    if [value for _, value in request.values("x-forwarded-for")] != ["127.0.0.1"]:
        yield f"the client is {request.values('x-forwarded-for')}"
    yield from problems_of_identity(request.fields)


class Client:
    """Asks on one connection for as long as that is kept."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, octets: bytes) -> int:
        """Return the status of the answer, or 0 where there is none."""
        if self._stream is None:
            self._stream = await asyncio.open_connection(*self._front.address)
        reader, writer = self._stream
        writer.write(octets)
        async with asyncio.timeout(5):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                return 0
            length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        if b"\r\nconnection: close\r\n" in head.lower():
            self.close()
        return status_of(head)

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


async def wrong_with(
    name: str, client: Client, upstream: RecordingUpstream, good: bytes, none: bytes
) -> list[str]:
    """Try a name, with a token and without; return what it changed."""
    wrong = []
    for value in VALUES:
        field = f"{name}: {value}\r\n\r\n".encode()
        upstream.forget()
        status = await client.ask(good + field)
        wrong += [each for request in upstream.requests for each in problems_of(request)]
        refused = 200 if name.lower() not in TELLING else 417 if name == "Expect" else 400
        if status != refused or len(upstream.requests) != (status == 200):
            wrong.append(f"{value}: {status}, {len(upstream.requests)} upstream")
        wrong += upstream.problems
    upstream.forget()
    status = await client.ask(none + f"{name}: {VALUES[0]}\r\n\r\n".encode())
    if status not in (400, 401, 417) or upstream.requests:
        wrong.append(f"no token: {status}, {len(upstream.requests)} upstream")
    return [f"{name}: {each}" for each in wrong]


async def test_no_name_changes_the_verdict_the_identity_or_the_question(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = []
    async with (
        recording_upstream() as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        client = Client(front)
        good = front.request(f"GET {TARGET} HTTP/1.1").removesuffix(b"\r\n")
        none = good.replace(front.bearer() + b"\r\n", b"")
        for name in names():
            wrong += await wrong_with(name, client, upstream, good, none)
        client.close()

    with capsys.disabled():
        print(f"\nheader names: {len(names())} x {len(VALUES)}, {len(wrong)} changes")  # noqa: T201
    assert not wrong, "\n".join(wrong)
    assert len(names()) > 1219
    assert none != good


@pytest.mark.parametrize("kind", ["identity", "of proxies", "overrides", "telling"])
async def test_no_disguise_of_a_protected_header_reaches_upstream(kind: str) -> None:
    of_kind = {
        "identity": PROTECTED, "of proxies": OF_PROXIES, "overrides": OVERRIDES,
        "telling": ("Host", "Authorization", "Content-Length", "Transfer-Encoding"),
    }[kind]  # fmt: skip
    wrong = []
    async with (
        recording_upstream() as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        good = front.request(f"GET {TARGET} HTTP/1.1").removesuffix(b"\r\n")
        for name in of_kind:
            for number, lines in enumerate(disguises(name.encode(), SENTINEL.encode())):
                upstream.forget()
                answer = await front.say(good + lines + b"\r\n\r\n")
                found = [each for request in upstream.requests for each in problems_of(request)]
                found += upstream.problems
                found += [
                    f"upstream hears of {each}"
                    for request in upstream.requests
                    for each in request.values(fold(name))
                    if SENTINEL in each[1]
                ]
                if len(upstream.requests) != answer.startswith(b"HTTP/1.1 200"):
                    found.append(f"{len(upstream.requests)} upstream, answered {answer[:20]!r}")
                wrong += [f"{name}, {number}: {lines!r}: {each}" for each in found]

    assert not wrong, "\n".join(wrong)


def test_there_are_38_disguises_and_each_is_another() -> None:
    found = list(disguises(b"X-Name", b"value"))

    assert len(found) == len(set(found)) == 38
