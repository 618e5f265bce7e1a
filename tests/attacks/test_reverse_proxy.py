"""The attack corpus through the reverse proxy's socket: the same table, the same verdicts.

What HTTP's own parser refuses before us is a 400 as well. Whatever is not granted, upstream has
never heard of; what is granted, it gets octet for octet.
"""

import pytest

from sidecar.core.decision import DenyReason
from tests.attacks.tables import REQUESTS, Row, named
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.upstream import ScriptedUpstream, scripted_upstream
from tests.fakes.world import World

# llhttp knows the registered methods and no others: what is none of them is a 400 before us.
UNPARSED_METHODS = {"TRACK", "FOO"}


def wire(method: str, target: str, authorization: list[str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: sidecar.example", "Connection: close"]
    lines += [f"Authorization: {value}" for value in authorization]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


async def judge(
    front: Front, upstream: ScriptedUpstream, octets: bytes, expected: str, *, parsed: bool
) -> None:
    """Send; compare status and what upstream heard with the verdict of the table."""
    before = len(upstream.conversations)
    response = await front.send(octets)
    heard = upstream.conversations[before:]

    if expected == "granted":
        assert status_of(response) == 200
        assert [each.request_line.encode() for each in heard] == [octets.split(b"\r\n")[0]]
        return
    status = DenyReason(expected).http_status
    assert status_of(response) in ({status} if parsed else {status, 400})
    assert not heard


@pytest.mark.parametrize("row", REQUESTS, ids=named)
async def test_a_request_of_the_corpus_over_the_wire(row: Row) -> None:
    world = World()
    world.enroll("robot", "admin")
    method, target = row.get("method", "GET"), row["path"]
    if row.get("query"):
        target += "?" + row["query"]
    lines = [
        line.replace("{token}", world.sign())
        for line in row.get("authorization", ["Bearer {token}"])
    ]
    expected = row["expected"]
    # RFC 9110, 5.5: white space around a value is no part of it, and never comes this far.
    if method in UNPARSED_METHODS:
        expected = "malformed_request"
    elif [line.strip() for line in lines] == [f"Bearer {world.sign()}"]:
        expected = row["expected"] if lines[0] == lines[0].strip() else "granted"
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        parsed = target.isascii() and target.isprintable() and " " not in target + method
        parsed = parsed and target.startswith("/") and method.isascii() and method.isupper()
        octets = wire(method, target, lines)
        await judge(front, upstream, octets, expected, parsed=parsed)
        if not row.get("open"):
            response = await front.send(wire(method, target, []))
            assert status_of(response) in (400, 401, 403, 405)
