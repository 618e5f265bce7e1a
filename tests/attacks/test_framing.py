"""The framing corpus through the real front: exactly one reading of every message.

Whatever a client sends, upstream sees as many requests as were granted, each well-formed, framed in
one way, with the identity that we gave it, and nothing of one request in another. The same rows go
to the forward-auth door where the message itself is what is wrong.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.dialect import Dialect
from tests.fakes.doors import forward_auth_door
from tests.fakes.front import IDENTITY, Front, running_front
from tests.fakes.recording_upstream import RecordingUpstream, fold, recording_upstream
from tests.fakes.world import World

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("framing.toml").read_text("utf-8"))
SPELLINGS: dict[str, list[str]] = TABLE["spellings"]
BROKEN = 0
POST = "POST /admin/x HTTP/1.1"
GET = "GET /admin/x HTTP/1.1"
PROTECTED = (*IDENTITY.names.values(), *IDENTITY.cleared)
FORBIDDEN = ("transfer-encoding", "upgrade", "http2-settings", "te", "trailer", "connection")
_ANSWER = re.compile(rb"HTTP/\d\.\d (\d{3}) ")
_NUMBER = re.compile(rb"\r\nX-Number: (\d+)\r\n")


@dataclass(frozen=True)
class Case:
    """One connection's worth of octets.

    ``status`` is that of a refusal, 200 for a grant, BROKEN where the message may as well never
    end, and None where either is safe. ``reaches`` is the body that upstream may get; None: any.
    """

    name: str
    line: str = POST
    fields: tuple[str, ...] = ()
    body: str = ""
    before: str = ""
    bare: bool = False
    stays: bool = False
    status: int | None = None
    requests: int | None = None
    reaches: str | None = field(default=None)

    def octets(self, token: str) -> bytes:
        own = [] if self.bare else ["Host: sidecar.example", f"Authorization: Bearer {token}"]
        text = self.before + "\r\n".join([self.line, *own, *self.fields, "", self.body])
        smuggled = (
            "GET /admin/smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        for name, value in (
            ("{smuggled}", smuggled),
            ("{token}", token),
            ("{crowd}", "\r\n".join(f"X-{number}: y" for number in range(1000))),
            ("{long}", "x" * 100_000),
        ):
            text = text.replace(name, value)
        # Code points beyond Latin-1 stand for themselves, as careless programs send them.
        return b"".join(each.encode("latin-1" if ord(each) < 256 else "utf-8") for each in text)


def of_row(row: Mapping[str, Any]) -> Case:
    granted = row["expected"] == "granted"
    return Case(
        row["name"],
        row.get("line", POST),
        tuple(row.get("fields", ())),
        row.get("body", ""),
        row.get("before", ""),
        row.get("bare", False),
        row.get("stays", False),
        200 if granted else row["expected"],
        row.get("requests", 1 if granted else 0),
        row.get("reaches", ""),
    )


def of_codings() -> Iterator[Case]:
    hidden = "0\r\n\r\nGET /admin/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    length = f"Content-Length: {len(hidden)}"
    good = "Transfer-Encoding: chunked"
    for each in SPELLINGS["coding"]:
        yield Case(f"{each!r}, then a length", fields=(each, length), body=hidden, reaches=hidden)
        yield Case(f"{each!r} after a length", fields=(length, each), body=hidden, reaches=hidden)
        yield Case(f"{each!r} alone", fields=(each,), body="5\r\nhello\r\n0\r\n\r\n{smuggled}")
        yield Case(f"{each!r} before a good one", fields=(each, good), body=hidden)
        yield Case(f"{each!r} after a good one", fields=(good, each), body=hidden)


def of_lengths() -> Iterator[Case]:
    for each in SPELLINGS["length"]:
        # It stays, as the refusal is of the head: half a body and an end is broken off instead.
        yield Case(f"length {each!r}", fields=(f"Content-Length: {each}",), body="hello",
                   stays=True, status=400)  # fmt: skip
        yield Case(
            f"length 5 and {each!r}",
            fields=("Content-Length: 5", f"Content-Length: {each}"),
            body="hello",
            status=400,
        )
    for each in SPELLINGS["length_names"]:
        yield Case(f"{each!r} beside a length", fields=("Content-Length: 5", f"{each}: 50"),
                   body="hello", reaches="hello")  # fmt: skip
        yield Case(f"{each!r} alone", fields=(f"{each}: 5",), body="hello", reaches="")
        yield Case(f"{each!r} and chunks", fields=(f"{each}: 3", "Transfer-Encoding: chunked"),
                   body="5\r\nhello\r\n0\r\n\r\n", reaches="hello")  # fmt: skip


def of_chunks() -> Iterator[Case]:
    chunks = ("Transfer-Encoding: chunked",)
    for each in SPELLINGS["chunk"]:
        yield Case(f"chunk {each!r}", fields=chunks, body=each + "0\r\n\r\n", status=BROKEN)
        yield Case(
            f"a good chunk, then {each!r}",
            fields=chunks,
            body="3\r\nabc\r\n" + each + "0\r\n\r\n{smuggled}",
            status=BROKEN,
        )
    for each in SPELLINGS["last_chunk"]:
        yield Case(f"end {each!r}", fields=chunks, body="5\r\nhello\r\n" + each, status=BROKEN)


def of_lines() -> Iterator[Case]:
    for method in SPELLINGS["method"]:
        yield Case(f"method {method!r}", f"{method} /admin/x HTTP/1.1", status=400)
    yield Case("version 'RTSP/1.0' is read as HTTP/1.0", "GET /admin/x RTSP/1.0", status=200)
    for version in SPELLINGS["version"]:
        yield Case(f"version {version!r}", f"GET /admin/x {version}", status=400)
    for host in SPELLINGS["host"]:
        fields = (f"Host: {host}", "Authorization: Bearer {token}")
        yield Case(f"host {host!r}", GET, fields, bare=True, status=400)


def of_identities() -> Iterator[Case]:
    for name in PROTECTED:
        for each in SPELLINGS["identity"]:
            separator = each[0]
            if separator not in "NnUM \t\x00XCTKP":
                spelled = each.replace(separator, name.replace("-", separator), 1)
            else:
                spelled = (
                    each.replace("N", name)
                    .replace("n: root", name.lower() + ": root")
                    .replace("Connection: n", f"Connection: {name.lower()}")
                    .replace("U: root", name.upper() + ": root")
                    .replace("M", name.swapcase())
                )
            yield Case(f"{name}: {each!r}", GET, (spelled,), reaches="")


GROUPS = {
    "rows": [of_row(row) for row in TABLE["case"]],
    "codings": list(of_codings()),
    "lengths": list(of_lengths()),
    "chunks": list(of_chunks()),
    "lines": list(of_lines()),
    "identities": list(of_identities()),
}


def problems_of(case: Case, answer: bytes, upstream: RecordingUpstream) -> Iterator[str]:
    """Say what is wrong with what became of a case."""
    statuses = [int(each) for each in _ANSWER.findall(answer) if int(each) >= 200]
    told = [int(each) for each in _NUMBER.findall(answer)]
    heard = upstream.requests
    yield from (each for each in upstream.problems if each != "broken off")
    if told != list(range(1, len(heard) + 1)):
        yield f"{len(heard)} requests upstream, but the client was told of {told}"
    if any(status >= 500 for status in statuses):
        yield f"answered {statuses}"
    if case.status is not None and case.status != 200:
        allowed = [[], [400]] if case.status == BROKEN else [[case.status]]
        if statuses[:1] not in allowed or heard:
            yield f"not refused with {case.status} but answered {statuses}"
    elif case.requests is not None and len(heard) != case.requests:
        yield f"{len(heard)} requests upstream, answered {statuses}"
    if case.reaches is not None and heard and heard[0].body != case.reaches.encode("latin-1"):
        yield f"the body became {heard[0].body!r}"
    for request in heard:
        yield from problems_of_identity(request.fields)


def problems_of_identity(fields: list[tuple[str, str]]) -> Iterator[str]:
    """Say what upstream could take for an identity, or for framing, that is not ours."""
    ours = {"x-auth-subject": "robot", "x-auth-name": "Robot", "x-auth-groups": "admin"}
    for protected in PROTECTED:
        found = [each for each in fields if fold(each[0]) == fold(protected)]
        expected = ours.get(protected.lower())
        names = [name for name, _ in found]
        if names != [protected] and not (protected in IDENTITY.cleared and not names):
            yield f"{protected} as {found}"
        elif expected is not None and found[0][1] != expected:
            yield f"{found[0]} is not ours"
        elif "root" in [value for _, value in found]:
            yield f"{found} is the client's"
    for name, value in fields:
        if fold(name) in FORBIDDEN and (name, value) != ("Transfer-Encoding", "chunked"):
            yield f"{name}: {value} was passed on"


async def run_all(cases: Iterable[Case], front: Front, upstream: RecordingUpstream) -> list[str]:
    found = []
    for case in cases:
        upstream.forget()
        octets = case.octets(front.world.sign())
        answer = await (front.send(octets) if case.stays else front.say(octets))
        found += [f"{case.name}: {problem}" for problem in problems_of(case, answer, upstream)]
    return found


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


@pytest.mark.parametrize("group", GROUPS)
async def test_upstream_sees_one_reading_of_what_is_granted_and_nothing_else(group: str) -> None:
    async with (
        recording_upstream() as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        problems = await run_all(GROUPS[group], front, upstream)
        assert not problems, "\n".join(problems)
        upstream.forget()
        # Nothing of it is left behind for the next one.
        assert (await front.ask()).startswith(b"HTTP/1.1 200")
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("group", ["rows", "lengths", "lines"])
async def test_a_proxys_question_is_read_as_strictly(group: str) -> None:
    """At the door that only answers, a refused message gets no grant."""
    refused = [case for case in GROUPS[group] if case.status not in (200, None)]
    found = []
    world = admin()
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        for case in refused:
            octets = case.octets(world.sign()).replace(b" /admin", b" /auth/admin", 1)
            answer = await door.hear(octets)
            statuses = [int(each) for each in _ANSWER.findall(answer)]
            if not statuses or statuses[0] < 400:
                found.append(f"{case.name}: {statuses}")

    # Of a body nothing is read there, and what cannot be a body is refused by whoever reads it.
    unread = ("Expect", "handshake", "Connection names", "0.CL")
    problems = [each for each in found if not any(word in each for word in unread)]
    assert not problems, "\n".join(problems)


def test_there_are_hundreds_and_each_has_its_own_name() -> None:
    names = [case.name for cases in GROUPS.values() for case in cases]

    assert len(names) > 700
    assert len(names) == len(set(names))


def test_no_row_has_a_field_that_is_not_read() -> None:
    known = {
        "name",
        "line",
        "fields",
        "body",
        "before",
        "bare",
        "stays",
        "expected",
        "requests",
        "reaches",
    }

    assert not [row["name"] for row in TABLE["case"] if set(row) - known]
