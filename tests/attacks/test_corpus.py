"""The attack corpus: data in, reason out. The tables beside this file say what each row means."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.decision import Decision, Deny, Grant
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, encode, rsa_key
from tests.fakes.world import World

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of one table, as the file has them."""
    table: list[dict[str, Any]] = tomllib.loads((HERE / f"{name}s.toml").read_text("utf-8"))[name]
    return table


TOKENS = rows("token")
REQUESTS = rows("request")


def signer(name: str) -> SigningKey:
    match name:
        case "ec":
            return ec_key()
        case "ed":
            return ed25519_key()
        case "stranger":
            return replace(rsa_key("stranger"), kid="rsa")
        case _:
            return rsa_key()


def forge(world: World, row: Mapping[str, Any]) -> str:
    """Return the token that a row describes."""
    key = signer(row.get("key", "rsa"))
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt", **row.get("header", {})}
    claims = {**world.claims(), **row.get("claims", {})}
    for members, left_out in ((header, "header_without"), (claims, "claims_without")):
        for name in row.get(left_out, ()):
            del members[name]
    header_segment = encode(row.get("header_text", header))
    claims_segment = encode(row.get("claims_text", claims))
    signature = encode(key.sign(f"{header_segment}.{claims_segment}".encode()))
    form: str = row.get("form", "{header}.{claims}.{signature}")
    return (
        form.replace("{header}", header_segment)
        .replace("{claims}", claims_segment)
        .replace("{signature}", signature)
    )


def verdict(decision: Decision) -> str:
    match decision:
        case Grant():
            return "granted"
        case Deny():
            assert len(decision.detail) < 120
            return decision.reason.value


def named(row: Mapping[str, Any]) -> str:
    return str(row["name"])


@pytest.mark.parametrize("row", TOKENS, ids=named)
async def test_a_token_of_the_corpus(row: Mapping[str, Any]) -> None:
    """Also after a good token was remembered, and at the second try."""
    world = World()
    await world.wait_for("GET", "/reports", token=world.sign())
    token = forge(world, row)
    first = await world.wait_for("GET", "/reports", token=token)
    second = await world.wait_for("GET", "/reports", token=token)

    assert [verdict(first), verdict(second)] == [row["expected"]] * 2
    if isinstance(first, Deny):
        assert first.reason.http_status in (400, 401)
        assert token not in first.detail


@pytest.mark.parametrize("row", REQUESTS, ids=named)
async def test_a_request_of_the_corpus(row: Mapping[str, Any]) -> None:
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


@pytest.mark.parametrize("table", [TOKENS, REQUESTS], ids=["tokens", "requests"])
def test_every_row_has_its_own_name(table: list[dict[str, Any]]) -> None:
    names = [row["name"] for row in table]

    assert len(names) == len(set(names))
    assert any(row["expected"] == "granted" for row in table)


def test_no_row_has_a_field_that_is_not_read() -> None:
    """A misspelled field would make a good token of an attack."""
    changes = {"header", "claims", "header_without", "claims_without", "header_text"}
    token_fields = {"name", "expected", "key", "form", "claims_text"} | changes
    request_fields = {"name", "expected", "method", "path", "query", "authorization", "open"}

    assert not [row["name"] for row in TOKENS if set(row) - token_fields]
    assert not [row["name"] for row in REQUESTS if set(row) - request_fields]
