"""What is counted of a log, and that no log fills the memory."""

from typing import Any

import pytest

from sidecar.cli.decision_lines import Line
from sidecar.cli.report_tally import Caller, Tally, Wanted
from tests.cli.test_decision_lines import DENIED

ROBOT = Caller("corp", "robot", "https://idp.example", "client-7")


def line(**changed: Any) -> Line:
    return Line.model_validate({**DENIED, **changed})


def granted(**changed: Any) -> Line:
    return line(outcome="granted", reason="", enforced=True, **changed)


def tally(*lines: Line | None, wanted: Wanted | None = None, **bounds: int) -> Tally:
    found = Tally(wanted or Wanted(), **bounds)
    found.count_all(lines)
    return found


def test_who_would_have_been_refused_is_told_from_who_was() -> None:
    found = tally(
        granted(),
        line(ts="2026-01-31T09:00:00.000Z"),
        line(reason="token_expired", detail="expired 3.0 s ago", route="web"),
        line(enforced=True),
        line(event="cut", outcome="", reason="revoked"),
        None,
    )

    assert (found.requests, found.granted, found.other_lines) == (4, 1, 1)
    assert (found.refusals.shadowed, found.refusals.refused) == (2, 1)
    assert (found.first, found.last) == ("2026-01-31T08:00:00.000Z", "2026-01-31T09:00:00.000Z")
    assert found.cuts == {"revoked": 1}
    robot = found.callers.found[ROBOT]
    assert (robot.shadowed, robot.refused) == (2, 1)
    assert robot.reasons == {"subject_unknown": 2, "token_expired": 1}
    assert robot.routes == {"hoop-api": 2, "web": 1}
    assert (robot.first, robot.last) == (found.first, found.last)
    assert found.routes.found["hoop-api"].granted == 1
    assert list(found.reasons.found["token_expired"].examples) == ["expired 3.0 s ago"]


def test_whom_no_signature_names_is_told_by_address() -> None:
    found = tally(line(subject="", reason="no_credentials"))

    assert list(found.callers.found) == [Caller(peer="192.0.2.7")]


@pytest.mark.parametrize(
    ("reason", "example"),
    [
        ("no_route", "GET /api/userinfo"),
        ("malformed_request", "no account: GET /api/userinfo"),
        ("wrong_audience", "no account"),
    ],
)
def test_an_example_shows_what_is_wrong(reason: str, example: str) -> None:
    assert list(tally(line(reason=reason)).reasons.found[reason].examples) == [example]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Wanted(since="2026-01-31T09:00:00.000Z"), 1),
        (Wanted(until="2026-01-31T09:00:00.000Z"), 3),
        (Wanted(route="web"), 1),
        (Wanted(shadow_only=True), 3),
        (Wanted(), 4),
    ],
)
def test_only_what_is_wanted_counts_and_the_rest_is_said(wanted: Wanted, left: int) -> None:
    late = line(ts="2026-01-31T09:00:00.000Z")
    found = tally(granted(), line(route="web"), line(enforced=True), late, wanted=wanted)

    assert found.requests == left
    assert found.left_out == 4 - left


def test_however_many_callers_and_routes_there_are_the_memory_is_bounded() -> None:
    found = tally(
        *(line(subject=f"s-{number}", route=f"r-{number}") for number in range(100)),
        callers=10,
        routes=5,
    )

    assert len(found.callers.found) == 10
    assert found.callers.others is not None
    assert found.callers.others.shadowed == 90
    assert len(found.callers.others.routes) <= 20
    assert len(found.routes.found) == 5
    assert found.routes.others is not None
    assert found.refusals.shadowed == 100


def test_reasons_cuts_and_examples_of_a_strangers_making_are_bounded() -> None:
    found = tally(
        *(line(reason=f"made-up-{number}", detail=f"{number}" * 2000) for number in range(9)),
        *(line(event="cut", outcome="", reason=f"made-up-{number}") for number in range(9)),
    )

    assert list(found.reasons.found) == ["other"]
    assert len(found.reasons.found["other"].examples) == 3
    assert max(map(len, found.reasons.found["other"].examples)) == 160
    assert found.cuts == {"other": 9}


def test_it_is_ready_when_there_were_requests_and_shadow_let_nobody_through() -> None:
    assert tally(granted(), line(enforced=True)).is_ready
    assert not tally(granted(), line()).is_ready
    assert not tally().is_ready
