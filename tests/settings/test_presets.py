"""What each preset knows of its provider."""

from typing import Any, get_args

import pytest

from sidecar.core.issuer import Issuer
from sidecar.core.profile import RFC9068_TOKEN_TYPES, Profile
from sidecar.settings.presets import PARTS, PRESETS, PresetName, recognize
from tests.settings.desk import Desk, changed

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
API = "00001111-aaaa-2222-bbbb-3333cccc4444"
ENTRA_V2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
ENTRA_V1 = f"https://sts.windows.net/{TENANT}/"


def rules(desk: Desk, **members: Any) -> dict[str, Issuer]:
    return dict(desk.load(changed(issuers=[members])).issuer_rules())


def keys(desk: Desk, **members: Any) -> list[str | None]:
    return [each.jwks_url for each in desk.load(changed(issuers=[members])).issuers]


def test_every_preset_that_can_be_named_is_there() -> None:
    assert set(get_args(PresetName)) == set(PRESETS)
    assert {part for preset in PRESETS.values() for part in preset.parts} == set(PARTS)


def test_entra_means_both_issuers_of_a_tenant_in_one_realm(desk: Desk) -> None:
    issuers = rules(desk, preset="entra", tenant=TENANT, audiences=[API], realm="corp")

    v2, v1 = issuers[ENTRA_V2], issuers[ENTRA_V1]
    assert len(issuers) == 2
    assert (v2.realm, v1.realm) == ("corp", "corp")
    assert (v2.required_claims, v1.required_claims) == ({"ver": "2.0"}, {"ver": "1.0"})
    assert v2.needed_claims == {"azp"}
    assert v1.needed_claims == {"appid"}
    assert v2.audiences == v1.audiences == {API}
    assert v2.scope_claims == v1.scope_claims == ("roles", "scp")
    assert v2.leeway == v1.leeway == 0
    assert keys(desk, preset="entra", tenant=TENANT, audiences=[API]) == [
        f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys",
        f"https://login.microsoftonline.com/{TENANT}/discovery/keys",
    ]


def test_what_is_set_beside_entra_holds_for_both_of_its_issuers(desk: Desk) -> None:
    issuers = rules(
        desk,
        preset="entra",
        tenant=TENANT,
        audiences=[API],
        clients=["robot"],
        leeway=7,
        scope_claims=["scp"],
        required_claims={"idtyp": "app"},
    )

    assert [each.leeway for each in issuers.values()] == [7, 7]
    assert [each.scope_claims for each in issuers.values()] == [("scp",), ("scp",)]
    assert [each.client_claim for each in issuers.values()] == ["azp", "appid"]
    assert issuers[ENTRA_V2].required_claims == {"ver": "2.0", "idtyp": "app"}
    assert issuers[ENTRA_V1].required_claims == {"ver": "1.0", "idtyp": "app"}


def test_opaque_tokens_are_asked_about_at_one_of_entras_issuers(desk: Desk) -> None:
    secret = desk.write("secret", b"a secret")
    entra = {"preset": "entra", "tenant": TENANT, "audiences": [API]}
    asked = {"client_id": "us", "url": "https://idp.example/i", "secret_file": secret}

    issuers = rules(desk, **entra, introspection=asked)
    problem = desk.the_problem(
        changed(issuers=[{**entra, "introspection": {**asked, "tokens": "all"}}])
    )

    assert issuers[ENTRA_V2].introspection is not None
    assert issuers[ENTRA_V1].introspection is None
    assert "both take opaque tokens" in problem, "no token passes unasked where all are asked about"


@pytest.mark.parametrize(("preset", "issuer"), [("entra-v1", ENTRA_V1), ("entra-v2", ENTRA_V2)])
def test_one_of_entras_issuers_can_be_meant_alone(desk: Desk, preset: str, issuer: str) -> None:
    assert list(rules(desk, preset=preset, tenant=TENANT, audiences=[API])) == [issuer]


@pytest.mark.parametrize(
    ("settings", "issuer", "jwks_url", "needed"),
    [
        (
            {"preset": "okta", "domain": "acme.okta.com", "audiences": ["api://default"]},
            "https://acme.okta.com/oauth2/default",
            "https://acme.okta.com/oauth2/default/v1/keys",
            {"cid"},
        ),
        (
            {"preset": "okta", "domain": "acme.okta.com", "server": "aus1", "audiences": ["a"]},
            "https://acme.okta.com/oauth2/aus1",
            "https://acme.okta.com/oauth2/aus1/v1/keys",
            {"cid"},
        ),
        (
            {"preset": "okta-org", "domain": "acme.okta.com"},
            "https://acme.okta.com",
            "https://acme.okta.com/oauth2/v1/keys",
            {"cid"},
        ),
        (
            {"preset": "auth0", "domain": "acme.eu.auth0.com", "audiences": ["https://api"]},
            "https://acme.eu.auth0.com/",
            "https://acme.eu.auth0.com/.well-known/jwks.json",
            {"azp"},
        ),
        (
            {"preset": "cognito", "pool": "eu-west-1_AbC123", "clients": ["robot"]},
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123",
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123/.well-known/jwks.json",
            set(),
        ),
        (
            {"preset": "keycloak", "issuer": "https://sso.example/realms/a", "audiences": ["api"]},
            "https://sso.example/realms/a",
            "https://sso.example/realms/a/protocol/openid-connect/certs",
            {"azp"},
        ),
        (
            {"preset": "keycloak", "issuer": "https://i/auth/realms/a", "audiences": ["api"]},
            "https://i/auth/realms/a",
            "https://i/auth/realms/a/protocol/openid-connect/certs",
            {"azp"},
        ),
        (
            {"preset": "jumpcloud", "clients": ["robot"]},
            "https://oauth.id.jumpcloud.com/",
            None,
            set(),
        ),
        (
            {"preset": "google", "audiences": ["https://api.example"]},
            "https://accounts.google.com",
            "https://www.googleapis.com/oauth2/v3/certs",
            {"azp"},
        ),
        (
            {"preset": "oidc", "issuer": "https://ping.example/as", "audiences": ["api"]},
            "https://ping.example/as",
            None,
            set(),
        ),
    ],
    ids=lambda value: str(value.get("preset")) if isinstance(value, dict) else None,
)
def test_a_preset_knows_the_issuer_and_where_its_keys_are(
    desk: Desk, settings: dict[str, Any], issuer: str, jwks_url: str | None, needed: set[str]
) -> None:
    (found,) = rules(desk, **settings).values()

    assert found.name == issuer
    assert found.needed_claims == needed
    assert found.leeway == 2
    assert keys(desk, **settings) == [jwks_url]


def test_oktas_own_server_has_itself_for_audience(desk: Desk) -> None:
    (found,) = rules(desk, preset="okta-org", domain="acme.okta.com").values()

    assert found.audiences == {"https://acme.okta.com"}
    assert "application/okta-internal-at+jwt" in found.token_types


@pytest.mark.parametrize(
    ("settings", "claim"),
    [
        ({"preset": "okta", "domain": "a.okta.com"}, "cid"),
        ({"preset": "auth0", "domain": "a.auth0.com"}, "azp"),
        ({"preset": "auth0", "domain": "a.auth0.com", "profile": "rfc9068"}, "client_id"),
        ({"preset": "keycloak", "issuer": "https://i/realms/a"}, "azp"),
        ({"preset": "cognito", "pool": "eu-west-1_A"}, "client_id"),
        ({"preset": "oidc", "issuer": "https://i/", "client_claim": "cid"}, "cid"),
    ],
)
def test_clients_are_known_by_the_claim_in_which_the_provider_names_them(
    desk: Desk, settings: dict[str, Any], claim: str
) -> None:
    (found,) = rules(desk, **settings, clients=["robot"], audiences=["api"]).values()

    assert found.client_claim == claim
    assert found.clients == {"robot"}


def test_what_is_set_outweighs_the_preset(desk: Desk) -> None:
    (found,) = rules(
        desk,
        preset="keycloak",
        issuer="https://sso.example/realms/a",
        audiences=["api"],
        algorithms=["ES256"],
        needed_claims=[],
        leeway=0,
        token_types=["at+jwt"],
        required_claims={"typ": "DPoP", "acr": "1"},
    ).values()

    assert found.needed_claims == frozenset()
    assert found.leeway == 0
    assert found.token_types == {"at+jwt"}
    assert found.required_claims == {"typ": "DPoP", "acr": "1"}
    settings = {"preset": "google", "audiences": ["a"], "jwks_url": None}
    assert keys(desk, **settings) == [None]


def test_the_profile_of_rfc_9068_says_itself_what_a_token_has(desk: Desk) -> None:
    (found,) = rules(
        desk, preset="auth0", domain="a.auth0.com", audiences=["api"], profile="rfc9068"
    ).values()

    assert found.profile is Profile.RFC9068
    assert (found.token_types, found.type_required) == (RFC9068_TOKEN_TYPES, True)
    assert found.needed_claims == frozenset()


@pytest.mark.parametrize(
    ("issuer", "provider"),
    [
        ("https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/v2.0", "entra-v2"),
        ("https://sts.windows.net/aaaabbbb-0000-cccc-1111-dddd2222eeee/", "entra-v1"),
        ("https://acme.okta.com/oauth2/default", "okta"),
        ("https://acme.okta.com", "okta-org"),
        ("https://acme.eu.auth0.com/", "auth0"),
        ("https://acme.eu.auth0.com", "auth0"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC", "cognito"),
        ("https://sso.example/realms/corp", "keycloak"),
        ("https://oauth.id.jumpcloud.com/", "jumpcloud"),
        ("https://accounts.google.com", "google"),
        ("https://login.example/", None),
        ("", None),
        (None, None),
        (["https://accounts.google.com"], None),
    ],
)
def test_an_issuer_shows_whose_it_is(issuer: object, provider: str | None) -> None:
    assert recognize(issuer) == provider


@pytest.mark.parametrize(
    ("preset", "issuer", "parts"),
    [
        ("entra", ENTRA_V2, {"tenant": TENANT}),
        ("okta", "https://a.okta.com/oauth2/x", {"domain": "a.okta.com", "server": "x"}),
        ("okta-org", "https://a.okta.com", {"domain": "a.okta.com"}),
        ("auth0", "https://login.acme.example/", {"domain": "login.acme.example"}),
        (
            "cognito",
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_A",
            {"pool": "eu-west-1_A"},
        ),
        ("cognito", "https://cognito-idp.us-east-1.amazonaws.com/eu-west-1_A", {}),
        ("entra-v2", ENTRA_V2.replace(".com", ".us"), {}),
        ("google", "https://accounts.google.com", {}),
        ("auth0", "https://a.auth0.com", {}),
    ],
)
def test_an_issuer_is_taken_apart_where_its_parts_make_it_again(
    preset: str, issuer: str, parts: dict[str, str]
) -> None:
    assert PRESETS[preset].parts_of(issuer) == parts
