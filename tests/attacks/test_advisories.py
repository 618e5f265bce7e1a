"""Advisories of peers and libraries, each a test: what a client sends is in ``advisories.toml``.

Those that need more than one request are functions below, or tests of another file, which are named
here and are asserted to be there.
"""

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.fronts.forwarded import TrustedProxies
from tests.attacks.tables import TOKENS
from tests.fakes.doors import DOORS, Answer, Asked
from tests.fakes.front import running_front, status_of
from tests.fakes.recording_upstream import fold, recording_upstream
from tests.fakes.tokens import ec_key
from tests.fakes.upstream import scripted_upstream
from tests.fakes.world import World

ROOT = Path(__file__).parent.parent.parent
ROWS: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("advisories.toml").read_text("utf-8")
)["advisory"]
TOKEN = "Bearer {token}"
OURS = {"x-auth-subject": "robot", "x-auth-name": "Robot"}

# Where an advisory is tested that is about more than requests.
ELSEWHERE = {
    "CVE-2026-76835": ("tests/settings/test_sections.py", "0.0.0.0/0"),
    "CVE-2026-111750": ("tests/app/test_libraries.py", "CVE-2026-111750"),
    "CVE-2026-34520": ("tests/attacks/answers.toml", "CVE-2026-34520"),
    "CVE-2026-34519": ("tests/attacks/answers.toml", "CVE-2026-34519"),
    "CVE-2026-34525": ("tests/attacks/framing.toml", "CVE-2026-34525"),
    "CVE-2023-25725": ("tests/attacks/framing.toml", "CVE-2023-25725"),
    "CVE-2025-64763, a body": ("tests/attacks/framing.toml", "CVE-2025-64763"),
    "CVE-2024-45806": ("tests/fronts/test_forwarded.py", "test_by_default_nobody_is_trusted"),
    "CVE-2026-54273": (
        "tests/fronts/reverse_proxy/test_back_pressure.py",
        "test_requests_behind_one_that_takes_long_are_not_all_read",
    ),
}


@dataclass(frozen=True)
class Attempt:
    """One request of an advisory."""

    advisory: str
    must: str
    asked: Asked
    at: tuple[str, ...]


def attempts() -> Iterator[Attempt]:
    for row in ROWS:
        bearer = [[TOKEN] if row.get("token", True) else []]
        for method, target, lines, authorization in itertools.product(
            row.get("methods", ["GET"]),
            row.get("targets", ["/reports"]),
            row.get("fields", [""]),
            row.get("authorization", bearer),
        ):
            fields = tuple(_split(line) for line in lines.split("\r\n") if line)
            asked = Asked(method, target, tuple(authorization), fields)
            yield Attempt(row["id"], row["must"], asked, tuple(row.get("at", DOORS)))


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")


ATTEMPTS = list(attempts())


def signed(asked: Asked, world: World) -> Asked:
    bearers = tuple(each.replace("{token}", world.sign()) for each in asked.authorization)
    return Asked(asked.method, asked.target, bearers, asked.fields)


def problem_of(attempt: Attempt, answer: Answer) -> str | None:
    is_granted = isinstance(answer.decision, Grant)
    if attempt.must == "refuse":
        return "granted" if is_granted or answer.status < 400 else None
    if attempt.must == "pass":
        return None if is_granted and answer.status == 200 else f"answered {answer.status}"
    if not is_granted:
        return None if answer.status in (400, 401, 403) else f"answered {answer.status}"
    has_token = bool(attempt.asked.authorization)
    for name in ("x-auth-subject", "x-auth-name", "x-auth-groups", "api-key"):
        found = [
            value for given, values in answer.told.items() if fold(given) == name
            for value in values
        ]  # fmt: skip
        if len(found) != 1 or found[0] != (OURS.get(name, "") if has_token else ""):
            return f"upstream hears {name} as {found}"
    return None


@pytest.mark.parametrize("door", DOORS)
async def test_every_door_is_right_about_what_was_wrong_with_others(door: str) -> None:
    problems = []
    world = World()
    async with DOORS[door](world) as opened:
        for attempt in ATTEMPTS:
            if door in attempt.at:
                problem = problem_of(attempt, await opened.ask(signed(attempt.asked, world)))
                if problem is not None:
                    problems.append(f"{attempt.advisory}: {problem}: {attempt.asked}")

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("advisory", ELSEWHERE)
def test_an_advisory_that_is_tested_elsewhere_is_tested_there(advisory: str) -> None:
    file, text = ELSEWHERE[advisory]

    assert text in (ROOT / file).read_text("utf-8")


def test_each_row_has_its_own_name_and_its_fields_are_read() -> None:
    known = {"id", "must", "token", "fields", "targets", "methods", "authorization", "at"}

    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert not [row["id"] for row in ROWS if set(row) - known]
    assert {row["must"] for row in ROWS} == {"refuse", "ours", "pass"}


async def test_cve_2026_33495_the_scheme_is_the_sockets_unless_a_proxy_is_trusted() -> None:
    """Oathkeeper believed anybody's ``X-Forwarded-Proto``."""
    loopback = TrustedProxies((ip_network("127.0.0.0/8"),))
    for trusted, expected in ((TrustedProxies(), "http"), (loopback, "https")):
        async with (
            recording_upstream() as upstream,
            running_front(upstream.url, trusted=trusted) as front,
        ):
            await front.ask("GET /reports HTTP/1.1", b"X-Forwarded-Proto: https")

        assert upstream.requests[0].values("x-forwarded-proto") == [("X-Forwarded-Proto", expected)]


@pytest.mark.parametrize("door", DOORS)
async def test_cve_2021_32701_a_token_that_was_good_here_is_judged_anew_there(door: str) -> None:
    """Oathkeeper's cache skipped the scopes of the second route."""
    world = World()
    async with DOORS[door](world) as opened:
        for _ in range(3):
            first = await opened.ask(signed(Asked("GET", "/reports", (TOKEN,)), world))
            second = await opened.ask(signed(Asked("POST", "/reports", (TOKEN,)), world))

            assert isinstance(first.decision, Grant)
            assert isinstance(second.decision, Deny)
            assert second.decision.reason is DenyReason.INSUFFICIENT_SCOPE


@pytest.mark.parametrize("subject", ["robot@corp", "robot@a@b", "robot ", "Robot", "robo", "*"])
async def test_ghsa_c5c4_8r6x_56w3_a_subject_is_itself_and_no_pattern(subject: str) -> None:
    """oauth2-proxy took an address with two signs for one of the allowed domain."""
    world = World()

    decision = await world.wait_for("GET", "/reports", token=world.sign(sub=subject))

    assert isinstance(decision, Deny)


async def test_the_jwt_heap_overflow_of_haproxy_a_huge_signature_is_refused_before_it_is_read() -> (
    None
):
    world = World()
    head, claims, _ = world.sign(key=ec_key()).split(".")
    token = f"{head}.{claims}.{'A' * 21_000}"

    decision = await world.wait_for("GET", "/reports", token=token)

    assert isinstance(decision, Deny)
    assert decision.reason is DenyReason.TOKEN_TOO_LARGE
    assert len(decision.detail) < 200


async def test_cve_2025_65015_a_megabyte_of_a_token_is_neither_answered_nor_kept() -> None:
    """Joserfc put the token into its exception, and so into logs."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        answer = await front.send(
            b"GET /reports HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer "
            + b"x" * 1_000_000
            + b"\r\n\r\n"
        )
        decided = [decision for _, decision, _ in front.world.observer.decisions]

    assert status_of(answer) in (400, 401)
    assert len(answer) < 600
    assert all(isinstance(each, Deny) and len(each.detail) < 200 for each in decided)
    assert not upstream.conversations


async def test_cve_2026_69243_nothing_behind_a_refused_switch_is_a_request() -> None:
    """Aiohttp before 3.14.2 read what followed a handshake that was refused as requests."""
    handshake = (
        b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    async with recording_upstream() as upstream, running_front(upstream.url) as front:
        smuggled = front.request("GET /reports?smuggled HTTP/1.1")
        answer = await front.send(front.request("GET /watch HTTP/1.1", *handshake, body=smuggled))

    assert status_of(answer) == 200  # upstream's own, which switches nothing
    assert [each.target for each in upstream.requests] == ["/watch"]
    assert tuple(map(int, aiohttp.__version__.split(".")[:3])) >= (3, 14, 3)


@pytest.mark.parametrize("word", ["alg", "crit", "jwk", "jku", "zip", "kid"])
def test_what_a_tokens_header_may_try_is_in_the_corpus_of_tokens(word: str) -> None:
    """PyJWT, Authlib, jwcrypto and liboauth2 in one table: the rows are run by ``test_corpus``."""

    def tries(row: Mapping[str, Any]) -> bool:
        return word in row["name"] or word in row.get("header", {})

    refused = [row for row in TOKENS if row["expected"] != "granted" and tries(row)]
    assert refused
