"""Settings become questions: each way to say who asks, against a real server on loopback."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from joserfc import jwt

from sidecar.adapters.clock import SystemClock
from sidecar.app.checking import problems_of
from sidecar.app.introspecting import introspection_warnings, open_introspector
from sidecar.core.bearer import BearerToken
from sidecar.introspection import IntrospectionUnavailable, NoIntrospection
from sidecar.settings import Settings
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.introspection import (
    IntrospectionServer,
    RecordingIntrospections,
    introspection_server,
)
from tests.fakes.tokens import ec_key

TOKEN = BearerToken("sesame")


def asking(
    directory: Path,
    server: IntrospectionServer,
    *,
    issuer: Mapping[str, Any] = MappingProxyType({}),
    **how: Any,
) -> Settings:
    issuers = [
        {
            "issuer": server.issuer,
            "audiences": ["api"],
            "insecure_http": True,
            "introspection": {"client_id": "us", **how},
            **issuer,
        }
    ]
    return settings(directory, issuers=issuers)


async def ask(wanted: Settings) -> Any:
    observer = RecordingIntrospections()
    async with open_introspector(wanted, SystemClock(), observer) as introspector:
        return await introspector.introspect(wanted.issuers[0].issuer, TOKEN)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text("our secret\n")
    return str(file)


async def test_nobody_is_asked_where_no_endpoint_is_set(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    async with open_introspector(wanted, SystemClock(), RecordingIntrospections()) as found:
        assert isinstance(found, NoIntrospection)


async def test_a_secret_is_sent_by_basic_or_in_the_form(tmp_path: Path, secret: str) -> None:
    async with introspection_server() as server:
        server.active["sesame"] = {"sub": "robot"}
        for way in ("client_secret_basic", "client_secret_post"):
            wanted = asking(tmp_path, server, authentication=way, secret_file=secret)
            assert (await ask(wanted))["sub"] == "robot"

    basic, posted = server.forms
    assert server.headers[0]["Authorization"].startswith("Basic ")
    assert "client_secret" not in basic
    assert (posted["client_id"], posted["client_secret"]) == ("us", "our secret")
    assert "Authorization" not in server.headers[1]


async def test_an_assertion_is_for_the_issuer_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(ec_key().private.as_pem(private=True))
    way: dict[str, Any] = {
        "authentication": "private_key_jwt",
        "key_file": str(file),
        "algorithm": "ES256",
        "key_id": "ours",
    }
    async with introspection_server() as server:
        await ask(asking(tmp_path, server, **way))
        await ask(asking(tmp_path, server, assertion_audience=server.url, **way))
        tokens = [
            jwt.decode(form["client_assertion"], ec_key().public, algorithms=["ES256"])
            for form in server.forms
        ]

    assert [token.claims["aud"] for token in tokens] == [server.issuer, server.url]
    assert tokens[0].header["kid"] == "ours"


async def test_a_certificate_is_shown(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, "ours")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    serving.load_cert_chain(certificates.certificate, certificates.key)
    serving.verify_mode = ssl.CERT_REQUIRED
    async with introspection_server(serving) as server:
        server.active["sesame"] = {"sub": "robot"}
        wanted = asking(
            tmp_path,
            server,
            issuer={"ca": str(certificates.ca), "insecure_http": False},
            url=server.url,
            authentication="tls_client_auth",
            certificate=str(certificates.certificate),
            certificate_key=str(certificates.key),
        )
        assert problems_of(wanted) == []
        assert (await ask(wanted))["sub"] == "robot"

    assert server.forms[0]["client_id"] == "us"


async def test_without_the_authority_nobody_is_told_the_token(tmp_path: Path, secret: str) -> None:
    certificates = Certificates(tmp_path, "ours")
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificates.certificate, certificates.key)
    async with introspection_server(serving) as server:
        with pytest.raises(IntrospectionUnavailable):
            await ask(asking(tmp_path, server, url=server.url, secret_file=secret))

    assert server.forms == []


async def test_a_rotated_secret_is_used_at_once(tmp_path: Path, secret: str) -> None:
    def rotate() -> None:
        Path(secret).write_text("another\n")

    async with introspection_server() as server:
        wanted = asking(
            tmp_path, server, authentication="client_secret_post", secret_file=secret, cache=0,
            inactive_cache=0,
        )  # fmt: skip
        async with open_introspector(wanted, SystemClock(), RecordingIntrospections()) as found:
            await found.introspect(server.issuer, TOKEN)
            rotate()
            await found.introspect(server.issuer, TOKEN)

    assert [form["client_secret"] for form in server.forms] == ["our secret", "another"]


@pytest.mark.parametrize(
    "how",
    [
        {"authentication": "private_key_jwt", "key_file": "{junk}"},
        {"authentication": "tls_client_auth", "certificate": "{junk}"},
    ],
)
def test_a_file_that_is_no_key_is_found_at_the_start(tmp_path: Path, how: dict[str, str]) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    server = IntrospectionServer("https://idp.example")
    found: dict[str, Any] = {name: value.format(junk=junk) for name, value in how.items()}

    (problem,) = problems_of(asking(tmp_path, server, **found))

    assert problem.place == "issuers.introspection"
    assert "junk.pem" in problem.text


async def test_a_probe_finds_an_endpoint_that_does_not_know_us_or_says_yes_to_everything(
    tmp_path: Path, secret: str
) -> None:
    async with introspection_server() as server:
        wanted = asking(tmp_path, server, secret_file=secret, prefix="at_")
        assert await introspection_warnings(wanted) == []
        server.status = 401
        (refused,) = await introspection_warnings(wanted)
        server.status, server.active_by_default = 200, {"sub": "robot"}
        (gullible,) = await introspection_warnings(wanted)

    assert refused.place == gullible.place == "issuers[0].introspection"
    assert "status 401" in refused.text
    assert "never issued" in gullible.text
    assert all(form["token"].startswith("at_") for form in server.forms)
    assert await introspection_warnings(settings(tmp_path)) == []
