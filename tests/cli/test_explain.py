"""``sidecar explain``: step by step, and never the token."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sidecar.cli.explain import REMEDIES, _steps
from sidecar.cli.main import cli
from sidecar.core.decision import DenyReason
from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from tests.test_introspection import OPAQUE, asking


class Site:
    """An identity provider and Redis in an event loop of their own, and settings for them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.provider: IdentityProvider
        self.redis: RedisServer
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        clients = [Client("robot", "secret", "robot", ("read",))]
        async with IdentityProvider(clients) as self.provider, RedisServer() as self.redis:
            self._started.set()
            await self._stop.wait()

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(20)
        self.file.write_text(
            yaml.safe_dump(
                {
                    "upstream": {"url": "http://127.0.0.1:9"},
                    "routes": [
                        {"name": "reports", "path": "/reports", "scopes": ["read"]},
                        {"name": "admin", "path": "/admin", "groups": ["admin"]},
                        {"name": "open", "path": "/open", "bearer": False},
                        {"name": "shadow", "path": "/shadow", "shadow": True},
                    ],
                    "shadow_unmatched": True,
                    "issuers": [
                        {
                            "issuer": self.provider.issuer,
                            "audiences": ["hoop-gateway"],
                            "insecure_http": True,
                        }
                    ],
                    "accounts": {"url": self.redis.url, "read_timeout": 1},
                }
            )
        )

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def command(self, *words: str) -> None:
        asyncio.run_coroutine_threadsafe(self.redis.command(*words), self._loop).result(10)

    def explain(self, request: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        command = ["explain", request, *arguments, "--config", str(self.file)]
        result = CliRunner().invoke(cli, command, input=stdin)
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("explain") / "sidecar.yaml")
    site.start()
    yield site
    site.end()


def test_a_denial_is_explained_step_by_step_without_the_token(site: Site) -> None:
    token = site.provider.issue("robot", sub="stranger")

    code, out, err = site.explain("GET /reports", "--token-file", "-", stdin=token + "\n")

    assert code == 1
    for said in (
        "request    GET /reports",
        "route      reports (/reports) needs a bearer token, scopes read",
        "token      alg RS256",
        "issuer     known, realm default",
        "signature  good",
        "subject    stranger",
        "claims     aud hoop-gateway; scopes read; client robot; expires in",
        "account    none",
        "decision   denied: subject_unknown",
        "client     sees 401 invalid_token",
        "remedy     let it in with `sidecar account create",
    ):
        assert said in out
    assert token.split(".")[1] not in out + err


def test_a_grant_is_explained_too(site: Site, tmp_path: Path) -> None:
    site.command("HSET", "sidecar:account:default:robot", "status", "active", "groups", "ops")
    file = tmp_path / "token"
    file.write_text(site.provider.issue("robot"))

    code, out, _ = site.explain("GET /reports", "--token-file", str(file))

    assert code == 0
    assert "account    active, groups ops" in out
    assert "decision   granted" in out
    code, out, _ = site.explain("GET /admin", "--token", file.read_text())
    assert code == 1
    assert "one of the groups admin" in out
    assert "denied: missing_group" in out


def test_an_open_route_needs_nothing(site: Site) -> None:
    code, out, _ = site.explain("GET /open")

    assert code == 0
    assert "needs nothing" in out


@pytest.mark.parametrize(
    ("request_line", "arguments", "reason"),
    [
        ("GET /nowhere", (), "no_route"),
        ("GET /reports", (), "no_credentials"),
        ("GET /reports?access_token=x", (), "malformed_credentials"),
        ("GET /reports", ("--token", "garbage"), "token_unreadable"),
        ("get /reports", (), "method_refused"),
        ("GET /a//b", (), "malformed_request"),
    ],
)
def test_what_fails_before_the_token_says_where(
    site: Site, request_line: str, arguments: tuple[str, ...], reason: str
) -> None:
    code, out, _ = site.explain(request_line, *arguments)

    assert code == 1
    assert f"denied: {reason}" in out


def test_a_token_writes_nothing_to_the_terminal_but_plain_letters(site: Site) -> None:
    token = site.provider.issue("robot", iss="https://evil\x1b[2J\x07")

    code, out, _ = site.explain("GET /reports", "--token", token)

    assert code == 1
    assert "unknown_issuer" in out
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.parametrize(
    ("request_line", "arguments", "says"),
    [
        ("reports", (), "name a method and a path"),
        ("GET /reports", ("--token", "a", "--token-file", "b"), "not both"),
        ("GET /reports", ("--token-file", "/nowhere/token"), "cannot be read"),
    ],
)
def test_bad_usage_says_what_is_good(
    site: Site, request_line: str, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = site.explain(request_line, *arguments)

    assert code == 2
    assert says in err


def test_a_denial_that_is_not_enforced_is_explained_as_one_and_said_to_pass(site: Site) -> None:
    code, out, _ = site.explain("GET /shadow")

    assert code == 1
    assert "denied: no_credentials" in out
    assert "shadow     it passes all the same" in out
    assert "passes all the same" not in site.explain("GET /reports")[1]
    code, out, _ = site.explain("GET /elsewhere")
    assert code == 1
    assert "needs what nobody has: no other route matches" in out
    assert "denied: no_route" in out


def test_every_denial_has_a_remedy() -> None:
    assert set(REMEDIES) == set(DenyReason)
    remedies: list[Any] = list(REMEDIES.values())
    assert len(set(remedies)) == len(remedies)


def test_groups_that_are_not_simply_the_accounts_are_explained(site: Site, tmp_path: Path) -> None:
    site.command("HSET", "sidecar:account:default:robot", "status", "active", "groups", "ops")
    settings = yaml.safe_load(site.file.read_text())
    settings["issuers"][0]["group_names"] = {"ops": "admin"}
    file = tmp_path / "renamed.yaml"
    file.write_text(yaml.safe_dump(settings))
    token = site.provider.issue("robot")

    def explain() -> str:
        command = ["explain", "GET /admin", "--token", token, "--config", str(file)]
        return CliRunner().invoke(cli, command).stdout

    said = explain()
    assert "account    active, groups ops" in said
    assert "groups     admin; from the account, under their group_names" in said
    assert "decision   granted" in said

    settings["issuers"][0] |= {"groups_from": "claim", "groups_claim": "https://x.example/groups"}
    file.write_text(yaml.safe_dump(settings))
    said = explain()
    assert "groups     none; from the claim https://x.example/groups" in said
    assert "denied: missing_group" in said
    assert "left out" not in said

    claims: dict[str, Any] = {"https://x.example/groups": ["dev", "admin", "a,b", "\x1b[31m"]}
    token = site.provider.issue("robot", **claims)
    said = explain()
    assert "groups     dev; from the claim" in said
    assert "left out   admin, a,b, \\x1b[31m: no name of a group" in said


def test_an_account_under_another_name_of_the_client_is_found(site: Site) -> None:
    site.command("HSET", "sidecar:account:default:robot", "status", "active", "groups", "ops")
    token = site.provider.issue("robot", sub="object-id")

    code, out, err = site.explain("GET /reports", "--token", token)

    assert code == 1
    assert "mistake    the account robot is there, which is another name of this client" in out
    assert "the token's `sub` is object-id; create that one, and delete the other" in out
    assert token not in out + err


def test_what_a_token_is_bound_to_is_said(site: Site) -> None:
    thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    token = site.provider.issue(
        "robot", cnf={"jkt": thumbprint, "x5t#S256": thumbprint, "kid": "1"}
    )

    code, out, _ = site.explain("GET /reports", "--token", token)

    assert code == 1
    assert (
        "binding    to a key (dpop: off) and a certificate (mtls: off) and something that is not"
        " known here; no proof of it is shown here"
    ) in out
    assert "denied: binding_refused" in out
    assert thumbprint not in out


async def test_an_opaque_token_is_explained_by_what_its_issuer_answered() -> None:
    world = asking()
    request = world.request(token=OPAQUE)
    lines = list(_steps(request, *await world.authorizer.explain(request), world.clock.now()))

    assert "answer     active, by introspection" in lines
    assert "subject    robot" in lines
    assert lines[-1] == "decision   granted"
    assert OPAQUE not in "".join(lines)
    world.introspector.is_down = True
    lines = list(_steps(request, *await world.authorizer.explain(request), world.clock.now()))

    assert "client     sees 503 temporarily_unavailable" in lines
    assert "introspection endpoint does not answer" in lines[-1]
