"""The attack corpus through Envoy's check: the same table, the same verdicts."""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.core.decision import DenyReason
from tests.attacks.test_corpus import REQUESTS, TOKENS, forge, named
from tests.fakes.checks import Door, check_of


def status_of(expected: str) -> int:
    return 200 if expected == "granted" else DenyReason(expected).http_status


@pytest.mark.parametrize("row", REQUESTS, ids=named)
async def test_a_request_of_the_corpus_in_a_check(row: Mapping[str, Any]) -> None:
    door = Door()
    door.world.enroll("robot", "admin")
    method, target = row.get("method", "GET"), row["path"]
    if row.get("query"):
        target += "?" + row["query"]
    lines = [
        ("authorization", line.replace("{token}", door.world.sign()))
        for line in row.get("authorization", ["Bearer {token}"])
    ]
    told = await door.send(check_of(*lines, method=method, target=target))
    bare = await door.send(check_of(method=method, target=target))

    assert told.status == status_of(row["expected"])
    assert (bare.status == 200) == row.get("open", False)


@pytest.mark.parametrize("row", TOKENS, ids=named)
async def test_a_token_of_the_corpus_in_a_check(row: Mapping[str, Any]) -> None:
    door = Door()
    token = forge(door.world, row)
    told = await door.send(check_of(("authorization", f"Bearer {token}")))

    assert told.status == status_of(row["expected"])
    if row["expected"] != "granted":
        assert door.reasons() == [row["expected"]]
        assert token not in told.body
