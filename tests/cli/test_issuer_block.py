"""The proposed settings: those of the preset, and good for the token that they were made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.adapters.provider_metadata import ProviderMetadata
from sidecar.app.detecting import Detected
from sidecar.cli.issuer_block import IssuerBlock, NotItsToken
from sidecar.core.token import VerificationKeys
from sidecar.settings.issuers import Issuer
from tests.fakes.tokens import AnyKey, encode, key_set, mldsa_key, rsa_key, seal
from tests.fakes.world import NOW
from tests.test_provider_tokens import (
    AUTH0,
    COGNITO,
    ENTRA_ID_TOKEN,
    ENTRA_V1,
    ENTRA_V2,
    GOOGLE,
    JUMPCLOUD,
    KEYCLOAK,
    OKTA,
    OKTA_ORG,
    PING,
    TENANT,
    without,
)


def detected(
    issuer: str, *keys: AnyKey, algorithms: tuple[str, ...] = ("RS256",), **more: Any
) -> Detected:
    told = {"token_endpoint": None, "introspection_endpoint": None, **more}
    metadata = ProviderMetadata(issuer, f"{issuer}/k", algorithms=frozenset(), **told)
    return Detected(metadata, VerificationKeys(key_set(keys or [rsa_key()]), 1), (), algorithms)


def block_of(issuer: str, **more: Any) -> IssuerBlock:
    return IssuerBlock(detected(issuer, **more), insecure_http=False)


def token(claims: Mapping[str, Any], key: AnyKey | None = None, typ: str | None = "JWT") -> str:
    key = key or rsa_key()
    header = {"alg": key.algorithm, "kid": key.kid, "typ": typ}
    return seal({name: v for name, v in header.items() if v is not None}, claims, key)


def read(block: IssuerBlock) -> dict[str, Any]:
    """Return the one issuer of the printed YAML."""
    (found,) = yaml.safe_load("\n".join(block.lines()))["issuers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (ENTRA_V2, {"preset": "entra", "tenant": TENANT, "audiences": [ENTRA_V2["aud"]]}),
        (ENTRA_V1, {"preset": "entra", "tenant": TENANT, "audiences": [ENTRA_V1["aud"]]}),
        (
            OKTA,
            {"preset": "okta", "domain": "acme.okta.com", "server": "default"}
            | {"audiences": ["api://default"]},
        ),
        (
            OKTA_ORG,
            {"preset": "okta-org", "domain": "acme.okta.com"}
            | {"audiences": ["https://acme.okta.com"]},
        ),
        (
            AUTH0,
            {"preset": "auth0", "domain": "acme.eu.auth0.com"} | {"audiences": [AUTH0["aud"]]},
        ),
        (
            COGNITO,
            {"preset": "cognito", "pool": "eu-west-1_AbC123"} | {"clients": [COGNITO["client_id"]]},
        ),
        (
            KEYCLOAK,
            {"preset": "keycloak", "issuer": KEYCLOAK["iss"], "audiences": ["api"]},
        ),
        (
            without(KEYCLOAK, "aud"),
            {"preset": "keycloak", "issuer": KEYCLOAK["iss"], "clients": ["robot"]},
        ),
        (JUMPCLOUD, {"preset": "jumpcloud", "clients": [JUMPCLOUD["client_id"]]}),
        (GOOGLE, {"preset": "google", "audiences": [GOOGLE["aud"]]}),
        (PING, {"preset": "oidc", "issuer": PING["iss"], "audiences": PING["aud"]}),
    ],
    ids=lambda value: value.get("preset"),
)
def test_a_token_fills_the_settings_in_and_is_let_in_by_them(
    claims: Mapping[str, Any], expected: dict[str, Any]
) -> None:
    block = block_of(claims["iss"])

    block.fill_from(token(claims), NOW)

    assert read(block) == expected
    assert block.denial == ""
    assert Issuer.model_validate(expected).rules().name


def test_without_a_token_it_says_what_is_to_be_filled_in() -> None:
    entra, cognito = block_of(ENTRA_V2["iss"]), block_of(COGNITO["iss"])

    assert "audiences: []  # fill in: the `aud` of tokens for this API" in "\n".join(entra.lines())
    assert "clients: []  # fill in: the client ids to let in" in "\n".join(cognito.lines())


def test_what_else_is_known_is_said_in_comments() -> None:
    found = detected("https://idp.example/", introspection_endpoint="https://idp.example/i")
    odd = Detected(found.metadata, found.keys, ("key 1: \x1b[2J",), found.algorithms)

    text = "\n".join(IssuerBlock(odd, insecure_http=False).lines())

    assert "# oidc: 1 key(s) at https://idp.example//k" in text
    assert "# Opaque tokens it knows at https://idp.example/i (introspection)" in text
    assert "# not used: key 1: \\x1b[2J" in text
    assert "\x1b" not in text


def test_algorithms_and_plain_http_are_written_where_they_are_not_the_usual() -> None:
    plain = IssuerBlock(
        detected("http://127.0.0.1:8443/realms/a", algorithms=("ES256", "ML-DSA-65")),
        insecure_http=True,
    )

    assert read(plain) == {
        "preset": "keycloak",
        "issuer": "http://127.0.0.1:8443/realms/a",
        "insecure_http": True,
        "algorithms": ["ES256", "ML-DSA-65"],
        "audiences": [],
    }


def test_authorities_of_ones_own_are_written_too(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    block = IssuerBlock(detected(PING["iss"]), ca=file)

    block.fill_from(token(PING), NOW)

    assert read(block)["ca"] == str(file)


def test_auth0_is_known_under_a_domain_of_the_customers_own() -> None:
    issuer = "https://login.acme.example/"

    assert read(block_of(issuer, token_endpoint=f"{issuer}oauth/token"))["preset"] == "auth0"
    assert read(block_of(issuer, token_endpoint=f"{issuer}token"))["preset"] == "oidc"


def test_the_tokens_own_algorithm_and_type_are_taken_over() -> None:
    key = mldsa_key()
    block = IssuerBlock(detected(PING["iss"], key, algorithms=("RS256",)), insecure_http=False)

    block.fill_from(token(PING, key, typ="X+jwt"), NOW)

    found = read(block)
    assert found["algorithms"] == ["ML-DSA-44"]
    assert found["token_types"] == ["x+jwt"]
    assert block.denial == ""


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({**PING, "exp": NOW - 9}, "token_expired"),
        (without(PING, "aud"), ""),
        (ENTRA_ID_TOKEN, "claims_refused (azp is missing or empty)"),
        ({**KEYCLOAK, "typ": "ID"}, "claims_refused (typ is not as required)"),
        (without(PING, "aud", "client_id"), "wrong_audience"),
    ],
)
def test_a_token_that_they_deny_is_told(claims: Mapping[str, Any], says: str) -> None:
    block = block_of(claims["iss"])

    block.fill_from(token(claims), NOW)

    text = "\n".join(block.lines())
    assert says in block.denial
    assert ("With these settings the token is denied" in text) is bool(says)


@pytest.mark.parametrize(
    ("compact", "says"),
    [
        (
            token({**PING, "iss": "https://a.example\x1b"}),
            "https://a.example\\x1b; this is",
        ),
        (token(PING, rsa_key("another")), "unknown_key"),
        (f"{token(PING).rpartition('.')[0]}.{encode(bytes(256))}", "bad_signature"),
        ("opaque", "token_unreadable"),
        ("é.é.é", "that is no token"),
    ],
)
def test_a_token_of_somebody_else_is_refused(compact: str, says: str) -> None:
    block = block_of(PING["iss"])

    with pytest.raises(NotItsToken) as refused:
        block.fill_from(compact, NOW)

    assert says in str(refused.value)
    assert read(block)["audiences"] == []
