"""The attack corpus at every door: the same verdicts, one refusal for all reasons.

What a door's own parser refuses before us is a 400 or a 431 as well; it happens only to what HTTP
does not carry.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from sidecar.core.decision import DenyReason
from tests.attacks.forging import forge, hostile_world
from tests.attacks.grpc_door import can_be_metadata, grpc_door
from tests.attacks.tables import CREDENTIALS, TOKENS, Row, verdict
from tests.fakes.doors import DOORS, Answer, Asked, Door
from tests.fakes.grpc_front import ROUTES as GRPC_ROUTES

GRPC = "gRPC proxy"
# Longer fields are refused by the parsers of the HTTP doors, before there is a decision.
CARRIED = 8000


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Door]:
    if name == GRPC:
        async with grpc_door(hostile_world(routes=GRPC_ROUTES)) as at_grpc:
            yield at_grpc
        return
    async with DOORS[name](hostile_world()) as door:
        yield door


def is_carried(values: list[str]) -> bool:
    return all(value.isascii() and value.isprintable() for value in values) and (
        sum(map(len, values)) < CARRIED
    )


class Judge:
    """Compares answers with the tables: ``wrong`` says where they differ.

    ``refusals`` counts what clients were told.
    """

    def __init__(self) -> None:
        self.wrong: dict[str, object] = {}
        self.refusals: dict[tuple[int, str], int] = {}
        self.granted = 0

    def judge(self, name: str, answer: Answer, expected: str, *, carried: bool) -> None:
        found = verdict(answer.decision)
        if not carried and answer.status in (400, 431) and found != "granted":
            pass
        elif found != expected or answer.status != status_of(expected):
            self.wrong[name] = (expected, found, answer.status)
        if (found == "granted") != (expected == "granted") or answer.status >= 500:
            self.wrong[name] = (expected, found, answer.status)
        if found == "granted":
            self.granted += 1
        elif answer.told:
            self.wrong[name] = "it was told upstream"
        else:
            kind = (answer.status, answer.refusal)
            self.refusals[kind] = self.refusals.get(kind, 0) + 1


def status_of(expected: str) -> int:
    return 200 if expected == "granted" else DenyReason(expected).http_status


@pytest.mark.parametrize("door", [*DOORS, GRPC])
async def test_the_tokens_of_the_corpus_at_each_door(door: str) -> None:
    judge = Judge()
    async with opened(door) as at:
        for row in TOKENS:
            token = forge(at.world, row)
            # On a socket a line break within a value makes a second line of it, which is legal.
            if ("\r\n" in token and "ext_authz" not in door) or (
                door == GRPC and not can_be_metadata(token)
            ):
                continue
            answer = await at.ask(Asked(authorization=(f"Bearer {token}",)))
            judge.judge(row["name"], answer, row["expected"], carried=is_carried([token]))
        good = Asked(authorization=(f"Bearer {at.world.sign()}",))
        at.world.disable("robot")
        judge.judge("disabled", await at.ask(good), "subject_inactive", carried=True)

    assert judge.wrong == {}
    assert judge.granted > 30
    # The client cannot tell a forged token from an expired one, or from a disabled account's.
    assert [status for status, _ in judge.refusals].count(401) == 1
    assert sum(times for (status, _), times in judge.refusals.items() if status == 401) > 700


@pytest.mark.parametrize("door", [*DOORS, GRPC])
async def test_the_credentials_of_the_corpus_at_each_door(door: str) -> None:
    judge = Judge()
    async with opened(door) as at:
        tokens = {"{token}": at.world.sign(), "{other}": at.world.sign(jti="other")}
        for row in CREDENTIALS:
            asked = filled(row, tokens)
            values = [*asked.authorization, *(value for _, value in asked.fields)]
            if door == GRPC and not (
                asked.target == "/reports" and all(map(can_be_metadata, values))
            ):
                continue
            carried = is_carried(list(asked.authorization))
            answer = await at.ask(asked)
            judge.judge(row["name"], answer, row["expected"], carried=carried)

    assert judge.wrong == {}


def filled(row: Row, tokens: Mapping[str, str]) -> Asked:
    """Return the request of a row, with tokens in their places."""

    def fill(text: str) -> str:
        for placeholder, token in tokens.items():
            text = text.replace(placeholder, token)
        return text

    return Asked(
        target=fill(row.get("at", "/reports")),
        authorization=tuple(map(fill, row.get("authorization", ()))),
        fields=tuple((name, fill(value)) for name, value in row.get("fields", ())),
    )


async def test_a_token_in_the_body_is_no_credential() -> None:
    """J21; RFC 6750, 2.2. The body is upstream's: it is not even read."""
    async with opened("reverse proxy") as at:
        form = f"access_token={at.world.sign()}"
        fields = (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Content-Length", str(len(form))),
        )
        answer = await at.ask(Asked(method="POST", fields=fields))

        assert verdict(answer.decision) == "no_credentials"
        assert answer.status == 401
