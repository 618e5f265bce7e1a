"""The answers of a broken or hostile upstream through the real front.

What cannot be read in one way is a 502 of ours, and what breaks off never looks complete. Nothing
of one answer is in another's: after each, somebody else asks.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.test_framing import SPELLINGS as OF_REQUESTS
from tests.fakes.front import Front, running_front
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.world import World

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("answers.toml").read_text("utf-8"))
SPELLINGS: dict[str, list[str]] = TABLE["spellings"]
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """An answer and what the client may get of it."""

    name: str
    octets: str
    expected: int | str
    reaches: str | None = None
    method: str = "GET"

    @property
    def wire(self) -> bytes:
        text = self.octets.replace("{flood}", "HTTP/1.1 103 Early\r\n\r\n" * 50)
        text = text.replace("{long}", "x" * 100_000)
        return b"".join(each.encode("latin-1" if ord(each) < 256 else "utf-8") for each in text)


def of_table() -> Iterator[Row]:
    for row in TABLE["answer"]:
        yield Row(
            row["name"], row["octets"], row["expected"], row.get("reaches"),
            row.get("method", "GET"),
        )  # fmt: skip


def of_heads() -> Iterator[Row]:
    rest = "\r\nContent-Length: 4\r\n\r\nEVIL"
    for status in SPELLINGS["status"]:
        yield Row(f"status {status!r}", f"HTTP/1.1 {status} OK{rest}", 502)
    for version in SPELLINGS["version"]:
        yield Row(f"version {version!r}", f"{version} 200 OK{rest}", 502)
    for length in SPELLINGS["length"]:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"
        yield Row(f"length {length!r}", f"{head}\r\nEVIL", 502)
        yield Row(f"length {length!r} and 4", f"{head}Content-Length: 4\r\n\r\nEVIL", 502)
    for coding in SPELLINGS["coding"]:
        head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n"
        body = "\r\n4\r\nEVIL\r\n0\r\n\r\n"
        yield Row(f"coding {coding!r}", head + body, 502)
        yield Row(f"coding {coding!r} and a length", f"{head}Content-Length: 4\r\n{body}", 502)


def of_chunks() -> Iterator[Row]:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for chunk in OF_REQUESTS["chunk"]:
        yield Row(f"chunk {chunk!r}", f"{head}{chunk}0\r\n\r\n", "either")
        yield Row(f"a good chunk, then {chunk!r}", f"{head}3\r\nabc\r\n{chunk}0\r\n\r\n", "either")
    for end in OF_REQUESTS["last_chunk"]:
        yield Row(f"end {end!r}", f"{head}5\r\nhello\r\n{end}", "either")


def of_ends() -> Iterator[Row]:
    """Break an answer off behind each 50th part of it."""
    for framing, body in (
        ("Content-Length: 100", "x" * 100),
        (
            "Transfer-Encoding: chunked",
            "32\r\n" + "y" * 50 + "\r\n" + "32\r\n" + "z" * 50 + "\r\n0\r\n\r\n",
        ),
    ):
        octets = f"HTTP/1.1 200 OK\r\nX-Some: field\r\n{framing}\r\n\r\n{body}"
        for part in range(50):
            cut = len(octets) * part // 50
            yield Row(f"{framing}, {cut} of {len(octets)}", octets[:cut], "either")


GROUPS = {
    "table": list(of_table()),
    "heads": list(of_heads()),
    "chunks": list(of_chunks()),
    "ends": list(of_ends()),
}


def is_whole(fields: bytes, body: bytes) -> bool:
    if b"transfer-encoding: chunked" in fields.lower():
        return body.endswith(b"\r\n0\r\n\r\n") or body == b"0\r\n\r\n"
    length = re.search(rb"content-length: (\d+)", fields.lower())
    return length is None or len(body) == int(length[1])


def body_of(fields: bytes, body: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in fields.lower():
        return body
    return b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.DOTALL)[:-1])


def problem_of(row: Row, answer: bytes) -> str | None:
    read = _HEAD.fullmatch(answer)
    if read is None:
        return f"no answer: {answer[:80]!r}"
    status, fields, body = int(read[1]), read[2], read[3]
    if b"EVIL" in answer:
        return f"octets of it were passed on: {answer[:200]!r}"
    if status == 502 and row.expected in (502, "either"):
        return None if b'"error":"bad_gateway"' in body else f"not our own: {body!r}"
    if row.expected in ("aborted", "either"):
        whole = status != 200 or is_whole(fields, body)
        return f"{status}, and it looks complete: {body[-40:]!r}" if whole else None
    if status != row.expected:
        return f"answered {status}: {body[:80]!r}"
    found = body_of(fields, body)
    reaches = row.reaches is None or found == row.reaches.encode()
    return None if reaches else f"the body became {found!r}"


async def problems_of(rows: list[Row], front: Front, said: dict[str, Row]) -> list[str]:
    found = []
    for number, row in enumerate(rows):
        said[f"/admin/{number}"] = row
        line = f"{row.method} /admin/{number} HTTP/1.1"
        problem = problem_of(row, await front.ask(line))
        if problem is not None:
            found.append(f"{row.name}: {problem}")
        good = await front.ask("GET /admin/good HTTP/1.1")
        if not (good.startswith(b"HTTP/1.1 200 OK\r\n") and good.endswith(b"\r\n\r\nok")):
            found.append(f"the next one after {row.name}: {good[:200]!r}")
    return found


def by_path(said: Mapping[str, Row], *, at_once: bool) -> Any:
    async def talk(conversation: Conversation) -> None:
        row = said.get(conversation.request_line.split(" ")[1])
        if row is None:
            await conversation.say(OK)
            return
        pieces = [row.wire] if at_once else [row.wire[:40], row.wire[40:]]
        for piece in pieces:
            await conversation.say(piece)
        conversation.writer.close()

    return talk


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in two pieces"])
@pytest.mark.parametrize("group", GROUPS)
async def test_no_answer_reaches_a_client_that_can_be_read_in_two_ways(
    group: str, *, at_once: bool
) -> None:
    world = World()
    world.enroll("robot", "admin")
    said: dict[str, Row] = {}
    async with (
        scripted_upstream(by_path(said, at_once=at_once)) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        problems = await problems_of(GROUPS[group], front, said)
        assert not problems, "\n".join(problems)


def test_there_are_hundreds_and_each_has_its_own_name() -> None:
    names = [row.name for rows in GROUPS.values() for row in rows]

    assert len(names) > 300
    assert len(names) == len(set(names))
