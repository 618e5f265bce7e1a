"""``sidecar provider detect``: from a provider's URL to settings that can be pasted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sidecar.cli.main import cli
from tests.fakes.provider import Provider, provider_in_a_thread
from tests.fakes.tokens import mldsa_key, rsa_key, seal
from tests.settings.desk import GOOD, Desk


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_in_a_thread() as provider:
        provider.tell()
        key = rsa_key()
        provider.publish({**key.public.as_dict(private=False), "kid": key.kid})
        yield provider


def run(*arguments: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
    command = ["provider", "detect", *arguments]
    result = CliRunner(env={"ACCESS_TOKEN": "", **environ}).invoke(cli, command, input=stdin)
    return result.exit_code, result.stdout, result.stderr


def token_of(provider: Provider) -> str:
    claims = {"iss": provider.issuer, "sub": "robot", "aud": "api", "exp": 4_000_000_000}
    return seal({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims, rsa_key())


def test_settings_are_printed_for_a_provider_at_its_url(provider: Provider) -> None:
    code, out, err = run(provider.issuer, "--insecure-http")

    assert (code, err) == (0, "")
    assert yaml.safe_load(out)["issuers"] == [
        {"preset": "oidc", "issuer": provider.issuer, "insecure_http": True, "audiences": []}
    ]
    assert "# fill in: the `aud` of tokens for this API" in out


@pytest.mark.parametrize("way", ["stdin", "variable", "header"])
def test_a_token_completes_them_and_is_shown_nowhere(
    provider: Provider, tmp_path: Path, way: str
) -> None:
    token = token_of(provider)
    arguments = (provider.issuer, "--insecure-http", "--token")
    if way == "variable":
        code, out, err = run(*arguments, ACCESS_TOKEN=token)
    else:
        code, out, err = run(*arguments, stdin=f"Bearer {token}\n" if way == "header" else token)

    assert code == 0
    assert token not in out + err
    issuers = yaml.safe_load(out)["issuers"]
    assert issuers[0]["audiences"] == ["api"]
    loaded = Desk(tmp_path).load({**GOOD, "issuers": issuers})
    assert list(loaded.issuer_rules()) == [provider.issuer]


def test_post_quantum_keys_are_known(provider: Provider) -> None:
    provider.publish(mldsa_key("pq", "ML-DSA-87").jwk())

    code, out, _ = run(provider.issuer, "--insecure-http")

    assert code == 0
    assert yaml.safe_load(out)["issuers"][0]["algorithms"] == ["ML-DSA-87"]


def test_a_provider_that_cannot_be_asked_ends_with_3(provider: Provider) -> None:
    provider.documents.clear()

    code, out, err = run(provider.issuer, "--insecure-http")

    assert (code, out) == (3, "")
    assert err.startswith("the provider cannot be detected: no discovery document at")


def test_plain_http_is_refused_with_the_remedy(provider: Provider) -> None:
    code, _, err = run(provider.issuer)

    assert code == 3
    assert "on this machine --insecure-http allows it" in err
    assert provider.asked == []


def test_a_token_of_somebody_else_ends_with_1(provider: Provider) -> None:
    token = token_of(provider)
    provider.publish(mldsa_key().jwk())

    code, out, err = run(provider.issuer, "--insecure-http", "--token", stdin=token)

    assert (code, out) == (1, "")
    assert "the token is of no use here: unknown_key" in err
    assert token not in err


def test_authorities_that_are_none_end_with_2(provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")

    code, out, err = run(provider.issuer, "--insecure-http", "--ca", str(file))

    assert (code, out) == (2, "")
    assert err.startswith("--ca: ")


def test_no_token_ends_with_2(provider: Provider) -> None:
    code, _, err = run(provider.issuer, "--insecure-http", "--token")

    assert code == 2
    assert "there is no token in ACCESS_TOKEN, nor on stdin" in err


def test_what_a_stranger_names_cannot_break_out_of_the_settings(provider: Provider) -> None:
    audience = 'api"]\nadmin: {token: x}\n#'
    claims = {"iss": provider.issuer, "sub": "robot", "aud": audience, "exp": 4_000_000_000}
    token = seal({"alg": "RS256", "kid": "rsa"}, json.dumps(claims), rsa_key())

    code, out, _ = run(provider.issuer, "--insecure-http", "--token", stdin=token)

    assert code == 0
    assert yaml.safe_load(out).keys() == {"issuers"}
    assert yaml.safe_load(out)["issuers"][0]["audiences"] == [audience]
