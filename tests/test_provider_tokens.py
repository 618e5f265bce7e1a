"""Tokens with the claims that each provider documents, judged by its preset alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.settings.issuers import Issuer, with_twins
from tests.fakes.world import NOW, World

R = DenyReason
TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
OTHER_TENANT = "ffffbbbb-0000-cccc-1111-dddd2222eeee"
API = "00001111-aaaa-2222-bbbb-3333cccc4444"
CLIENT = "11112222-bbbb-3333-cccc-4444dddd5555"
PRINCIPAL = "22223333-cccc-4444-dddd-5555eeee6666"  # the object id of the service principal
APP_OBJECT = "33334444-dddd-5555-eeee-6666ffff7777"  # that of the app registration

DATES: dict[str, Any] = {"iat": NOW - 300, "nbf": NOW - 300, "exp": NOW + 3600}
ENTRA_V2: dict[str, Any] = {
    "aud": API,
    "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    **DATES,
    "aio": "k2RgYNj",
    "azp": CLIENT,
    "azpacr": "1",
    "oid": PRINCIPAL,
    "rh": "0.AXEA",
    "roles": ["reports.write"],
    "sub": PRINCIPAL,
    "tid": TENANT,
    "uti": "kR4lAAAA",
    "ver": "2.0",
}
ENTRA_V1: dict[str, Any] = {
    "aud": f"api://{API}",
    "iss": f"https://sts.windows.net/{TENANT}/",
    **DATES,
    "aio": "k2RgYNj",
    "appid": CLIENT,
    "appidacr": "1",
    "idp": f"https://sts.windows.net/{TENANT}/",
    "oid": PRINCIPAL,
    "rh": "0.AXEA",
    "roles": ["reports.write"],
    "sub": PRINCIPAL,
    "tid": TENANT,
    "uti": "kR4lAAAA",
    "ver": "1.0",
}
ENTRA_USER: dict[str, Any] = {
    **{name: value for name, value in ENTRA_V2.items() if name != "roles"},
    "name": "Ada",
    "preferred_username": "ada@acme.example",
    "oid": "44445555-eeee-6666-ffff-7777aaaa8888",
    "scp": "reports.write",
    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
}
ENTRA_ID_TOKEN: dict[str, Any] = {
    name: value
    for name, value in {**ENTRA_USER, "nonce": "n-0S6"}.items()
    if name not in ("azp", "azpacr", "scp")
}
OKTA: dict[str, Any] = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://acme.okta.com/oauth2/default",
    "aud": "api://default",
    "iat": NOW - 1,
    "exp": NOW + 3600,
    "cid": "0oapqxyz0nTzmjfOy0h7",
    "scp": ["reports.write"],
    "sub": "0oapqxyz0nTzmjfOy0h7",
}
OKTA_ORG: dict[str, Any] = {
    **OKTA,
    "iss": "https://acme.okta.com",
    "aud": "https://acme.okta.com",
    "scp": ["okta.users.read"],
}
AUTH0: dict[str, Any] = {
    "iss": "https://acme.eu.auth0.com/",
    "sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients",
    "aud": "https://api.acme.example",
    "iat": NOW - 1,
    "exp": NOW + 86400,
    "scope": "reports.write",
    "gty": "client-credentials",
    "azp": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx",
}
AUTH0_9068: dict[str, Any] = {
    **{name: value for name, value in AUTH0.items() if name not in ("azp", "gty")},
    "client_id": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx",
    "jti": "TOjh3SHPYjXm4PPJH4mJwL",
}
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC123"
COGNITO: dict[str, Any] = {
    "sub": "7m1234abcdefghijklmnopqrst",
    "token_use": "access",
    "scope": "https://api.acme.example/reports reports.write",
    "auth_time": NOW - 1,
    "iss": POOL,
    "exp": NOW + 3600,
    "iat": NOW - 1,
    "version": 2,
    "jti": "0f4b9e2c-0000-4000-8000-000000000000",
    "client_id": "7m1234abcdefghijklmnopqrst",
}
KEYCLOAK: dict[str, Any] = {
    "exp": NOW + 300,
    "iat": NOW - 1,
    "jti": "trrtcc:8c1f1c8e-0000-4000-8000-000000000000",
    "iss": "https://sso.acme.example/realms/corp",
    "aud": ["api", "account"],
    "sub": "d952cf23-bf92-4c8f-a3ff-4972b4f2bc5b",
    "typ": "Bearer",
    "azp": "robot",
    "acr": "1",
    "allowed-origins": ["/*"],
    "realm_access": {"roles": ["offline_access", "uma_authorization"]},
    "resource_access": {"account": {"roles": ["view-profile"]}},
    "scope": "email profile reports.write",
    "clientHost": "192.0.2.7",
    "email_verified": False,
    "preferred_username": "service-account-robot",
    "clientAddress": "192.0.2.7",
    "client_id": "robot",
}
JUMPCLOUD: dict[str, Any] = {
    "aud": [],
    "client_id": "0b7e4d1c-1111-4111-8111-111111111111",
    "exp": NOW + 3600,
    "iat": NOW - 1,
    "iss": "https://oauth.id.jumpcloud.com/",
    "jti": "2b0c4d1c-1111-4111-8111-111111111111",
    "nbf": NOW - 1,
    "scp": ["reports.write"],
    "sub": "0b7e4d1c-1111-4111-8111-111111111111",
}
GOOGLE: dict[str, Any] = {
    "aud": "https://api.acme.example",
    "azp": "102938475610293847561",
    "email": "robot@acme-prod.iam.gserviceaccount.com",
    "email_verified": True,
    "exp": NOW + 3600,
    "iat": NOW - 1,
    "iss": "https://accounts.google.com",
    "sub": "102938475610293847561",
}
PING: dict[str, Any] = {
    "iss": "https://auth.pingone.eu/env/as",
    "aud": ["https://api.acme.example"],
    "client_id": "robot",
    "sub": "robot",
    "iat": NOW,
    "exp": NOW + 3600,
    "scope": "reports.write",
}

PROVIDERS: dict[str, dict[str, Any]] = {
    "entra": {"preset": "entra", "tenant": TENANT, "audiences": [API, f"api://{API}"]},
    "entra-v2": {"preset": "entra-v2", "tenant": TENANT, "audiences": [API]},
    "entra-apps": {
        "preset": "entra",
        "tenant": TENANT,
        "audiences": [API],
        "required_claims": {"idtyp": "app"},
    },
    "okta": {"preset": "okta", "domain": "acme.okta.com", "audiences": ["api://default"]},
    "okta-org": {"preset": "okta-org", "domain": "acme.okta.com"},
    "auth0": {
        "preset": "auth0",
        "domain": "acme.eu.auth0.com",
        "audiences": ["https://api.acme.example"],
    },
    "auth0-9068": {
        "preset": "auth0",
        "domain": "acme.eu.auth0.com",
        "audiences": ["https://api.acme.example"],
        "profile": "rfc9068",
    },
    "cognito": {
        "preset": "cognito",
        "pool": "eu-west-1_AbC123",
        "clients": ["7m1234abcdefghijklmnopqrst"],
    },
    "keycloak": {
        "preset": "keycloak",
        "issuer": "https://sso.acme.example/realms/corp",
        "audiences": ["api"],
    },
    "keycloak-clients": {
        "preset": "keycloak",
        "issuer": "https://sso.acme.example/realms/corp",
        "clients": ["robot"],
    },
    "jumpcloud": {"preset": "jumpcloud", "clients": ["0b7e4d1c-1111-4111-8111-111111111111"]},
    "google": {"preset": "google", "audiences": ["https://api.acme.example"]},
    "oidc": {
        "preset": "oidc",
        "issuer": "https://auth.pingone.eu/env/as",
        "audiences": ["https://api.acme.example"],
    },
}
SUBJECTS = [
    str(token["sub"])
    for token in (ENTRA_V2, OKTA, AUTH0, COGNITO, KEYCLOAK, JUMPCLOUD, GOOGLE, PING)
]


def without(token: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in token.items() if name not in names}


def world_of(provider: str) -> World:
    settings = with_twins([Issuer.model_validate({"realm": "corp", **PROVIDERS[provider]})])
    world = World(issuers=[each.rules() for each in settings])
    for subject in SUBJECTS:
        world.enroll(subject)
    return world


async def ask(
    provider: str, claims: Mapping[str, Any], *, typ: str | None = "JWT", write: bool = False
) -> Decision:
    """Return the decision on a token with exactly these claims."""
    world = world_of(provider)
    nothing = dict.fromkeys(("iss", "sub", "aud", "iat", "exp"))
    token = world.sign(header={"typ": typ}, **{**nothing, **claims})
    return await world.wait_for("POST" if write else "GET", "/reports", token=token)


@pytest.mark.parametrize(
    ("provider", "claims", "typ", "client"),
    [
        ("entra", ENTRA_V2, "JWT", CLIENT),
        ("entra", ENTRA_V1, "JWT", CLIENT),
        ("entra", {**ENTRA_V1, "aud": API}, "JWT", CLIENT),
        ("entra-v2", ENTRA_V2, "JWT", CLIENT),
        ("entra-apps", {**ENTRA_V2, "idtyp": "app"}, "JWT", CLIENT),
        ("okta", OKTA, None, OKTA["cid"]),
        ("auth0", AUTH0, "JWT", AUTH0["azp"]),
        ("auth0-9068", AUTH0_9068, "at+jwt", AUTH0["azp"]),
        ("cognito", COGNITO, None, COGNITO["client_id"]),
        ("keycloak", KEYCLOAK, "JWT", "robot"),
        ("keycloak-clients", without(KEYCLOAK, "aud"), "JWT", "robot"),
        ("keycloak-clients", {**KEYCLOAK, "aud": "account"}, "at+jwt", "robot"),
        ("jumpcloud", JUMPCLOUD, "JWT", JUMPCLOUD["client_id"]),
        ("oidc", PING, "at+jwt", "robot"),
    ],
)
async def test_a_token_as_the_provider_makes_it_is_granted_with_client_and_scopes(
    provider: str, claims: Mapping[str, Any], typ: str | None, client: str
) -> None:
    decision = await ask(provider, claims, typ=typ, write=True)

    assert isinstance(decision, Grant), decision
    assert decision.principal is not None
    assert decision.principal.client_id == client
    assert decision.principal.key.subject == claims["sub"]


@pytest.mark.parametrize(
    ("provider", "claims", "typ"),
    [
        ("okta-org", OKTA_ORG, "application/okta-internal-at+jwt"),
        ("google", GOOGLE, "JWT"),
    ],
)
async def test_a_token_without_our_scopes_is_granted_where_none_are_asked_for(
    provider: str, claims: Mapping[str, Any], typ: str
) -> None:
    assert isinstance(await ask(provider, claims, typ=typ), Grant)
    decision = await ask(provider, claims, typ=typ, write=True)
    assert isinstance(decision, Deny)
    assert decision.reason is R.INSUFFICIENT_SCOPE


@pytest.mark.parametrize(
    ("provider", "claims", "typ", "reason"),
    [
        # Entra ID
        ("entra-v2", ENTRA_V1, "JWT", R.UNKNOWN_ISSUER),
        ("entra-v2", {**ENTRA_V1, "iss": ENTRA_V2["iss"]}, "JWT", R.WRONG_AUDIENCE),
        ("entra-v2", {**ENTRA_V2, "ver": "1.0"}, "JWT", R.CLAIMS_REFUSED),
        ("entra", without(ENTRA_V2, "azp"), "JWT", R.CLAIMS_REFUSED),
        ("entra", ENTRA_ID_TOKEN, "JWT", R.CLAIMS_REFUSED),
        ("entra", ENTRA_USER, "JWT", R.SUBJECT_UNKNOWN),
        ("entra-apps", {**ENTRA_USER, "idtyp": "user"}, "JWT", R.CLAIMS_REFUSED),
        ("entra-apps", ENTRA_V2, "JWT", R.CLAIMS_REFUSED),
        (
            "entra",
            {**ENTRA_V2, "iss": ENTRA_V2["iss"].replace(TENANT, OTHER_TENANT), "tid": OTHER_TENANT},
            "JWT",
            R.UNKNOWN_ISSUER,
        ),
        ("entra", {**ENTRA_V2, "iss": ENTRA_V2["iss"] + "/"}, "JWT", R.UNKNOWN_ISSUER),
        ("entra", {**ENTRA_V2, "aud": CLIENT}, "JWT", R.WRONG_AUDIENCE),
        ("entra", {**ENTRA_V2, "aud": "https://graph.microsoft.com"}, "JWT", R.WRONG_AUDIENCE),
        ("entra", {**ENTRA_V2, "sub": APP_OBJECT, "oid": APP_OBJECT}, "JWT", R.SUBJECT_UNKNOWN),
        ("entra", ENTRA_V2, "at+jwt", R.TOKEN_UNREADABLE),
        # Okta
        ("okta", OKTA_ORG, None, R.UNKNOWN_ISSUER),
        ("okta", {**OKTA, "aud": "0oapqxyz0nTzmjfOy0h7"}, None, R.WRONG_AUDIENCE),
        ("okta", without(OKTA, "cid", "scp"), None, R.CLAIMS_REFUSED),
        ("okta", OKTA, "application/okta-internal-at+jwt", R.TOKEN_UNREADABLE),
        ("okta-org", OKTA, None, R.UNKNOWN_ISSUER),
        # Auth0
        ("auth0", {**AUTH0, "iss": "https://acme.eu.auth0.com"}, "JWT", R.UNKNOWN_ISSUER),
        ("auth0", {**AUTH0, "aud": AUTH0["aud"] + "/"}, "JWT", R.WRONG_AUDIENCE),
        ("auth0", {**AUTH0, "aud": AUTH0["azp"]}, "JWT", R.WRONG_AUDIENCE),
        ("auth0", {**AUTH0, "sub": "auth0|6553da60a54af58e29493993"}, "JWT", R.SUBJECT_UNKNOWN),
        ("auth0", AUTH0_9068, "at+jwt", R.CLAIMS_REFUSED),
        ("auth0-9068", AUTH0, "JWT", R.TOKEN_UNREADABLE),
        ("auth0-9068", AUTH0, "at+jwt", R.CLAIMS_REFUSED),
        # Cognito
        ("cognito", {**COGNITO, "token_use": "id"}, None, R.CLAIMS_REFUSED),
        ("cognito", {**COGNITO, "client_id": "another"}, None, R.WRONG_AUDIENCE),
        (
            "cognito",
            {**without(COGNITO, "client_id"), "aud": COGNITO["client_id"], "token_use": "id"},
            None,
            R.WRONG_AUDIENCE,
        ),
        ("cognito", {**COGNITO, "iss": POOL.replace("AbC", "XyZ")}, None, R.UNKNOWN_ISSUER),
        ("cognito", {**COGNITO, "sub": "a1b2c3d4-5678"}, None, R.SUBJECT_UNKNOWN),
        # Keycloak
        ("keycloak", without(KEYCLOAK, "sub"), "JWT", R.CLAIMS_REFUSED),
        ("keycloak", {**KEYCLOAK, "typ": "ID"}, "JWT", R.CLAIMS_REFUSED),
        ("keycloak", {**KEYCLOAK, "typ": "Refresh"}, "JWT", R.CLAIMS_REFUSED),
        ("keycloak", {**KEYCLOAK, "aud": "account"}, "JWT", R.WRONG_AUDIENCE),
        ("keycloak", without(KEYCLOAK, "aud"), "JWT", R.WRONG_AUDIENCE),
        ("keycloak-clients", {**KEYCLOAK, "azp": "web"}, "JWT", R.WRONG_AUDIENCE),
        ("keycloak", {**KEYCLOAK, "iss": KEYCLOAK["iss"][:-4] + "qa"}, "JWT", R.UNKNOWN_ISSUER),
        ("keycloak", KEYCLOAK, "logout+jwt", R.TOKEN_UNREADABLE),
        # JumpCloud, Google and others
        ("jumpcloud", {**JUMPCLOUD, "client_id": "another"}, "JWT", R.WRONG_AUDIENCE),
        ("google", {**GOOGLE, "aud": "https://other.example"}, "JWT", R.WRONG_AUDIENCE),
        ("google", {**GOOGLE, "iss": "accounts.google.com"}, "JWT", R.UNKNOWN_ISSUER),
        ("google", {**GOOGLE, "sub": "110169484474386276334"}, "JWT", R.SUBJECT_UNKNOWN),
        ("oidc", {**PING, "aud": "robot"}, "JWT", R.WRONG_AUDIENCE),
        ("oidc", {**PING, "iat": NOW + 3}, "JWT", R.TOKEN_NOT_YET_VALID),
    ],
)
async def test_the_usual_wrong_token_is_denied_with_its_reason(
    provider: str, claims: Mapping[str, Any], typ: str | None, reason: DenyReason
) -> None:
    decision = await ask(provider, claims, typ=typ)

    assert isinstance(decision, Deny)
    assert decision.reason is reason


async def test_clocks_may_differ_a_little_where_the_provider_does_not_date_back() -> None:
    assert isinstance(await ask("oidc", {**PING, "iat": NOW + 2}), Grant)
    decision = await ask("entra", {**ENTRA_V2, "nbf": NOW + 1})
    assert isinstance(decision, Deny)
    assert decision.reason is R.TOKEN_NOT_YET_VALID


async def test_what_a_person_delegated_counts_as_scopes_beside_an_applications_roles() -> None:
    world = world_of("entra")
    world.enroll(str(ENTRA_USER["sub"]))
    token = world.sign(header={"typ": "JWT"}, **ENTRA_USER)

    assert isinstance(await world.wait_for("POST", "/reports", token=token), Grant)
