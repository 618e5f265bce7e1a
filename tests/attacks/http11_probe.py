"""Messages of public suites: one connection each, and a suite's verdict on what became of it.

The model of an upstream answers as a careful origin server does, so that what is judged is us.
"""

import asyncio
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.front import read_all
from tests.fakes.recording_upstream import Recorded

TABLE, GARDEN = (
    tomllib.loads(Path(__file__).with_name(name).read_text())
    for name in ("http11_probe.toml", "garden.toml")
)
GET = "GET / HTTP/1.1\r\nHost: sidecar.example\r\n"
POST = GET.replace("GET", "POST")
AFTER = b"GET /after HTTP/1.1\r\nHost: sidecar.example\r\nConnection: close\r\n\r\n"
PLACEHOLDERS = {
    "{get}": GET,
    "{post}": POST,
    "{chunked}": POST + "Transfer-Encoding: chunked\r\n\r\n",
    "{second}": GET + "\r\n",
    "{crowd}": "".join(f"X-H-{number}: value\r\n" for number in range(10_000)),
}
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
_MANY = re.compile(r"\{([Aa]):(\d+)\}")
_STATUS_LINE = re.compile(rb"(?:\A|\r\n|(?<=[^\r\n]))HTTP/\d\.\d (\d{3}) ")


@dataclass(frozen=True)
class Case:
    """``octets`` are sent; then the client ends its side, unless the message is ``whole``."""

    id: str
    octets: bytes
    whole: bool
    fails: tuple[str, ...]
    passes: tuple[str, ...]
    warns: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Say whether the suite takes nothing for an answer but a refusal."""
        return not {"any", "2xx", "2xx closed"}.intersection((*self.passes, *self.warns)) and (
            "400" in self.passes
        )

    @property
    def is_of_chunks(self) -> bool:
        """Say whether the head is good, and it is a chunk that is not."""
        return self.octets.startswith(PLACEHOLDERS["{chunked}"].encode())

    def judge(self, labels: set[str]) -> str:
        """Return the suite's verdict: pass, warn or fail."""
        verdicts = (("fail", self.fails), ("pass", self.passes), ("warn", self.warns))
        return next((name for name, each in verdicts if labels.intersection(each)), "fail")


def cases(table: Mapping[str, Any]) -> Iterator[Case]:
    for group in table["group"]:
        rules = [tuple(group.get(name, ())) for name in ("fail", "pass", "warn")]
        for name, text in group["sends"].items():
            yield Case(name, _octets(text), group.get("whole", True), *rules)


def differences() -> dict[str, str]:
    """Return our reason for each case that is a warning, by its id."""
    found: dict[str, str] = {}
    for group in TABLE["group"]:
        found |= group.get("differs", {})
    return found


def _octets(text: str) -> bytes:
    for placeholder, meant in PLACEHOLDERS.items():
        text = text.replace(placeholder, meant)
    return _MANY.sub(lambda many: many[1] * int(many[2]), text).encode("latin-1")


def answer(request: Recorded, number: int) -> bytes:
    """Answer as a careful origin server: an echo of a body, and at ``/echo`` of the fields."""
    allow = "Allow: GET, HEAD, POST, OPTIONS"
    if request.method == "OPTIONS":
        return _response("204 No Content", number, [allow], None)
    if request.method not in ("GET", "HEAD", "POST"):
        return _response("405 Method Not Allowed", number, [allow], b"")
    upgrade = [value for _, value in request.values("upgrade")]
    version = [value for _, value in request.values("sec-websocket-version")]
    if upgrade and version != ["13"]:
        return _response("426 Upgrade Required", number, ["Sec-WebSocket-Version: 13"], b"")
    body = request.body or b"OK"
    if request.target == "/echo":
        body = "".join(f"{name}: {value}\r\n" for name, value in request.fields).encode("latin-1")
    told = [f"Content-Length: {len(body)}"] if request.method == "HEAD" else []
    return _response("200 OK", number, told, None if request.method == "HEAD" else body)


def _response(status: str, number: int, fields: list[str], body: bytes | None) -> bytes:
    told = [f"HTTP/1.1 {status}", f"Date: {DATE.decode()}", f"X-Number: {number}", *fields]
    if body is not None:
        told += ["Content-Type: text/plain", f"Content-Length: {len(body)}"]
    return "\r\n".join([*told, "", ""]).encode() + (body or b"")


@dataclass(frozen=True)
class Heard:
    """What came back. ``closed``: the server ended the connection behind its answer."""

    first: bytes
    rest: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(each) for each in _STATUS_LINE.findall(self.first + self.rest)]

    def labels(self) -> set[str]:
        """Return all that the table may say of it."""
        if not self.first:
            return {"close" if self.closed else "silence"}
        head, _, body = self.first.partition(b"\r\n\r\n")
        status = head.split(b" ")[1].decode()
        names = {line.partition(b":")[0].decode() for line in head.split(b"\r\n")[1:]}
        kinds = (status, f"{status[0]}xx")
        labels = {"any", *kinds} | {f"{kind} {name}" for kind in kinds for name in names}
        labels |= {
            f"{status} without {name}" for name in ("Allow", "Content-Length") if name not in names
        }
        labels |= {
            f"{kind} {text}" for kind in kinds for text in [body.decode("latin-1") or "empty"]
        }
        labels |= {f"{kinds[1]} {line}" for line in body.decode("latin-1").split("\r\n") if line}
        if self.closed:
            labels.add(f"{kinds[1]} closed")
        if len(self.statuses) > (1 if self.closed else 2):
            labels.add("several")
        return labels


async def hear(address: tuple[str, int], case: Case) -> Heard:
    """Send a case's octets, hear the answer, and ask again where the connection is kept.

    That second answer is in ``rest``: it must be one of ``/after`` alone.
    """
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(case.octets)
        if not case.whole:
            writer.write_eof()
        async with asyncio.timeout(5):
            first = await _one_answer(reader, is_head=case.octets.startswith(b"HEAD"))
            if not first or b"\r\nconnection: close\r\n" in first.lower():
                return Heard(first, await read_all(reader), closed=True)
            writer.write(AFTER)
            return Heard(first, await read_all(reader), closed=False)
    except TimeoutError:
        return Heard(b"", b"", closed=False)
    finally:
        writer.close()


async def _one_answer(reader: asyncio.StreamReader, *, is_head: bool) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head.lower())
        if is_head or length is None:
            return head
        return head + await reader.readexactly(int(length[1]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
