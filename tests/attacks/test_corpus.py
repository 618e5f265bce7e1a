"""The attack corpus: data in, reason out. The tables beside this file say what each row means."""

import pytest

from sidecar.core.decision import Deny, Grant
from tests.attacks.forging import forge, hostile_world
from tests.attacks.tables import CREDENTIALS, REQUESTS, TOKENS, Row, named, verdict
from tests.fakes.world import World


@pytest.mark.parametrize("row", TOKENS, ids=named)
async def test_a_token_of_the_corpus(row: Row) -> None:
    """Also after a good token was remembered, and at the second try."""
    world = hostile_world()
    await world.wait_for("GET", "/reports", token=world.sign())
    token = forge(world, row)
    first = await world.wait_for("GET", "/reports", token=token)
    second = await world.wait_for("GET", "/reports", token=token)

    assert [verdict(first), verdict(second)] == [row["expected"]] * 2
    if isinstance(first, Deny):
        assert first.reason.http_status in (400, 401)
        assert token not in first.detail


@pytest.mark.parametrize("row", REQUESTS, ids=named)
async def test_a_request_of_the_corpus(row: Row) -> None:
    world = World()
    world.enroll("robot", "admin")
    method, path, query = row.get("method", "GET"), row["path"], row.get("query", "")
    lines = tuple(
        line.replace("{token}", world.sign())
        for line in row.get("authorization", ["Bearer {token}"])
    )
    with_token = world.request(method, path, query=query, authorization=lines)
    without = world.request(method, path, query=query)

    assert verdict(await world.authorizer.authorize(with_token)) == row["expected"]
    assert isinstance(await world.authorizer.authorize(without), Grant) == row.get("open", False)


@pytest.mark.parametrize(
    "table", [TOKENS, REQUESTS, CREDENTIALS], ids=["tokens", "requests", "credentials"]
)
def test_every_row_has_its_own_name(table: list[Row]) -> None:
    names = [row["name"] for row in table]

    assert len(names) == len(set(names))
    assert any(row["expected"] == "granted" for row in table)


def test_no_row_has_a_field_that_is_not_read() -> None:
    """A misspelled field would make a good token of an attack."""
    both = {"", "_without", "_text", "_charset"}
    token_fields = {"name", "expected", "key", "signs_with", "form", "stretch"}
    token_fields |= {"signature", "signature_of"}
    token_fields |= {f"{part}{each}" for part in ("header", "claims") for each in both}
    request_fields = {"name", "expected", "method", "path", "query", "authorization", "open"}
    credential_fields = {"name", "expected", "at", "authorization", "fields", "query"}

    for table, fields in (
        (TOKENS, token_fields),
        (REQUESTS, request_fields),
        (CREDENTIALS, credential_fields),
    ):
        assert not [row["name"] for row in table if set(row) - fields]
