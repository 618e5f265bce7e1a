"""The scored cases of Http11Probe, against the real fronts: none fails."""

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from typing_extensions import override

from sidecar.core.dialect import Dialect
from sidecar.core.routes import Requirement, Route
from tests.attacks.http11_probe import (
    GARDEN,
    TABLE,
    Case,
    answer,
    cases,
    differences,
    hear,
)
from tests.fakes.doors import forward_auth_door
from tests.fakes.front import running_front
from tests.fakes.recording_upstream import recording_upstream
from tests.fakes.world import World

# Whatever the suite asks for, without a token: it has none to send.
OPEN = (Route("open", "/**", requirement=Requirement(bearer=False), websocket=True),)
CLOSED = (Route("closed", "/**", websocket=True),)
CASES = list(cases(TABLE))


@dataclass
class Score:
    """The verdicts by id, and what of it upstream should not have heard."""

    verdicts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def ids(self, verdict: str) -> list[str]:
        return [name for name, each in self.verdicts.items() if each == verdict]

    @override
    def __str__(self) -> str:
        count = Counter(self.verdicts.values())
        return f"{count['pass']} pass, {count['warn']} warn, {count['fail']} fail"


async def scored(routes: tuple[Route, ...], chosen: list[Case] = CASES) -> Score:
    score = Score()
    async with (
        recording_upstream(answer) as upstream,
        running_front(upstream.url, world=World(routes=routes)) as front,
    ):
        for case in chosen:
            upstream.forget()
            heard = await hear(front.address, case)
            score.verdicts[case.id] = case.judge(heard.labels())
            granted = [each for each in heard.statuses if each < 400 or each in (405, 426)]
            requests = [each.target for each in upstream.requests]
            problems = [each for each in upstream.problems if each != "broken off"]
            if problems or len(requests) > len(granted) or any(e >= 500 for e in heard.statuses):
                score.problems.append(f"{case.id}: {heard.statuses}, {requests}, {problems}")
            if requests[1:] not in ([], ["/after"]):
                score.problems.append(f"{case.id}: {requests} was carried out")
    return score


async def test_no_scored_case_of_http11_probe_fails_and_each_warning_has_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    score = await scored(OPEN)

    with capsys.disabled():
        print(f"\nHttp11Probe, reverse proxy: {score}")  # noqa: T201
    assert score.ids("fail") == []
    assert sorted(score.ids("warn")) == sorted(differences())
    assert len(score.ids("warn")) <= 17
    assert score.problems == []


async def test_what_the_http_garden_found_others_to_read_wrongly_is_read_rightly() -> None:
    score = await scored(OPEN, list(cases(GARDEN)))

    assert score.ids("fail") == []
    assert score.problems == []
    assert len(score.verdicts) > 70


async def test_none_of_it_reaches_upstream_without_a_token() -> None:
    async with (
        recording_upstream(answer) as upstream,
        running_front(upstream.url, world=World(routes=CLOSED)) as front,
    ):
        heard = {case.id: await hear(front.address, case) for case in CASES}

    assert upstream.requests == []
    assert upstream.problems == []
    carried_out = {
        name: each.statuses for name, each in heard.items() if min(each.statuses, default=400) < 400
    }
    assert carried_out == {}


async def test_the_door_that_only_answers_grants_nothing_that_must_be_refused() -> None:
    """Of bodies it reads nothing: there, what is wrong with a chunk is for its proxy to see."""
    asked, granted = [], []
    async with forward_auth_door(Dialect.ENVOY, World(routes=OPEN)) as door:
        host, _, port = door.door.url.removeprefix("http://").rpartition(":")
        for case in CASES:
            if not case.is_refused or case.is_of_chunks or not case.whole:
                continue
            asked.append(case.id)
            octets = case.octets.replace(b" /", b" /auth/", 1)
            heard = await hear((host, int(port)), replace(case, octets=octets))
            if [each for each in heard.statuses[:1] if each < 400]:
                granted.append(case.id)

    assert granted == []
    assert len(asked) > 50
