"""The commands that revoke tokens, on a real store."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from sidecar.adapters.clock import SystemClock
from tests.cli.conftest import Shell
from tests.fakes.tokens import encode

ISSUERS = [
    {"issuer": f"https://{realm}.example/", "realm": realm, "audiences": ["api"]}
    for realm in ("corp", "partners")
]


@pytest.fixture
def two_realms(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Shell:
    accounts = {"url": redis_url, "prefix": f"{request.node.name[:50]}:"}
    return Shell(tmp_path / "sidecar.yaml", redis_url, accounts=accounts, issuers=ISSUERS)


@contextmanager
def asking(url: str) -> Iterator[Any]:
    with Redis.from_url(url, decode_responses=True) as client:
        yield client


def stored(redis_url: str, request: pytest.FixtureRequest) -> dict[str, int]:
    """Return what this test left in the store beside the revision, and until when it is kept."""
    prefix = f"{request.node.name[:50]}:"
    with asking(redis_url) as client:
        return {
            key.removeprefix(prefix): client.expiretime(key)
            for key in client.scan_iter()
            if key.startswith(prefix) and key != f"{prefix}revision"
        }


def token(**claims: Any) -> str:
    """Return a token that nobody signed: the command does not ask who did."""
    now = int(SystemClock().now())
    members = {"iss": "https://idp.example/", "jti": "j-1", "exp": now + 60, **claims}
    present = {name: value for name, value in members.items() if value is not None}
    return f"{encode({'alg': 'RS256', 'kid': 'a'})}.{encode(present)}.{encode('seal')}"


def test_a_subjects_tokens_are_revoked_and_its_account_stays(shell: Shell) -> None:
    shell.account("create", "api-user", "--groups", "devops")
    before = SystemClock().now()

    assert shell.account("revoke-tokens", "api-user") == 0

    assert re.fullmatch(r"tokens of api-user issued before \S+Z are revoked\n", shell.out)
    audit = json.loads(shell.err)
    assert audit["action"] == "revoke_subject_tokens"
    assert before < audit["after"]["not_before"] <= SystemClock().now() + 1
    shell.account("show", "api-user", "-o", "json")
    shown = json.loads(shell.out)
    assert (shown["status"], shown["groups"]) == ("active", ["devops"])
    assert shown["not_before"] == audit["after"]["not_before"]


def test_a_subject_without_an_account_is_told_what_else_there_is(shell: Shell) -> None:
    assert shell.account("revoke-tokens", "nobody") == 1
    assert "no service account nobody" in shell.err
    assert "--disable" in shell.err


@pytest.mark.parametrize("place", ["-", "file"])
def test_a_token_is_revoked_by_itself(
    shell: Shell, tmp_path: Path, redis_url: str, request: pytest.FixtureRequest, place: str
) -> None:
    text = token() + "\n"
    expires_at = int(SystemClock().now()) + 60
    if place == "file":
        place = str(tmp_path / "token")
        Path(place).write_text(text)

    assert shell.run("token", "revoke", "--token-file", place, stdin=text) == 0

    assert "would have expired at" in shell.out
    assert "eyJ" not in shell.out + shell.err
    audit = json.loads(shell.err)
    assert (audit["event"], audit["realm"], audit["token_id"]) == ("token", "default", "j-1")
    found = stored(redis_url, request)
    assert list(found) == ["revoked:default:j-1"]
    assert found["revoked:default:j-1"] >= expires_at


def test_a_tokens_realm_is_that_of_its_issuer(
    two_realms: Shell, redis_url: str, request: pytest.FixtureRequest
) -> None:
    text = token(iss="https://partners.example/")

    assert two_realms.run("token", "revoke", "--token-file", "-", stdin=text) == 0

    assert list(stored(redis_url, request)) == ["revoked:partners:j-1"]


def test_a_token_is_revoked_by_its_id(
    two_realms: Shell, redis_url: str, request: pytest.FixtureRequest
) -> None:
    expires_at = int(SystemClock().now()) + 3600
    by_id = ("token", "revoke", "--jti", "a:b c", "--expires-at", str(expires_at))
    assert two_realms.run(*by_id) == 2
    assert "one of corp, partners" in two_realms.err

    assert two_realms.run(*by_id, "--realm", "corp") == 0

    found = stored(redis_url, request)
    assert list(found) == ["revoked:corp:a:b c"]
    assert found["revoked:corp:a:b c"] >= expires_at


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        ((), "", "give --token-file, or --jti"),
        (("--token-file", "-", "--jti", "a"), "", "give --token-file, or --jti"),
        (("--token-file", "-", "--expires-at", "5"), "", "leave those options out"),
        (("--token-file", "-", "--realm", "default"), "", "leave those options out"),
        (("--jti", "a"), "", "give --expires-at too"),
        (("--jti", "", "--expires-at", "5"), "", "no token's id"),
        (("--jti", "a\x07", "--expires-at", "5"), "", "no token's id"),
        (("--jti", "a", "--expires-at", "1e300"), "", "--expires-at"),
        (("--token-file", "/nowhere/token"), "", "cannot be read"),
        (("--token-file", "-"), "", "no access token"),
        (("--token-file", "-"), "an opaque one", "no access token"),
        (("--token-file", "-"), token(exp=None), "exp is missing"),
        (("--token-file", "-"), token(iss="https://else.example/"), "none of `issuers`"),
        (("--token-file", "-"), token(jti=None), "account revoke-tokens"),
    ],
)
def test_what_cannot_be_revoked_says_what_can(
    shell: Shell,
    redis_url: str,
    request: pytest.FixtureRequest,
    arguments: tuple[str, ...],
    stdin: str,
    says: str,
) -> None:
    assert shell.run("token", "revoke", *arguments, stdin=stdin) == 2
    assert says in shell.err
    assert "eyJ" not in shell.out + shell.err
    assert stored(redis_url, request) == {}


def test_a_token_for_ever_can_be_revoked(shell: Shell) -> None:
    text = token(exp=2**53)

    assert shell.run("token", "revoke", "--token-file", "-", stdin=text) == 0
    assert "9.0072e+15" in shell.out


def test_a_realms_tokens_are_revoked_when_told_so_twice(
    two_realms: Shell, redis_url: str, request: pytest.FixtureRequest
) -> None:
    assert two_realms.run("realm", "revoke-tokens", "corp", stdin="n\n") == 1
    assert two_realms.run("realm", "revoke-tokens", "corp") == 1  # nobody there to answer
    assert "Every program of realm corp" in two_realms.err
    assert stored(redis_url, request) == {}

    assert two_realms.run("realm", "revoke-tokens", "corp", stdin="y\n") == 0
    assert "tokens of realm corp issued before" in two_realms.out
    assert list(stored(redis_url, request)) == ["realm:corp"]

    assert two_realms.run("realm", "revoke-tokens", "partners", "--yes") == 0
    audit = json.loads(two_realms.err)
    assert (audit["event"], audit["realm"]) == ("realm", "partners")


def test_a_realm_that_is_not_there_is_not_revoked(two_realms: Shell) -> None:
    assert two_realms.run("realm", "revoke-tokens", "other", "--yes") == 2
    assert "there are corp, partners" in two_realms.err


def test_without_a_store_nothing_is_claimed_to_be_revoked(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "s.yaml", "redis://127.0.0.1:9/0")

    assert shell.run("realm", "revoke-tokens", "default", "--yes") == 3
    assert shell.out == ""
