"""Every door gives the same verdict on the same request: a front only translates."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from sidecar.core.decision import DenyReason
from tests.attacks.tables import REQUESTS, Row, named, verdict
from tests.fakes.doors import DOORS, Asked, Door
from tests.fakes.world import World
from tests.fronts.cases import CASES, GRANTED, Case

# No parser hands on a method with a line break, so no proxy can tell of one.
ON_A_WIRE = [row for row in REQUESTS if "\n" not in row.get("method", "")]
# Who sends these gets a 400 of the HTTP parser at a door where they are a request's own.
UNPARSED_METHODS = {"TRACK", "FOO"}
# `*` has no place behind a prefix.
UNLIKE = {("forward-auth, envoy", "P10 asterisk"): "malformed_request"}


def filled(asked: Asked, world: World) -> Asked:
    token = world.sign()
    return replace(
        asked, authorization=tuple(each.replace("{token}", token) for each in asked.authorization)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("door", DOORS)
async def test_a_case_at_each_door(door: str, case: Case) -> None:
    expected = case.expected
    if door.startswith("forward-auth"):
        expected = case.unless_taken_out or expected
    if door != "reverse proxy":
        expected = case.unless_carried or expected
    world = World()
    async with DOORS[door](world) as opened:
        answer = await opened.ask(filled(case.asked, world))

    assert verdict(answer.decision) == expected
    assert answer.status == (200 if expected == GRANTED else DenyReason(expected).http_status)
    if expected == GRANTED:
        assert_tells_of_us_alone(answer.told)
    else:
        assert not answer.told


def assert_tells_of_us_alone(told: Mapping[str, list[str]]) -> None:
    """Whatever CGI would fold into an identity header is there once, and ours."""
    folded: dict[str, list[str]] = {}
    for name, values in told.items():
        folded.setdefault(name.replace("_", "-").replace(".", "-"), []).extend(values)
    assert folded["x-auth-subject"] in (["robot"], [""])
    assert len(folded["x-auth-groups"]) == 1
    assert folded["api-key"] == [""]


@pytest.mark.parametrize("row", ON_A_WIRE, ids=named)
@pytest.mark.parametrize("door", DOORS)
async def test_a_request_of_the_corpus_at_each_door(door: str, row: Row) -> None:
    world = World()
    world.enroll("robot", "admin")
    target = row["path"] + ("?" + row["query"] if row.get("query") else "")
    lines = row.get("authorization", ["Bearer {token}"])
    asked = filled(Asked(row.get("method", "GET"), target, tuple(lines)), world)
    expected = str(UNLIKE.get((door, row["name"]), row["expected"]))
    # RFC 9110, 5.5: white space around a value is no part of it.
    if [line.strip() for line in lines] == ["Bearer {token}"] and lines != ["Bearer {token}"]:
        expected = GRANTED
    async with DOORS[door](world) as opened:
        await judge(opened, asked, expected)
        if not row.get("open"):
            refused = await opened.ask(replace(asked, authorization=()))
            assert refused.status in (400, 401, 403, 405)
            assert not refused.told


async def judge(door: Door, asked: Asked, expected: str) -> None:
    """Ask; what the HTTP parser of a door refuses before us is a 400 as well."""
    answer = await door.ask(asked)
    if expected == GRANTED:
        assert answer.status in ({200, 400} if asked.method in UNPARSED_METHODS else {200})
        return
    assert answer.status in {DenyReason(expected).http_status, 400}
    assert verdict(answer.decision) in (expected, "malformed_request")
    assert not answer.told
